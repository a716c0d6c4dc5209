"""What a machine must have before anything on it is changed. Every check returns its problems in words."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

GIB = 1024**3
SUPPORTED = {("debian", "12"), ("debian", "13"), ("ubuntu", "22.04"), ("ubuntu", "24.04")}
MEMORY_NEEDED = 3 * GIB
DISK_TO_BUILD = 12 * GIB
DISK_TO_RUN = 1 * GIB
SAMPLE = 1000


def parse_os_release(text: str) -> dict[str, str]:
    """Return the fields of an `os-release(5)` text, quotes removed."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith("#"):
            fields[name] = value.strip("\"'")
    return fields


def os_problems(os_release: str | None, machine: str, engine_ready: bool) -> list[str]:
    """Check distribution and processor.

    Args:
        os_release: content of /etc/os-release, None where there is none.
        machine: the processor as `uname -m` prints it.
        engine_ready: an engine with compose is there, so nothing has to be installed from the distribution.
    """
    problems = []
    if machine not in ("x86_64", "aarch64"):
        problems.append(f"the processor is {machine}; x86_64 or aarch64 is needed")
    fields = parse_os_release(os_release or "")
    seen = (fields.get("ID", "unknown"), fields.get("VERSION_ID", ""))
    if not engine_ready and seen not in SUPPORTED:
        known = ", ".join(f"{name} {version}" for name, version in sorted(SUPPORTED))
        problems.append(
            f"this is {' '.join(seen).strip()}; Docker can be installed on {known}. "
            "On another system install Docker Engine with the compose plugin first"
        )
    return problems


def rights_problems(uid: int, can_sudo: bool, engine_ready: bool) -> list[str]:
    """Check that we may install what is missing. `can_sudo` means sudo without a password."""
    if uid == 0 or engine_ready:
        return []
    if can_sudo:
        return [
            "Docker is missing or out of reach for this user; run `sudo ./inv up` once "
            "(or add the user to the group docker and sign in again)"
        ]
    return ["neither root, nor sudo without a password, nor a Docker engine this user may use; run `sudo ./inv up`"]


def memory_problems(meminfo: str) -> list[str]:
    """Check `/proc/meminfo` for enough memory in all."""
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            total = int(line.split()[1]) * 1024
            if total < MEMORY_NEEDED:
                return [f"{total / GIB:.1f} GiB of memory; at least {MEMORY_NEEDED / GIB:.0f} GiB are needed"]
            return []
    return ["/proc/meminfo does not say how much memory there is"]


def disk_problems(places: Mapping[str, tuple[Path, int]]) -> list[str]:
    """Check free space.

    Args:
        places: what for -> (a path, bytes needed). A path that is not there yet counts where its nearest
            existing parent lies. Needs on the same file system are added up.
    """
    needs: dict[int, tuple[Path, int, list[str]]] = {}
    for purpose, (path, needed) in places.items():
        existing = nearest_existing(path)
        device = existing.stat().st_dev
        first, total, purposes = needs.get(device, (existing, 0, []))
        needs[device] = (first, total + needed, [*purposes, f"{purpose} in {path}"])
    problems = []
    for first, needed, purposes in needs.values():
        free = shutil.disk_usage(first).free
        if free < needed:
            problems.append(
                f"{free / GIB:.1f} GiB free on the disk of {first}, {needed / GIB:.1f} GiB needed "
                f"({'; '.join(purposes)}); free some space"
            )
    return problems


def nearest_existing(path: Path) -> Path:
    """Return `path`, or its nearest parent that exists."""
    for candidate in (path, *path.parents):
        if candidate.exists():
            return candidate
    return Path("/")


def port_problems(port: int, ours: bool) -> list[str]:
    """Check that we can listen on `port` of 127.0.0.1. `ours`: our own running stack holds it."""
    if ours:
        return []
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return [
                    f"port {port} of 127.0.0.1 is taken by another program (`ss -ltnp` says which); "
                    "stop it, or set LABEL_STUDIO_PORT in .env"
                ]
            return [f"cannot listen on port {port} of 127.0.0.1: {error.strerror}"]
    return []


def subnet_problems(subnet: str, routes: str, ours: bool) -> list[str]:
    """Check that no route of this machine overlaps our network.

    Args:
        routes: content of /proc/net/route (addresses are little-endian hexadecimal, see proc(5)).
        ours: our own compose network exists already, so one route is expected.
    """
    if ours:
        return []
    network = ipaddress.IPv4Network(subnet)
    for line in routes.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[7] == "00000000":
            continue
        address = ipaddress.IPv4Address(int.from_bytes(bytes.fromhex(fields[1]), "little"))
        mask = ipaddress.IPv4Address(int.from_bytes(bytes.fromhex(fields[7]), "little"))
        route = ipaddress.IPv4Network(f"{address}/{mask}", strict=False)
        if route.overlaps(network):
            return [
                f"the compose network {subnet} overlaps the route {route} of {fields[0]}; "
                "set another private network as LABELRIG_SUBNET in .env"
            ]
    return []


@dataclass(frozen=True)
class FolderCheck:
    """`group` is the id that the containers' user must join to read the folder, None where all may read."""

    problems: tuple[str, ...]
    group: int | None = None


def check_folder(path: Path, pattern: str) -> FolderCheck:
    """Check that the containers' user can read an image folder and that it holds images.

    Args:
        path: the folder on this machine.
        pattern: the file filter for messages and matching, a regular expression on the file name.
    """
    if not path.is_absolute():
        return FolderCheck((f"data folder {path}: give an absolute path",))
    try:
        info = path.stat()
    except OSError as error:
        return FolderCheck((f"data folder {path}: {(error.strerror or 'cannot be read').lower()}",))
    if not stat.S_ISDIR(info.st_mode):
        return FolderCheck((f"data folder {path}: is not a folder",))
    if path == Path("/"):
        return FolderCheck(("data folder /: the whole machine would be served; give the image folder",))
    if info.st_mode & 0o005 == 0o005:
        group = None
    elif info.st_mode & 0o050 == 0o050 and info.st_gid != 0:
        group = info.st_gid
    else:
        return FolderCheck(
            (
                f"data folder {path}: the containers do not run as root and could not read it "
                f"(mode {stat.filemode(info.st_mode)}); `chmod o+rx` it, or give its group r-x",
            )
        )
    found, unreadable = 0, []
    for file in islice(_files(path), SAMPLE):
        if not re.match(pattern, file.name):
            continue
        found += 1
        if not _readable(file, group):
            unreadable.append(file)
    if not found:
        return FolderCheck((f"data folder {path}: no file matches {pattern!r} among its first {SAMPLE}",))
    if unreadable:
        return FolderCheck(
            (
                f"data folder {path}: {len(unreadable)} of the first {found} images are not readable for the "
                f"containers, for example {unreadable[0].relative_to(path)}; `chmod -R o+rX` or `g+rX`",
            )
        )
    return FolderCheck((), group)


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(root, name)


def _readable(file: Path, group: int | None) -> bool:
    """Whether others, or the group that the container joins, may read the file and enter its folder."""
    for path, bits in ((file, 0o4), (file.parent, 0o5)):
        info = path.stat()
        by_others = info.st_mode & bits == bits
        by_group = group is not None and info.st_gid == group and info.st_mode >> 3 & bits == bits
        if not (by_others or by_group):
            return False
    return True
