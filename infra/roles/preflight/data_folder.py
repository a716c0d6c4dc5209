"""Whether the containers' user can read an image folder, on whatever machine it lies."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath

from hosts.base import Host
from hosts.looking import closed_at, looks_as_root
from labeling.image_names import file_pattern, skipped_folders_in_find

SAMPLE = 1000  # images
ENTRIES = 20 * SAMPLE  # of any kind: labels and other files may lie in front of the images
LOOK_TIMEOUT = 60.0
# An entry of it: kind, mode, group, path below the folder. A folder comes before what lies in it; after the folder and
# the number of entries, the test for folders that are left out.
LIST = """
folder=$1 count=$2
shift 2
find -H "$folder" -mindepth 1 "$@" -prune -o -printf "%y\\t%m\\t%G\\t%P\\0" 2>/dev/null | head -z -n "$count"
"""


@dataclass(frozen=True)
class FolderCheck:
    """`group` is the id that the containers' user must join to read the folder, None where all may read."""

    problems: tuple[str, ...]
    group: int | None = None


@dataclass(frozen=True)
class Entry:
    """A file or folder below the image folder: `kind` is f, d, l ...; `mode` its permission bits; `group` its id."""

    kind: str
    mode: int
    group: int
    path: str

    def open_to(self, group: int | None, bits: int) -> bool:
        """Whether others, or the members of `group`, have these bits (4 read, 5 read and enter)."""
        by_group = group is not None and self.group == group and self.mode >> 3 & bits == bits
        return self.mode & bits == bits or by_group


def check_folder(host: Host, path: PurePath, pattern: str) -> FolderCheck:
    """Check that the containers' user can read an image folder and that it holds images.

    The engine mounts it whatever the folders above are: they may be closed to the containers' user.

    Args:
        host: the machine on which it lies.
        path: the folder there.
        pattern: the project's filter of file names, see `labeling.image_names`.
    """
    if not path.is_absolute():
        return FolderCheck((f"data folder {path}: give an absolute path",))
    top = _top(host, path)
    if top is None:
        return FolderCheck((f"data folder {path}: {_why_unseen(host, path)}",))
    if top.kind != "d":
        return FolderCheck((f"data folder {path}: is not a folder",))
    if str(path) == "/":
        return FolderCheck(("data folder /: the whole machine would be served; give the image folder",))
    if top.mode & 0o005 == 0o005:
        group = None
    elif top.mode & 0o050 == 0o050 and top.group != 0:
        group = top.group
    else:
        return FolderCheck(
            (
                f"data folder {path}: the containers do not run as root and could not read it "
                f"(mode {stat.filemode(stat.S_IFDIR | top.mode)}); `chmod o+rx` it, or give its group r-x",
            )
        )
    found, unreadable = _images(host, path, pattern, group)
    if not found:
        return FolderCheck((f"data folder {path}: no file matches {pattern!r} among its first {ENTRIES} entries",))
    if unreadable:
        return FolderCheck(
            (
                f"data folder {path}: {len(unreadable)} of the first {found} images are not readable for the "
                f"containers, for example {unreadable[0]}; `chmod -R o+rX` or `g+rX`",
            )
        )
    return FolderCheck((), group)


def group_of(host: Host, path: PurePath) -> int | None:
    """The group that the containers' user must join to read a folder that is known to be good; see `FolderCheck`."""
    top = _top(host, path)
    return None if top is None or top.mode & 0o005 == 0o005 else top.group


def _why_unseen(host: Host, path: PurePath) -> str:
    closed = closed_at(host, str(path), LOOK_TIMEOUT)
    if closed is None:
        return "no such file or directory"
    if host.is_local:
        return f"this user may not enter {closed}; `sudo ./inv up` may, or give others x there (`chmod o+x`)"
    return (
        f"not even root of {host.name} may enter {closed}, so Docker cannot mount what lies in it (an NFS share with "
        "root_squash?); give others x there (`chmod o+x`)"
    )


def _top(host: Host, path: PurePath) -> Entry | None:
    # Exit code 1: it is not there, or not to be seen.
    shown = host.run(
        *("stat", "--dereference", "--format", "%f %g", "--", str(path)),
        ok=(0, 1),
        timeout=LOOK_TIMEOUT,
        as_root=looks_as_root(host),
    )
    if not shown.ok:
        return None
    mode_text, group = shown.stdout.split()
    mode = int(mode_text, 16)
    return Entry("d" if stat.S_ISDIR(mode) else "f", stat.S_IMODE(mode), int(group), "")


def _images(host: Host, folder: PurePath, pattern: str, group: int | None) -> tuple[int, list[PurePosixPath]]:
    reached = {".": True}  # folder -> whether the containers get into it, and into those above it
    matches = re.compile(file_pattern(pattern)).match
    found, unreadable = 0, []
    for entry in _entries(host, folder):
        path = PurePosixPath(entry.path)
        way_is_open = reached.get(str(path.parent), True)
        if entry.kind == "d":
            reached[str(path)] = way_is_open and entry.open_to(group, 5)
        elif entry.kind == "f" and matches(path.name):
            found += 1
            if not way_is_open or not entry.open_to(group, 4):
                unreadable.append(path)
            if found == SAMPLE:
                break
    return found, unreadable


def _entries(host: Host, folder: PurePath) -> Iterator[Entry]:
    limits = (str(folder), str(ENTRIES), *skipped_folders_in_find())
    listed = host.run("sh", "-c", LIST, "sh", *limits, timeout=LOOK_TIMEOUT, as_root=looks_as_root(host))
    for entry in listed.stdout.split("\0"):  # a name may hold a line break
        fields = entry.split("\t", 3)
        if len(fields) == 4:
            yield Entry(fields[0], int(fields[1], 8), int(fields[2]), fields[3])
