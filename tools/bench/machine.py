"""The machine in plain words, as a table names it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from backend.device import cuda_devices

NVIDIA_SECONDS = 20.0


def describe() -> str:
    """`2 cores of AMD EPYC, 25 GB of memory`, and the GPU where there is one."""
    cores = len(os.sched_getaffinity(0))
    parts = [
        f"{cores} core{'' if cores == 1 else 's'} of {processor(Path('/proc/cpuinfo').read_text(encoding='utf-8'))}",
        f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB of memory",
    ]
    if cuda_devices():
        parts.append(_gpu())
    return ", ".join(parts)


def processor(cpuinfo: str) -> str:
    """The processor's name, with what makes the difference for a model, out of `/proc/cpuinfo`."""
    fields = dict(line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line)
    values = {name.strip(): value.strip() for name, value in fields.items()}
    name = values.get("model name", "an unknown processor").replace("(R)", "").replace("(TM)", "").split(" @")[0]
    flags = set(values.get("flags", "").split())
    widest = next((word for flag, word in FLAGS if flag in flags), "without AVX2")
    return f"{name} ({widest})"


FLAGS = (("amx_bf16", "AMX bf16"), ("avx512_bf16", "AVX-512 bf16"), ("avx512f", "AVX-512"), ("avx2", "AVX2"))


def _gpu() -> str:
    query = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=NVIDIA_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "an NVIDIA GPU"
    names = found.split("\n")
    return names[0].strip() or "an NVIDIA GPU"
