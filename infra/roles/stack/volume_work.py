"""What is done to the volumes themselves: who owns what is in them, and the files with secrets.

Runs as root in a container of its own, which has no network and sees nothing but the volumes. It is sent there as text
(see `labelstudio.program`), so it needs the standard library only.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

SECRET_MODE, NEW_VOLUME_MODE = 0o600, 0o700
SHOWN_EVERY = 20_000  # entries


def main(action: str, wanted: str) -> None:
    """Carry out one action and print its answer as JSON.

    Args:
        action: `look` or `settle`.
        wanted: JSON with `root`, the folder that the volumes are mounted in; `uid`, to be user and group of everything;
            `volumes`, their names; and `files`, `VOLUME/NAME` -> text.
    """
    given = json.loads(wanted)
    work = {"look": look, "settle": settle}[action]
    answer = work(Path(given["root"]), int(given["uid"]), given["volumes"], given["files"])
    sys.stdout.write(json.dumps(answer) + "\n")


def look(root: Path, uid: int, volumes: list[str], files: dict[str, str]) -> dict[str, Any]:
    """How many entries another user owns, and which files are not as they should be. Changes nothing."""
    others = sum(owner != (uid, uid) for name in volumes for _, _, owner in entries(root / name))
    wrong = [path for path, text in files.items() if not _holds(root / path, text, uid)]
    return {"others": others, "files": wrong}


def settle(root: Path, uid: int, volumes: list[str], files: dict[str, str]) -> dict[str, Any]:
    """Give everything to the user, and write the files. What a killed run left half done, the next one finishes."""
    changed = 0
    for name in volumes:
        made_by_engine = os.lstat(root / name).st_uid == 0
        for number, (folder, entry, owner) in enumerate(entries(root / name), 1):
            if owner != (uid, uid):
                with suppress(FileNotFoundError):  # removed since it was seen
                    os.chown(entry, uid, uid, dir_fd=folder, follow_symlinks=False)
                    changed += 1
            if number % SHOWN_EVERY == 0:
                sys.stderr.write(f"{name}: {number} files looked at\n")
        if made_by_engine:
            os.chmod(root / name, NEW_VOLUME_MODE)
    for path, text in files.items():
        _write(root / path, text, uid)
    return {"changed": changed}


def entries(top: Path) -> Iterator[tuple[int, str, tuple[int, int]]]:
    """Everything in a folder, and the folder itself last: a descriptor of the folder it is in, its name, its owner.

    A link is what is meant, never what it leads to. The folder comes last, so that its owner says that all is done.
    Label Studio may run meanwhile: what it removes between the listing of its folder and the look at it is left out.
    """
    for _, folders, names, at in os.fwalk(top, follow_symlinks=False):
        for name in (*folders, *names):
            try:
                seen = os.lstat(name, dir_fd=at)
            except FileNotFoundError:
                continue
            yield at, name, (seen.st_uid, seen.st_gid)
    parent = os.open(top.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        seen = os.lstat(top.name, dir_fd=parent)
        yield parent, top.name, (seen.st_uid, seen.st_gid)
    finally:
        os.close(parent)


def _holds(path: Path, text: str, uid: int) -> bool:
    try:
        seen = os.lstat(path)
        plain = (seen.st_uid, seen.st_gid, seen.st_mode & 0o7777) == (uid, uid, SECRET_MODE)
        return plain and not path.is_symlink() and path.read_text("utf-8") == text
    except OSError:
        return False


def _write(path: Path, text: str, uid: int) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, SECRET_MODE)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        os.fchmod(file, SECRET_MODE)
        os.fchown(file, uid, uid)
        stream.write(text)
        stream.flush()
        os.fsync(file)
    new.replace(path)
