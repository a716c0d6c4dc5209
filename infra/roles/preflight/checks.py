"""What a machine must have before anything on it is changed. Every check returns its problems in words."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hosts.base import Host

GIB = 1024**3
SUPPORTED = {("debian", "12"), ("debian", "13"), ("ubuntu", "22.04"), ("ubuntu", "24.04")}
MEMORY_NEEDED = 3 * GIB
DISK_TO_BUILD = 12 * GIB
DISK_TO_RUN = 1 * GIB
CLOCK_MAY_DIFFER = 120.0
OLDEST_KERNEL = (4, 18)
NEAREST_DISK = """
p=$1
while [ ! -e "$p" ]; do p=$(dirname -- "$p"); done
printf "%s\\n" "$p"
df -B1 --output=avail,source,target -- "$p"
"""


@dataclass(frozen=True)
class Disk:
    """`path` exists and lies on `device`, which has `free` bytes for an ordinary user."""

    path: str
    device: str
    free: int


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


def kernel_problems(release: str) -> list[str]:
    """Check `uname -r`: containers with overlay file systems and memory limits want a kernel that is not ancient."""
    numbers = [part for part in release.replace("-", ".").split(".")[:2] if part.isdigit()]
    if len(numbers) == 2 and tuple(map(int, numbers)) < OLDEST_KERNEL:
        return [f"the kernel is {release}; {'.'.join(map(str, OLDEST_KERNEL))} or newer is needed"]
    return []


def clock_problems(there: float, here: float) -> list[str]:
    """Check that a machine's clock agrees with ours: tokens and package lists carry times. Seconds since 1970."""
    if abs(there - here) <= CLOCK_MAY_DIFFER:
        return []
    word = "behind" if there < here else "ahead of"
    return [
        f"its clock is {abs(there - here):.0f} s {word} this machine's; set the time there (NTP): tokens and package "
        "lists are refused when the time is wrong"
    ]


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


def memory_bytes(meminfo: str, field: str) -> int | None:
    """Read one field of `/proc/meminfo`, such as `MemTotal`; None where it is missing."""
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return None


def memory_problems(meminfo: str) -> list[str]:
    """Check `/proc/meminfo` for enough memory in all."""
    total = memory_bytes(meminfo, "MemTotal")
    if total is None:
        return ["/proc/meminfo does not say how much memory there is"]
    if total < MEMORY_NEEDED:
        return [f"{total / GIB:.1f} GiB of memory; at least {MEMORY_NEEDED / GIB:.0f} GiB are needed"]
    return []


def disk_problems(disks: Mapping[str, Disk], needs: Mapping[str, tuple[str, int]]) -> list[str]:
    """Check free space.

    Args:
        disks: path -> the disk it lies on, see `read_disk`.
        needs: what for -> (a path, bytes needed). Needs on the same disk are added up.
    """
    sums: dict[str, tuple[Disk, int, list[str]]] = {}
    for purpose, (path, needed) in needs.items():
        disk = disks[path]
        _, total, purposes = sums.get(disk.device, (disk, 0, []))
        sums[disk.device] = (disk, total + needed, [*purposes, f"{purpose} in {path}"])
    return [
        f"{disk.free / GIB:.1f} GiB free on the disk of {disk.path}, {needed / GIB:.1f} GiB needed "
        f"({'; '.join(purposes)}); free some space"
        for disk, needed, purposes in sums.values()
        if disk.free < needed
    ]


def read_disk(host: Host, path: str, *, as_root: bool = False) -> Disk:
    """Ask for the disk on which `path` lies, or would lie: its nearest parent that exists counts.

    Args:
        as_root: root looks: it sees what lies in a folder that is closed to whoever logs in.
    """
    lines = host.run("sh", "-c", NEAREST_DISK, "sh", path, timeout=30, as_root=as_root).stdout.splitlines()
    free, device = lines[-1].split(maxsplit=1)
    return Disk(lines[0], device, int(free))


def port_problems(
    listening: Collection[int], port: int, ours: bool, listen: str = "127.0.0.1", setting: str = ""
) -> list[str]:
    """Check that no other program listens on `port`.

    Args:
        listening: see `listening_ports`.
        ours: our own running stack holds it.
        listen: the address on which Label Studio is to be published.
    """
    if ours or port not in listening:
        return []
    return [
        f"port {port} of {listen} is taken by another program (`ss -ltnp` says which); "
        f"stop it, or change {setting or 'LABEL_STUDIO_PORT in .env (`port` in the inventory)'}"
    ]


def listening_ports(tcp: str, tcp6: str, listen: str = "127.0.0.1") -> set[int]:
    """The ports on which a listener would be in our way: on our address, or on every one.

    Args:
        tcp: content of /proc/net/tcp; addresses are little-endian hexadecimal, state 0A is LISTEN (see proc(5)).
        tcp6: content of /proc/net/tcp6; a listener on `::` takes IPv4 connections too.
    """
    ours = ipaddress.IPv4Address(listen)
    ports = set()
    for line in (*tcp.splitlines(), *tcp6.splitlines()):
        fields = line.split()
        if len(fields) < 4 or fields[3] != "0A":
            continue
        address, _, port = fields[1].partition(":")
        everywhere = int(address, 16) == 0 or int(ours) == 0
        same = len(address) == 8 and int.from_bytes(bytes.fromhex(address), "little") == int(ours)
        if everywhere or same:
            ports.add(int(port, 16))
    return ports


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
