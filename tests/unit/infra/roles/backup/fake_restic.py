"""A stand-in for restic: snapshots are plain copies in the repository. Knows the verbs that our program uses.

As restic it takes files in by their absolute path, gives a snapshot another id with other tags, and ends with 1 for a
wrong password, for what another run's lock does not let through, or for what it does not know. A test may put into the
repository: `damaged`; `locks/NAME` with `{"exclusive": true}`; `fails-backup`, how many snapshots end with exit code 3.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

REPOSITORY = Path(os.environ["RESTIC_REPOSITORY"])
PASSWORD = Path(os.environ["RESTIC_PASSWORD_FILE"]).read_text().strip()


def options(arguments: list[str], name: str) -> list[str]:
    return [arguments[at + 1] for at, word in enumerate(arguments) if word == name]


def snapshots() -> dict[str, dict[str, object]]:
    found = {path.parent.name: json.loads(path.read_text()) for path in REPOSITORY.glob("snapshots/*/facts.json")}
    return dict(sorted(found.items(), key=lambda pair: str(pair[1]["time"])))


def write(facts: dict[str, object]) -> None:
    (REPOSITORY / "snapshots" / str(facts["id"]) / "facts.json").write_text(json.dumps(facts))


def chosen(arguments: list[str]) -> list[dict[str, object]]:
    """The snapshots that `--host` and `--tag A,B` mean, oldest first."""
    tags = {tag for words in options(arguments, "--tag") for tag in words.split(",")}
    hosts = options(arguments, "--host")
    return [
        one
        for one in snapshots().values()
        if tags <= set(one["tags"]) and (not hosts or one["hostname"] in hosts)  # type: ignore[call-overload]
    ]


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
    facts: dict[str, object] = {
        "id": name,
        "short_id": name[:8],
        "time": datetime.now(UTC).isoformat(),
        "hostname": options(arguments, "--host")[0],
        "tags": options(arguments, "--tag"),
    }
    write(facts)
    summary = {"message_type": "summary", "snapshot_id": name[:8], "total_bytes_processed": total, "data_added": total}
    sys.stdout.write(json.dumps(summary) + "\n")
    failing = REPOSITORY / "fails-backup"
    if failing.exists() and (left := int(failing.read_text())):
        failing.write_text(str(left - 1))
        sys.exit(3)  # as restic, which keeps the snapshot where it could not read a file


def tag(arguments: list[str]) -> None:
    before = tree(arguments[-1]).parent
    facts = json.loads((before / "facts.json").read_text())
    name = uuid.uuid4().hex * 2
    before.rename(REPOSITORY / "snapshots" / name)
    new = {"id": name, "short_id": name[:8], "original": facts.get("original", facts["id"])}
    write(facts | new | {"tags": options(arguments, "--set")[0].split(",")})


def forget(arguments: list[str]) -> None:
    if "--host" not in arguments:
        for snapshot in arguments:
            shutil.rmtree(tree(snapshot).parent)
        return
    groups: dict[str, list[dict[str, object]]] = {}
    for one in reversed(chosen(arguments)):
        groups.setdefault(json.dumps([one["hostname"], one["tags"]]), []).append(one)
    for group in groups.values():
        kept = keep(group, arguments)
        for one in group:
            if one["id"] not in kept:
                shutil.rmtree(tree(str(one["id"])).parent)


def keep(group: list[dict[str, object]], arguments: list[str]) -> set[object]:
    """The ids that stay of one host and set of tags, newest first."""
    moments = [datetime.fromisoformat(str(one["time"])) for one in group]
    kept = {one["id"] for one in group if set(options(arguments, "--keep-tag")) & set(one["tags"])}  # type: ignore[call-overload]
    kept |= {one["id"] for count in options(arguments, "--keep-last") for one in group[: int(count)]}
    for days in options(arguments, "--keep-within"):
        edge = moments[0] - timedelta(days=int(days.removesuffix("d")))
        kept |= {one["id"] for one, moment in zip(group, moments, strict=True) if moment > edge}
    for name, form in (("--keep-daily", "%Y-%m-%d"), ("--keep-weekly", "%G-%V"), ("--keep-monthly", "%Y-%m")):
        for count in options(arguments, name):
            last: dict[str, object] = {}
            for one, moment in zip(group, moments, strict=True):
                last.setdefault(moment.strftime(form), one["id"])
            kept |= set(list(last.values())[: int(count)])
    return kept


def refuse_locked(verb: str) -> None:
    locks = [json.loads(path.read_text()) for path in REPOSITORY.glob("locks/*")]
    alone = verb in ("tag", "forget", "prune", "check")
    if any(lock["exclusive"] or alone for lock in locks):
        sys.exit("Fatal: unable to create lock in backend: repository is already locked")


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
    if verb not in ("unlock", "list") and "--no-lock" not in arguments:
        refuse_locked(verb)
    if verb == "backup":
        backup(arguments)
    elif verb == "snapshots":
        sys.stdout.write(json.dumps(chosen(arguments)) + "\n")
    elif verb == "dump":
        sys.stdout.write((tree(arguments[0]) / arguments[1].lstrip("/")).read_text())
    elif verb == "restore":
        restore(arguments[0], arguments[1:])
    elif verb == "ls":
        ls(arguments[-1])
    elif verb == "tag":
        tag(arguments)
    elif verb == "forget":
        forget(arguments)
    elif verb == "list":
        sys.stdout.write("".join(f"{path.name}\n" for path in REPOSITORY.glob("locks/*")))
    elif verb == "cat" and arguments[0] == "lock":
        sys.stdout.write((REPOSITORY / "locks" / arguments[1]).read_text())
    elif verb == "check":
        if (REPOSITORY / "damaged").exists():
            sys.exit("Fatal: repository contains errors")
    elif verb not in ("cat", "unlock", "prune"):
        sys.exit(f"unknown command {verb}")


main(sys.argv[1], sys.argv[2:])
