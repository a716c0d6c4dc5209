"""Folders for work on a host: removed when the work is done, and by a later run where the work was killed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal

from core.errors import ConnectFailed, ConnectionLost, HostError
from core.operation import Change, Operation
from core.report import Report
from hosts.base import Host

# Not /tmp, which is often small, in memory, and mounted so that it can hold no devices.
FOLDER = "/var/tmp"  # noqa: S108 - mktemp makes the name, with mode 0700
Kind = Literal["base", "build", "bundle"]
KINDS: tuple[Kind, ...] = ("base", "build", "bundle")
FORGOTTEN_MINUTES = 24 * 60  # no work takes that long
REMOVE_TIMEOUT = 300.0
# debootstrap mounts /proc and /sys inside and, when it is stopped, leaves them there.
REMOVE = """
for folder; do
    for at in proc sys; do umount -l "$folder/root/$at" 2>/dev/null; done
    rm -rf --one-file-system "$folder"
done
"""


@contextmanager
def work_folder(host: Host, kind: Kind, project: str) -> Iterator[str]:
    """Make a folder of root's on a host, and remove it when the context ends.

    Args:
        project: whose work it is: the next run of this project removes what is left of a killed one.
    """
    name = f"labelrig-{kind}.{project}.XXXXXXXX"
    folder = host.run("mktemp", "-d", "-p", FOLDER, name, as_root=True).stdout.strip()
    try:
        yield folder
    finally:
        with suppress(HostError):  # it must not hide why the work failed
            remove_folder(host, folder)


class WorkFoldersGone(Operation):
    """No work folder is left of a run that was killed.

    On another machine the lock of the project is held: whatever is there of this project is a dead run's. Of other
    projects, and on this machine, which has no lock, what was forgotten a day ago goes. What cannot be removed, as
    where this user may not become root, is a notice and stops nothing.
    """

    name = "no work folder of a killed run left"

    def __init__(self, host: Host, project: str, report: Report) -> None:
        self._host = host
        self._project = project
        self._report = report
        self._tried: set[str] = set()

    def plan(self) -> Sequence[Change]:
        # Of root's only: in a folder that all may write to, another's could be a trap.
        found = left_folders(self._host, self._project)
        return [self._change(folder) for folder in found if folder not in self._tried]

    def _change(self, folder: str) -> Change:
        return Change(f"remove {folder}, which a killed run left", lambda: self._try(folder))

    def _try(self, folder: str) -> None:
        self._tried.add(folder)
        try:
            remove_folder(self._host, folder)
        except (ConnectFailed, ConnectionLost):
            raise
        except HostError as error:
            self._report.notice(
                f"{self._host.name}: {folder}, which a killed run left, cannot be removed and does no harm; "
                f"to have the space, remove it as root. What was said: {str(error).splitlines()[-1].strip()}"
            )


def look_for(host: Host, project: str) -> tuple[str, ...]:
    """The command that lists what killed runs left."""
    kinds = [part for kind in KINDS for part in ("-o", "-name", f"labelrig-{kind}.*")][1:]
    ours = () if host.is_local else ("-o", "-name", f"labelrig-*.{project}.*")
    forgotten = ("-mmin", f"+{FORGOTTEN_MINUTES}", *ours)
    which = ("-type", "d", "-uid", "0", "(", *kinds, ")", "(", *forgotten, ")")
    return ("find", FOLDER, "-maxdepth", "1", *which, "-print0")


def left_folders(host: Host, project: str) -> list[str]:
    """The work folders that killed runs left, as `WorkFoldersGone` finds them. Changes nothing."""
    listed = host.run(*look_for(host, project), ok=(0, 1))
    return sorted(filter(None, listed.stdout.split("\0")))


def remove_folder(host: Host, folder: str) -> None:
    """Remove a work folder, with what a stopped debootstrap left mounted in it.

    Raises:
        HostError: it cannot be removed, as where this user may not become root.
    """
    host.run("sh", "-c", REMOVE, "sh", folder, as_root=True, timeout=REMOVE_TIMEOUT)
