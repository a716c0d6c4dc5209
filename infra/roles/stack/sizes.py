"""How much memory, how many cores and how many processes each container may take: from the machine, or from a setting.

Limits and no reservations: they keep a container from taking the machine down with it. What the system itself needs is
left out, and the rest is divided, so that all containers at their limits fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hosts.base import Host, read_text
from infra.roles.preflight.checks import GIB, memory_bytes

MIB_OF_GIB = 1024
# For the system, at least one GiB of every eight.
SYSTEM_SHARE = 1 / 8
# Of what is left, in 28ths; and what each needs even on a machine that has less.
SHARES: Mapping[str, int] = {"sam2": 18, "label-studio": 7, "db": 3}
LEAST_MB: Mapping[str, int] = {"sam2": 3072, "label-studio": 1024, "db": 512, "proxy": 256}
WHOLE = sum(SHARES.values())
# Out of Label Studio's share: the proxy keeps nothing, so a larger machine gives it no more.
FIXED_MB: Mapping[str, int] = {"proxy": 256}
# Processes and threads: as many as they were seen to have under load, several times; libraries add some for each core.
PIDS: Mapping[str, int] = {"sam2": 512, "label-studio": 512, "db": 256, "proxy": 256}
PIDS_OF_CORE = 16
RAY_PIDS = 2048  # Ray's own processes have some 60 threads each
CORES = re.compile(r"^Cpus_allowed_list:\s*([0-9]+(?:[-,][0-9]+)*)$", re.MULTILINE)
WORK_SHARE, LARGEST_WORK_MB = 9, 4096
# Label Studio's processes: what each takes when it has worked for a day, and how many are of use. Together they open no
# more connections than the database server takes (100).
WEB_PROCESS_MB, WEB_PROCESSES, WEB_THREADS, WEB_CONNECTIONS = 700, (2, 8), 16, 80


@dataclass(frozen=True)
class MachineSize:
    """What a machine has: memory in whole GiB, so that a new kernel changes no container's limits, and cores."""

    memory_gb: int = 8
    cores: int = 2


@dataclass(frozen=True)
class Limits:
    """Of one container: MiB, cores, and processes and threads together."""

    memory_mb: int
    cpus: int
    pids: int


def machine_size(host: Host) -> MachineSize:
    """Read a machine's size; the smallest that is supported where it does not say."""
    memory = memory_bytes(read_text(host, "/proc/meminfo") or "", "MemTotal")
    # The cores that a process may use, as the engine counts them: it refuses to start a container with more.
    cores = CORES.search(read_text(host, "/proc/self/status") or "")
    unknown = MachineSize()
    return MachineSize(
        max(1, round(memory / GIB)) if memory else unknown.memory_gb, _count(cores[1]) if cores else unknown.cores
    )


def _count(ranges: str) -> int:
    """How many numbers `0-3,8` names."""
    pairs = (part.partition("-") for part in ranges.split(","))
    return sum(int(last or first) - int(first) + 1 for first, _, last in pairs)


def container_limits(machine: MachineSize, memory_gb: int | None = None) -> dict[str, Limits]:
    """The limits of each container.

    Args:
        memory_gb: what all containers together may take; None divides what the machine has.
    """
    shared = memory_gb * MIB_OF_GIB if memory_gb else _shared_mb(machine)
    memory = {service: shared * share // WHOLE for service, share in SHARES.items()} | dict(FIXED_MB)
    memory["label-studio"] -= sum(FIXED_MB.values())
    # All cores for the model: its libraries start a thread for each, and would be held up for want of their turn.
    cpus = {service: machine.cores if service == "sam2" else max(1, machine.cores // 2) for service in PIDS}
    return {
        service: Limits(
            max(LEAST_MB[service], megabytes),
            cpus[service],
            PIDS[service] + PIDS_OF_CORE * machine.cores,
        )
        for service, megabytes in memory.items()
    }


def ray_values(
    machine: MachineSize, limits: Mapping[str, Limits], memory_gb: int | None, replicas: int, *, alone: bool
) -> dict[str, str]:
    """What compose reads of Ray's container, which has the place of the backend's.

    Args:
        limits: of the stack's containers.
        replicas: that it holds.
        alone: there is no other container, so that it may have the whole share.
    """
    memory = memory_gb * MIB_OF_GIB if memory_gb else _shared_mb(machine)
    one = Limits(
        max(LEAST_MB["sam2"], memory) if alone else limits["sam2"].memory_mb,
        limits["sam2"].cpus,
        RAY_PIDS + PIDS_OF_CORE * machine.cores,
    )
    work = min(LARGEST_WORK_MB, one.memory_mb // (WORK_SHARE * max(1, replicas)))
    return {
        "LABELRIG_RAY_MEMORY_MB": str(one.memory_mb),
        "LABELRIG_RAY_CPUS": str(one.cpus),
        "LABELRIG_RAY_PIDS": str(one.pids),
        "LABELRIG_RAY_THREADS": str(max(1, one.cpus // max(1, replicas))),
        "LABELRIG_WORK_MEMORY_MB": str(work),
    }


def _shared_mb(machine: MachineSize) -> int:
    """What the containers of a machine may have together, in MiB."""
    whole = machine.memory_gb * MIB_OF_GIB
    return whole - max(MIB_OF_GIB, round(whole * SYSTEM_SHARE))


def web_processes(machine: MachineSize, label_studio: Limits) -> tuple[int, int]:
    """How many processes Label Studio is served by, and how many requests each works on at once."""
    least, most = WEB_PROCESSES
    processes = max(least, min(most, machine.cores + 1, label_studio.memory_mb // WEB_PROCESS_MB))
    return processes, min(WEB_THREADS, WEB_CONNECTIONS // processes)


def limit_values(limits: Mapping[str, Limits]) -> dict[str, str]:
    """The same as compose reads it, and the memory that the backend may give to pictures at work."""
    values: dict[str, str] = {}
    for service, one in limits.items():
        name = f"LABELRIG_{service.upper().replace('-', '_')}"
        values |= {f"{name}_MEMORY_MB": str(one.memory_mb), f"{name}_CPUS": str(one.cpus)}
        values |= {f"{name}_PIDS": str(one.pids)}
    work = min(LARGEST_WORK_MB, limits["sam2"].memory_mb // WORK_SHARE)
    return {**values, "LABELRIG_WORK_MEMORY_MB": str(work)}
