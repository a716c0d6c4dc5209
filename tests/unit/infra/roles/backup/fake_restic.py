"""A stand-in for restic: snapshots are plain copies in the repository. Knows the verbs that our program uses.

As restic it takes files in by their absolute path, and ends with 1 for a wrong password or what it does not know.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

REPOSITORY = Path(os.environ["RESTIC_REPOSITORY"])
PASSWORD = Path(os.environ["RESTIC_PASSWORD_FILE"]).read_text().strip()


def options(arguments: list[str], name: str) -> list[str]:
    return [arguments[at + 1] for at, word in enumerate(arguments) if word == name]


def snapshots() -> dict[str, dict[str, object]]:
    found = {path.parent.name: json.loads(path.read_text()) for path in REPOSITORY.glob("snapshots/*/facts.json")}
    return dict(sorted(found.items(), key=lambda pair: str(pair[1]["time"])))


def tree(snapshot: str) -> Path:
    (name,) = [one for one in snapshots() if one.startswith(snapshot)]
    return REPOSITORY / "snapshots" / name / "tree"


def backup(arguments: list[str]) -> None:
    name = uuid.uuid4().hex * 2
    folder, total = REPOSITORY / "snapshots" / name, 0
    sources = [word for word in arguments if word.startswith("/")]
    for source in sources:
        shutil.copytree(source, folder / "tree" / source.lstrip("/"))
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    facts = {
        "id": name,
        "short_id": name[:8],
        "time": datetime.now(UTC).isoformat(),
        "hostname": options(arguments, "--host")[0],
        "tags": options(arguments, "--tag"),
    }
    (folder / "facts.json").write_text(json.dumps(facts))
    summary = {"message_type": "summary", "snapshot_id": name[:8], "total_bytes_processed": total, "data_added": total}
    sys.stdout.write(json.dumps(summary) + "\n")


def restore(snapshot: str, arguments: list[str]) -> None:
    (target,) = options(arguments, "--target")
    for source in options(arguments, "--include"):
        there = tree(snapshot) / source.lstrip("/")
        if there.exists():
            shutil.copytree(there, Path(target) / source.lstrip("/"))


def ls(snapshot: str) -> None:
    top = tree(snapshot)
    for path in sorted(top.rglob("*")):
        kind = "dir" if path.is_dir() else "file"
        node = {"path": f"/{path.relative_to(top)}", "type": kind, "size": path.stat().st_size}
        sys.stdout.write(json.dumps(node) + "\n")


def main(verb: str, arguments: list[str]) -> None:
    if verb == "init":
        if (REPOSITORY / "config").exists():
            sys.exit("Fatal: create repository failed: config file already exists")
        (REPOSITORY / "config").write_text(PASSWORD)
        return
    if not (REPOSITORY / "config").exists():
        sys.exit("Fatal: unable to open config file: is there a repository at the following location?")
    if (REPOSITORY / "config").read_text() != PASSWORD:
        sys.exit("Fatal: wrong password or no key found")
    if verb == "backup":
        backup(arguments)
    elif verb == "snapshots":
        (wanted,) = options(arguments, "--tag")
        rows = [one for one in snapshots().values() if set(wanted.split(",")) <= set(map(str, one["tags"]))]  # type: ignore[call-overload]
        sys.stdout.write(json.dumps(rows) + "\n")
    elif verb == "dump":
        sys.stdout.write((tree(arguments[0]) / arguments[1].lstrip("/")).read_text())
    elif verb == "restore":
        restore(arguments[0], arguments[1:])
    elif verb == "ls":
        ls(arguments[-1])
    elif verb == "forget" and "--host" not in arguments:
        shutil.rmtree(tree(arguments[0]).parent)
    elif verb == "check":
        if (REPOSITORY / "damaged").exists():
            sys.exit("Fatal: repository contains errors")
    elif verb not in ("cat", "unlock", "forget"):
        sys.exit(f"unknown command {verb}")


main(sys.argv[1], sys.argv[2:])
