"""The role "nvidia": from a driver that works to containers that get the GPU. The driver itself is the lab's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from core.operation import Operation
from core.report import Report
from hosts.base import Host
from infra.roles.docker.apt import Apt
from infra.roles.docker.daemon_json import DaemonConfigured, merged
from infra.roles.nvidia.choice import GpuChoice, GpuSetting, GpuState, choose
from infra.roles.nvidia.devices import DeviceNodesLinked
from infra.roles.nvidia.facts import GpuFacts
from infra.roles.nvidia.toolkit import ToolkitInstalled, ToolkitSource

# As `nvidia-ctk runtime configure` writes it. It never becomes the default: only who asks for a GPU gets one.
PROGRAM = "nvidia-container-runtime"
RUNTIME: Mapping[str, object] = {"runtimes": {"nvidia": {"args": [], "path": PROGRAM}}}
ON_THE_CPU = "SAM2 computes on the CPU"


def choose_gpu(facts: GpuFacts, setting: GpuSetting, torch_cuda: str | None, report: Report) -> GpuChoice:
    """Decide whether SAM2 gets the GPU, and say so.

    Args:
        facts: from `infra.roles.nvidia.facts.read_gpu`.
        setting: `auto` takes a GPU that can be used, `require` takes nothing else, `off` does not look at it.
        torch_cuda: see `infra.roles.nvidia.choice.judge`.
        report: gets what was decided; a GPU that stands idle is a notice, no GPU is not.

    Raises:
        PreflightError: the GPU is required and cannot be used, or it is set up and does not work.
    """
    choice = choose(facts, setting, torch_cuda)
    if choice.use:
        report.ok(f"GPU can be used: {choice.why}", [])
        return choice
    report.skipped("GPU", f"{choice.why if choice.state in (None, GpuState.NONE) else 'it stands idle'}; {ON_THE_CPU}")
    if choice.state not in (None, GpuState.NONE):
        report.notice(f"{ON_THE_CPU}, though {choice.why}")
    return choice


def nvidia_role(
    host: Host,
    report: Report,
    choice: GpuChoice,
    restart_engine: Callable[[], None],
    *,
    source: ToolkitSource | None = None,
    engine_settings: Mapping[str, object] | None = None,
    apt: Apt | None = None,
) -> list[Operation]:
    """Return the operations after which a container can have the GPU; without it only the engine's other settings.

    Args:
        choice: from `choose_gpu`.
        restart_engine: see `infra.roles.docker.daemon_json.DaemonConfigured`.
        source: where the container toolkit comes from.
        engine_settings: what else `daemon.json` must hold, so that one restart serves for both.
        apt: where the toolkit comes from instead; by default the machine's own sources, and `source`.
    """
    others = engine_settings or {}
    if not choice.use:
        return [DaemonConfigured(host, report, others, restart_engine)] if others else []
    return [
        ToolkitInstalled(host, report, source, apt),
        DeviceNodesLinked(host),
        DaemonConfigured(
            host, report, lambda present: others if has_runtime(present) else merged(others, RUNTIME), restart_engine
        ),
    ]


def has_runtime(present: Mapping[str, object]) -> bool:
    """Whether `daemon.json` names the runtime already, in whichever of its spellings: no reason for a restart."""
    runtimes = present.get("runtimes")
    nvidia = runtimes.get("nvidia") if isinstance(runtimes, Mapping) else None
    path = nvidia.get("path") if isinstance(nvidia, Mapping) else None
    return isinstance(path, str) and PurePosixPath(path).name == PROGRAM
