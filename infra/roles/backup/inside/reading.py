"""What is in the repository: the snapshots of a stack, one manifest, and whether every byte is whole."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from infra.roles.backup.inside.media import read_list
from infra.roles.backup.inside.places import DATABASE_FACTS, FORMAT, MANIFEST, MEDIA_LIST, Places, Problem
from infra.roles.backup.inside.request import BEFORE, Request
from infra.roles.backup.inside.restic import LONG, Failed, Restic, say
from infra.roles.backup.inside.retention import listed

Answer = dict[str, Any]


def snapshots(request: Request, restic: Restic) -> list[Answer]:
    """The snapshots of a stack of this name, of whichever machine, oldest first."""
    rows = [
        {
            "id": str(one["short_id"]),
            "full_id": str(one["id"]),
            "time": str(one["time"]),
            "machine": str(one["hostname"]),
            "reason": next((reason for reason in BEFORE if reason in (one.get("tags") or [])), ""),
        }
        for one in listed(request, restic, *request.tags[:2])
    ]
    return sorted(rows, key=lambda row: row["time"])


def find(request: Request, restic: Restic, wanted: str) -> Answer:
    """The row of a snapshot: one that is given by its beginning, else the newest of this machine that no restore made.

    Where this machine has none, the newest of another: a stack that moves to a new machine.

    Raises:
        Problem: there is none.
    """
    rows = snapshots(request, restic)
    if wanted in ("", "latest"):
        usual = [row for row in rows if not row["reason"]]
        if not usual:
            raise Problem(f"the repository {restic.address} holds no backup of a stack called {request.project}")
        own = [row for row in usual if row["machine"] == request.machine]
        return (own or usual)[-1]
    matching = [row for row in rows if row["full_id"].startswith(wanted)] if len(wanted) >= 4 else []
    if len(matching) != 1:
        raise Problem(f"there is no backup {wanted} of the stack {request.project}; `./inv backup.list` shows them")
    return matching[0]


def manifest_of(places: Places, restic: Restic, snapshot: str) -> Answer:
    """The manifest of a snapshot.

    Raises:
        Problem: it is not one of ours, or of a later version of labelrig.
    """
    try:
        manifest: Answer = json.loads(_dumped(restic, snapshot, places.files / MANIFEST))
    except (Failed, ValueError) as error:
        raise Problem(f"the backup {snapshot} has no manifest that can be read: {error}") from None
    if int(manifest.get("format", 0)) > FORMAT:
        raise Problem(f"the backup {snapshot} was made by a later version of labelrig ({manifest['labelrig']}): use it")
    return manifest


def show(places: Places, request: Request, restic: Restic, wanted: str) -> Answer:
    """The manifest of a snapshot, which one it is, and the files that describe its stack.

    `machine` is the one that made it, where that is not this one; else it is empty.
    """
    row = find(request, restic, wanted)
    snapshot = str(row["id"])
    manifest = manifest_of(places, restic, snapshot)
    small = {
        name: _dumped(restic, snapshot, places.files / name)
        for name in manifest["files"]
        if name == "secrets.env" or name == "stack/folders.json" or name.startswith("images/")
    }
    machine = row["machine"] if row["machine"] != request.machine else ""
    return {"snapshot": snapshot, "machine": machine, "manifest": manifest, "small": small}


def verify(places: Places, request: Request, restic: Restic) -> Answer:
    """Read every byte of the repository, and see that each snapshot holds what its manifest names.

    Raises:
        Problem: something is damaged or missing.
    """
    say("reading every byte of the repository")
    try:
        restic.run_in_turn("check", "--read-data", timeout=LONG, lines=say)
    except Failed as error:
        raise Problem(f"the repository {restic.address} is damaged: {error}") from None
    rows = snapshots(request, restic)
    for row in rows:
        say(f"comparing {row['id']} with its manifest")
        _compare(places, restic, row["id"])
    if not rows:
        raise Problem(f"the repository {restic.address} holds no backup of a stack called {request.project}")
    return {"snapshots": len(rows), "newest": rows[-1]["id"]}


def _compare(places: Places, restic: Restic, snapshot: str) -> None:
    manifest = manifest_of(places, restic, snapshot)
    sizes = _sizes(restic, snapshot)
    database = manifest["database"]
    wanted = {str(places.database / database["file"]): int(database["bytes"])}
    wanted |= {str(places.database / DATABASE_FACTS): -1}
    wanted |= {str(places.files / name): -1 for name in manifest["files"]}
    listed = read_list(_dumped(restic, snapshot, places.files / MEDIA_LIST))
    wanted |= {str(places.media / name): size for name, (size, _) in listed.items()}
    wrong = [path for path, size in wanted.items() if path not in sizes or size not in (-1, sizes[path])]
    if wrong:
        raise Problem(
            f"the backup {snapshot} lacks {PurePosixPath(wrong[0]).name}"
            f"{f' and {len(wrong) - 1} other files' if wrong[1:] else ''}, which its manifest names"
        )


def _dumped(restic: Restic, snapshot: str, path: Path) -> str:
    return restic.run_in_turn("dump", snapshot, str(path), alone=False)


def _sizes(restic: Restic, snapshot: str) -> dict[str, int]:
    lines = restic.run_in_turn("ls", "--json", "--long", snapshot, alone=False, timeout=LONG).splitlines()
    nodes = [json.loads(line) for line in lines]
    return {str(node["path"]): int(node.get("size", 0)) for node in nodes if node.get("type") == "file"}
