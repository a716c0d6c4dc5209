"""Whether SAM2 computes on the GPU of a machine, and in words why not.

Which driver a torch build needs follows from the CUDA version it was built for:

- "CUDA Compatibility", chapter "Minor Version Compatibility", table 1 (docs.nvidia.com/deploy/cuda-compatibility):
  CUDA 11.x from driver 450.80.02, 12.x from 525, 13.x from 580; newer drivers serve older builds.
- "CUDA Toolkit Release Notes", table "CUDA Toolkit and Minimum Required Driver Version": 12.x from 525.60.13.
- CUDA 13.0's release notes, "Deprecated Architectures": nothing is built any more for Maxwell, Pascal and Volta, so a
  GPU must have compute capability 7.5.

torch 2.13.0 of the Python index requires `cuda-toolkit==13.0.3` (its package metadata): built for CUDA 13.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from core.errors import PreflightError
from infra.roles.nvidia.facts import HANGS, Gpu, GpuFacts, version_numbers

GpuSetting = Literal["auto", "require", "off"]
TORCH_BUILDS = {"2.13.0": "13.0"}  # version in requirements/torch.in -> CUDA of its build in the Python index
DRIVER_NEEDED = {11: "450.80.02", 12: "525.60.13", 13: "580"}
CAPABILITY_NEEDED = {13: (7, 5)}
VERSION_MISMATCH = 18  # NVML_ERROR_LIB_RM_VERSION_MISMATCH, which nvidia-smi ends with
MEANINGS = {  # of nvidia-smi's exit codes, "Return value" in its manual
    4: "this user may not ask it",
    6: "no device was found",
    8: "a GPU's power cables are not attached",
    9: "the driver is not loaded",
    12: "the library of the driver is not there",
    14: "a GPU's infoROM is corrupted",
    15: "a GPU has fallen off the bus",
    16: "a GPU must be reset",
    17: "the GPU is blocked by the operating system or its cgroups",
    HANGS: "it hangs",
}


class GpuState(Enum):
    """How a machine and its GPU stand."""

    READY = "ready"
    NONE = "none there"
    NO_DRIVER = "without a driver"
    DRIVER_TOO_OLD = "its driver too old"
    GPU_TOO_OLD = "too old itself"
    CPU_BUILD = "of no use to the image"
    NOT_LOADED = "its driver not loaded"
    NO_TOOL = "without nvidia-smi"
    MISMATCH = "its driver half updated"
    BROKEN = "broken"

    @property
    def may_go_on(self) -> bool:
        """Whether `auto` takes the CPU instead: not where the GPU was set up, and does not work now."""
        return self not in (GpuState.NOT_LOADED, GpuState.NO_TOOL, GpuState.MISMATCH, GpuState.BROKEN)


@dataclass(frozen=True)
class GpuChoice:
    """Whether the GPU is used, and why (not), in a sentence for people. `gpus` is empty where it is not used."""

    use: bool
    state: GpuState | None
    why: str
    gpus: tuple[Gpu, ...] = ()


def judge(facts: GpuFacts, torch_cuda: str | None) -> tuple[GpuState, str]:
    """Say how things stand, and what to do.

    Args:
        torch_cuda: the CUDA version of the torch build in our image, such as "13.0"; None: built for the CPU only.
    """
    if facts.gpus:
        return _judge_working(facts.gpus, torch_cuda)
    if facts.module is None and not facts.devices:
        return GpuState.NONE, "there is no NVIDIA GPU"
    if facts.module is None:
        return _judge_without_module(facts, torch_cuda)
    differ = facts.library is not None and facts.library != facts.module
    if differ or facts.smi == VERSION_MISMATCH:
        return GpuState.MISMATCH, (
            f"the NVIDIA kernel module is {facts.module} and the driver's library {facts.library or 'another version'}"
            ": the driver was updated and the machine not rebooted since; reboot it, then repeat the command"
        )
    if facts.smi is None:
        return GpuState.NO_TOOL, (
            f"the NVIDIA driver {facts.module} is loaded, and its tool nvidia-smi is missing; install the package with "
            f"it (Debian: nvidia-smi, Ubuntu: nvidia-utils-{version_numbers(facts.module)[0]}), then repeat the command"
        )
    meaning = MEANINGS.get(facts.smi, facts.said[:200] or "it lists no GPU")
    return GpuState.BROKEN, (
        f"the NVIDIA driver {facts.module} is loaded and no GPU answers: nvidia-smi "
        f"{'did not end' if facts.smi == HANGS else f'ended with exit code {facts.smi}'}, {meaning}; look at "
        "`dmesg | grep -i nvrm`, reboot the machine if that names a GPU error, then repeat the command"
    )


def choose(facts: GpuFacts, setting: GpuSetting, torch_cuda: str | None) -> GpuChoice:
    """Decide.

    Raises:
        PreflightError: see `gpu_problems`.
    """
    if setting == "off":
        return GpuChoice(False, None, "the settings say so")
    if problems := gpu_problems(facts, setting, torch_cuda):
        raise PreflightError(problems)
    state, words = judge(facts, torch_cuda)
    return GpuChoice(state is GpuState.READY, state, words, facts.gpus if state is GpuState.READY else ())


def gpu_problems(facts: GpuFacts, setting: GpuSetting, torch_cuda: str | None) -> list[str]:
    """What stands in the way, for preflight's list.

    A GPU that was set up and does not work stops a deploy also where it is not required: on the CPU every
    click would take many times as long, without a word why.
    """
    if setting == "off":
        return []
    state, words = judge(facts, torch_cuda)
    if state is GpuState.READY or (setting == "auto" and state.may_go_on):
        return []
    way_out = "set `gpu: off` to compute on the CPU" if setting == "auto" else "`gpu: require` is set"
    return [f"{words} ({way_out})"]


def _judge_working(gpus: tuple[Gpu, ...], torch_cuda: str | None) -> tuple[GpuState, str]:
    driver = gpus[0].driver
    if torch_cuda is None:
        return GpuState.CPU_BUILD, (
            "the torch of the image is a build for the CPU, so the GPU would stand idle; let pip find "
            "a CUDA build (the Python index has it) where the image is built, then repeat the command"
        )
    family = version_numbers(torch_cuda)[0]
    needed = DRIVER_NEEDED.get(family)
    if needed is not None and version_numbers(driver) < version_numbers(needed):
        return GpuState.DRIVER_TOO_OLD, (
            f"the NVIDIA driver is {driver}; the torch of the image is built for CUDA {torch_cuda}, which needs "
            f"{needed} or newer; {_install_help(needed)}"
        )
    capability = CAPABILITY_NEEDED.get(family)
    if capability is not None and all(gpu.capability is not None and gpu.capability < capability for gpu in gpus):
        names = ", ".join(dict.fromkeys(gpu.name for gpu in gpus))
        return GpuState.GPU_TOO_OLD, (
            f"{names}: CUDA {torch_cuda}, for which the torch of the image is built, begins at compute capability "
            f"{capability[0]}.{capability[1]} (Turing); a torch built for CUDA 12 still serves older GPUs"
        )
    return GpuState.READY, f"NVIDIA driver {driver}, {_named(gpus)}"


def _judge_without_module(facts: GpuFacts, torch_cuda: str | None) -> tuple[GpuState, str]:
    where = ", ".join(facts.devices)
    if facts.library is not None or facts.smi is not None:
        return GpuState.NOT_LOADED, (
            f"there is an NVIDIA GPU ({where}) and a driver {facts.library or 'on the disk'}, and its kernel module is "
            "not loaded: reboot the machine; where that does not help, `sudo modprobe nvidia` says why (with Secure "
            "Boot the module must be signed, after a kernel update it must be built again)"
        )
    needed = DRIVER_NEEDED.get(version_numbers(torch_cuda)[0]) if torch_cuda is not None else None
    return GpuState.NO_DRIVER, (
        f"there is an NVIDIA GPU ({where}) and no NVIDIA driver; {_install_help(needed or DRIVER_NEEDED[12])}"
    )


def _install_help(needed: str) -> str:
    major = version_numbers(needed)[0]
    return (
        f"install driver {needed} or newer (Ubuntu: the package nvidia-driver-{major}-server; Debian: the package "
        f"nvidia-driver where `apt-cache policy nvidia-driver` offers {major} or newer, else cuda-drivers from "
        "NVIDIA's own apt source), reboot, then repeat the command"
    )


def _named(gpus: tuple[Gpu, ...]) -> str:
    counts: dict[str, int] = {}
    for gpu in gpus:
        counts[gpu.name] = counts.get(gpu.name, 0) + 1
    return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counts.items())
