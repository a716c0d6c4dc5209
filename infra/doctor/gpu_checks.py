"""The link "gpu": the setting, the driver, the engine's runtime, and the device that the backend names."""

from __future__ import annotations

import ast
from typing import Any

from core.errors import LabelrigError
from hosts.base import ANY_EXIT_CODE
from infra.doctor.diagnosis import Finding, broken, ok, warning
from infra.doctor.inside import ASK_TIMEOUT
from infra.doctor.inspection import Inspection
from infra.roles.nvidia.choice import TORCH_BUILDS, GpuState, judge
from infra.roles.nvidia.container_check import TORCH_CUDA
from infra.roles.nvidia.facts import FIELDS, Gpu, parse_gpus, read_gpu, smi_query
from infra.roles.project.ask_backend import ask_backend_json

CPU = "SAM2 computes on the CPU"
FIXES = {
    GpuState.NO_DRIVER: "install that driver, then `sudo reboot`",
    GpuState.DRIVER_TOO_OLD: "install that driver, then `sudo reboot`",
    GpuState.GPU_TOO_OLD: "set `gpu: off`",
    GpuState.CPU_BUILD: "build the images where pip finds a CUDA build of torch",
    GpuState.NOT_LOADED: "`sudo reboot`, or `sudo modprobe nvidia`",
    GpuState.NO_TOOL: "install that package",
    GpuState.MISMATCH: "`sudo reboot`",
    GpuState.BROKEN: "`sudo dmesg | grep -i nvrm`, then `sudo reboot`",
}


def check_gpu(look: Inspection) -> Finding:
    """What was wished for is what the backend computes on."""
    setting = look.site.settings.gpu
    if setting == "off":
        return ok(f"the settings say off: {CPU}")
    used = _is_used(look)
    state, words = judge(read_gpu(look.host), _torch_cuda(look))
    if state is GpuState.READY:
        if used:
            return _check_container(look, words)
        seen = f"{words}; the running stack does not use it: {CPU}"
        fix = "`./inv deploy --host` uses GPUs, `./inv up` does not" if look.host.is_local else look.again
        return broken(seen, fix) if setting == "require" else warning(seen, fix)
    fix = f"{FIXES.get(state, 'set `gpu: auto`')}, then {look.again}"
    if used or setting == "require" or not state.may_go_on:
        return broken(words, fix)
    return ok(f"{words}: {CPU}") if state is GpuState.NONE else warning(f"{words}; {CPU}", fix)


def _is_used(look: Inspection) -> bool:
    """Whether the backend's container was given a GPU, or is to be."""
    try:
        container = look.container(look.site.computes)
    except LabelrigError:
        container = None
    if container is None:
        return look.site.gpu
    requests: list[dict[str, Any]] = container.attrs.get("HostConfig", {}).get("DeviceRequests") or []
    return any("gpu" in group for one in requests for group in one.get("Capabilities") or [])


def _torch_cuda(look: Inspection) -> str | None:
    """The CUDA version of the torch in the running backend; where none runs, of the build that is usual."""
    usual = next(reversed(TORCH_BUILDS.values()))
    try:
        if not look.healthy(look.site.computes):
            return usual
        said = look.exec_in_backend("python", "-c", TORCH_CUDA, timeout=ASK_TIMEOUT).stdout.strip()
        version = ast.literal_eval(said)
    except (LabelrigError, ValueError, SyntaxError):
        return usual
    return None if version is None else str(version)


def _check_container(look: Inspection, words: str) -> Finding:
    with look.asking_engine() as engine:
        runtimes = engine.info().get("Runtimes") or {}
    if "nvidia" not in runtimes:
        return broken(f"{words}; the Docker engine has no runtime `nvidia` (it has {', '.join(runtimes)})", look.again)
    if not look.healthy(look.site.computes):
        return ok(f"{words}; the {look.site.computes} container is not healthy and was not asked")
    run = look.exec_in_backend
    answer = run(*smi_query(FIELDS), ok=ANY_EXIT_CODE, timeout=ASK_TIMEOUT)
    seen = parse_gpus(answer.stdout) if answer.ok else ()
    restart = f"restart the container: {look.by_hand('docker restart ' + _name(look))}"
    if missing := _not_seen(look, seen):
        return broken(
            f"{words}; inside the {look.site.computes} container nvidia-smi does not list {', '.join(missing)} "
            f"(exit code {answer.exit_code})",
            restart,
        )
    if look.site.part == "worker":
        return ok(f"{words}; nvidia-smi lists every one inside the container")
    _, health = ask_backend_json(look.exec_in_backend, "GET", "/health", timeout=ASK_TIMEOUT)
    device = str(health.get("device"))
    if not device.startswith("cuda"):
        return broken(f"{words}; the backend computes on {device}", f"{look.inv('logs')} says why; then {restart}")
    return ok(f"{words}; the backend computes on {device}")


def _not_seen(look: Inspection, seen: tuple[Gpu, ...]) -> list[str]:
    uuids = {gpu.uuid for gpu in seen}
    return [f"GPU {gpu.index} ({gpu.name})" for gpu in read_gpu(look.host).gpus if gpu.uuid not in uuids]


def _name(look: Inspection) -> str:
    container = look.container(look.site.computes)
    return str(container.name) if container is not None else look.site.computes
