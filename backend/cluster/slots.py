"""A place of its own for each replica of a host: its number, and its folder of what outlives a restart."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

from backend.errors import SettingsError

MOST = 64


class Slot:
    """The first place that is free, held until the process ends, however it ends: the kernel gives up its lock."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: the host's; made when missing.

        Raises:
            SettingsError: it cannot be written, or all places are taken.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.number, self._lock = _first_free(folder)
        except OSError as error:
            raise SettingsError([f"{folder} takes no lock file: {error.strerror}"]) from None
        self.folder = folder / f"replica-{self.number}"

    def close(self) -> None:
        """Leave it to another process."""
        self._lock.close()


def _first_free(folder: Path) -> tuple[int, BinaryIO]:
    for number in range(MOST):
        handle = (folder / f"replica-{number}.lock").open("wb")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            continue
        os.set_inheritable(handle.fileno(), False)
        return number, handle
    raise SettingsError([f"{folder} has places for {MOST} replicas, and all are taken"])
