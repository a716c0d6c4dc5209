"""An export folder that is there as a whole or not at all.

Everything is written into `.<name>.partial` beside it, which takes the name in the end. A killed export leaves only
that, and the next one to the same place clears it away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from core.errors import LabelrigError, SettingsError
from dataset.export.manifest import MANIFEST


@contextlib.contextmanager
def whole_folder(target: Path, *, force: bool) -> Iterator[Path]:
    """Yield a folder to write into; it becomes `target` when the block ends without an error.

    Args:
        target: what the folder will be called.
        force: replace what is there, if that is an export (or an empty folder).

    Raises:
        SettingsError: there is something already.
        LabelrigError: another export to this place is running, or the disk refuses.
    """
    _check(target, force=force)
    try:
        with _partial(target, force=force) as partial:
            yield partial
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise LabelrigError(f"cannot write the export {target}: {error.strerror or error}{where}") from None


@contextlib.contextmanager
def _partial(target: Path, *, force: bool) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    partial.mkdir(exist_ok=True)
    handle = os.open(partial, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabelrigError(f"another export to {target} is running; wait for it, or give another --out") from None
        _empty(partial)
        try:
            yield partial
            _check(target, force=force)
            _take_place(partial, target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    finally:
        os.close(handle)


def _check(target: Path, *, force: bool) -> None:
    if not target.exists() and not target.is_symlink():
        return
    is_folder = target.is_dir() and not target.is_symlink()
    if is_folder and not any(target.iterdir()):
        return
    if not force:
        raise SettingsError(f"{target} is there already; --force replaces it, or give another --out")
    if not is_folder or not (target / MANIFEST).is_file():
        raise SettingsError(f"{target} is no export (it has no {MANIFEST}): --force does not replace it; move it away")


def _take_place(partial: Path, target: Path) -> None:
    """Put the new folder where the old one is. A rename replaces an empty folder; any other steps aside first."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.is_dir() and any(target.iterdir()):
        target.rename(old)
    try:
        partial.rename(target)
    except OSError:
        if old.is_dir():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _empty(folder: Path) -> None:
    for one in folder.iterdir():
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        else:
            one.unlink()
