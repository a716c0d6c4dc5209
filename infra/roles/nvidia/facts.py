"""What a machine says about NVIDIA's GPUs: read with four read-only questions, each with a pure parser."""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.errors import CommandTimedOut
from hosts.base import ANY_EXIT_CODE, Host, read_text

NVIDIA = "0x10de"
DISPLAY_CLASS = "0x03"
FOR_VIRTUAL_MACHINES = "vfio-pci"
SMI_TIMEOUT = 60.0
COMMAND_NOT_FOUND = 127
HANGS = -1
PROC_VERSION = "/proc/driver/nvidia/version"
SYS_VERSION = "/sys/module/nvidia/version"
MODULE_VERSION = re.compile(r"^NVRM version:.*?\s(\d+\.\d+(?:\.\d+)*)\s", re.MULTILINE)
LIBRARY_VERSION = re.compile(r"/libnvidia-ml\.so\.(\d+\.\d+(?:\.\d+)*)$")
SIXTY_FOUR_BITS = ("x86-64", "AArch64")
FIELDS = ("index", "name", "uuid", "memory.total", "driver_version")
CAPABILITY = "compute_cap"
UNKNOWN_FIELD = (2, 6)
# No lspci: it is not on every server, and this needs no program at all.
PCI_SCRIPT = r"""
for at in /sys/bus/pci/devices/*; do
    read -r vendor 2>/dev/null <"$at/vendor" && read -r class 2>/dev/null <"$at/class" || continue
    [ "$vendor" = 0x10de ] || continue
    driver=$(readlink "$at/driver") || driver=-
    echo "${at##*/} $vendor $class ${driver##*/}"
done
true
"""
LIBRARY_SCRIPT = r"""
PATH="$PATH:/usr/sbin:/sbin"
ldconfig -p 2>/dev/null | while read -r name rest; do
    [ "$name" = libnvidia-ml.so.1 ] && echo "${rest% => *}|$(readlink -f "${rest##* => }")"
done
true
"""


@dataclass(frozen=True)
class Gpu:
    """One line of nvidia-smi. `memory_mib` is None where the GPU shares the machine's memory."""

    index: int
    name: str
    uuid: str
    memory_mib: int | None
    driver: str
    capability: tuple[int, int] | None


@dataclass(frozen=True)
class GpuFacts:
    """What was seen.

    Attributes:
        devices: PCI addresses of NVIDIA display devices, without those that are lent to virtual machines.
        module: version of the kernel module that is loaded.
        library: version of the user library that programs would load.
        smi: exit code of nvidia-smi; None where it is not installed, HANGS where it did not end.
        gpus: what nvidia-smi lists.
        said: what nvidia-smi said when it failed.
    """

    devices: tuple[str, ...] = ()
    module: str | None = None
    library: str | None = None
    smi: int | None = None
    gpus: tuple[Gpu, ...] = ()
    said: str = ""


def read_gpu(host: Host) -> GpuFacts:
    """Ask the machine. Nothing is changed."""
    smi, output = _ask_smi(host)
    return GpuFacts(
        devices=parse_devices(host.run("sh", "-c", PCI_SCRIPT).stdout),
        module=parse_module(read_text(host, PROC_VERSION), read_text(host, SYS_VERSION)),
        library=parse_library(host.run("sh", "-c", LIBRARY_SCRIPT).stdout),
        smi=smi,
        gpus=parse_gpus(output) if smi == 0 else (),
        said="" if smi == 0 else " ".join(output.split()),
    )


def smi_query(fields: tuple[str, ...]) -> tuple[str, ...]:
    """The command line of nvidia-smi's list: one line for each GPU, bare numbers."""
    return ("nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits")


def parse_devices(listing: str) -> tuple[str, ...]:
    """Read what PCI_SCRIPT prints: address, vendor, class, kernel driver."""
    rows = [row for line in listing.splitlines() if len(row := line.split()) == 4]
    return tuple(
        address
        for address, vendor, kind, driver in rows
        if vendor == NVIDIA and kind.startswith(DISPLAY_CLASS) and driver != FOR_VIRTUAL_MACHINES
    )


def parse_module(proc: str | None, sys: str | None) -> str | None:
    """The version of the loaded kernel module, NVIDIA's closed one or the open one."""
    if proc is not None and (found := MODULE_VERSION.search(proc)):
        return found[1]
    return (sys or "").strip() or None


def parse_library(listing: str) -> str | None:
    """Read what LIBRARY_SCRIPT prints: flags and the resolved path; the 64-bit one counts where there are several."""
    versions: dict[bool, str] = {}
    for line in listing.splitlines():
        flags, _, path = line.partition("|")
        if found := LIBRARY_VERSION.search(path):
            versions.setdefault(any(mark in flags for mark in SIXTY_FOUR_BITS), found[1])
    return versions.get(True) or versions.get(False)


def parse_gpus(output: str) -> tuple[Gpu, ...]:
    """Read nvidia-smi's list; lines that are no GPU (warnings go to the same stream) are left out."""
    gpus = []
    for line in output.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) not in (len(FIELDS), len(FIELDS) + 1) or not cells[0].isdigit():
            continue
        index, name, uuid, memory, driver = cells[: len(FIELDS)]
        capability = cells[len(FIELDS)] if len(cells) > len(FIELDS) else ""
        gpus.append(
            Gpu(int(index), name, uuid, int(memory) if memory.isdigit() else None, driver, _capability(capability))
        )
    return tuple(gpus)


def version_numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, for comparing: "580.65.06" -> (580, 65, 6)."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _capability(text: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _ask_smi(host: Host) -> tuple[int | None, str]:
    for fields in ((*FIELDS, CAPABILITY), FIELDS):  # drivers before 510 do not know the last one
        try:
            answer = host.run(*smi_query(fields), ok=ANY_EXIT_CODE, timeout=SMI_TIMEOUT)
        except CommandTimedOut:
            return HANGS, f"no answer within {SMI_TIMEOUT:.0f} s"
        if answer.exit_code not in UNKNOWN_FIELD:
            break
    if answer.exit_code == COMMAND_NOT_FOUND:
        return None, ""
    return answer.exit_code, answer.stdout + answer.stderr if not answer.ok else answer.stdout
