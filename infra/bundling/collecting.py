"""Where the parts of a bundle are collected: a folder beside the file, held by one run at a time.

What apt needs lies in the user's cache instead: it holds the logins of mirror and proxy, and a stick with exFAT or
vfat, which people carry about, keeps no modes of files, no links and no symbolic links.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from core.errors import FileAccessError, LockHeld
from core.report import Report
from infra.roles.images.suites import cache_folder

COLLECTED = ".parts"  # behind the name of the file
LOCK = "lock"
TRIES = 10


def parts_folder(out: Path) -> Path:
    """Where the parts of a file are collected."""
    return out.with_name(out.name + COLLECTED)


def apt_folder(out: Path, environment: Mapping[str, str]) -> Path:
    """Where the apt that finds the packages of a file has its lists, logins and downloads."""
    return cache_folder(environment) / "bundles" / hashlib.sha256(os.fsencode(out)).hexdigest()[:12]


@contextmanager
def collecting(folder: Path, apt: Path, report: Report) -> Iterator[Path]:
    """Hold the folder while the parts are collected in it. It goes, and that of apt, where the context ends well.

    Raises:
        LockHeld: another run holds it.
        FileAccessError: it cannot be made.
    """
    with _locked(folder) as lock:
        yield folder
        try:
            shutil.rmtree(apt, ignore_errors=True)
            _remove(folder, lock)
        except OSError as error:
            report.notice(f"{folder} is not needed any more and cannot be removed ({error.strerror}): do so by hand")


@contextmanager
def _locked(folder: Path) -> Iterator[IO[str]]:
    for _ in range(TRIES):
        if (lock := _taken(folder)) is not None:
            with lock:
                yield lock
            return
    raise FileAccessError(f"{folder} vanishes whenever it is made; name another place with --out")


def _taken(folder: Path) -> IO[str] | None:
    """The locked file; None where another run ended and removed it between two steps of ours."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileAccessError(f"{folder} cannot be made: {error.strerror}; name another place with --out") from None
    try:
        lock = (folder / LOCK).open("w")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileAccessError(f"{folder} cannot be used: {error.strerror}; name another place with --out") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise LockHeld(
            f"another `./inv bundle.create` collects in {folder}; wait for it, or choose another --out"
        ) from None
    if not _is_there(lock, folder / LOCK):
        lock.close()
        return None
    return lock


def _is_there(file: IO[str], path: Path) -> bool:
    """Whether an open file is the one that has the name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _remove(folder: Path, lock: IO[str]) -> None:
    """Remove the folder, the lock last: who opens another one then has a folder without parts, which stays."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()
    Path(lock.name).unlink()
    with suppress(OSError):  # another run has begun in it
        folder.rmdir()
