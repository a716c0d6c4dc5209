"""The machine and its software in plain words, as a table names them."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from backend.device import cuda_devices

FLAGS = {"amx_bf16": "AMX bf16", "avx512_bf16": "AVX-512 bf16", "avx512f": "AVX-512", "avx2": "AVX2"}
GPU_NAME = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")


def describe() -> str:
    """`2 cores of AMD EPYC (AVX2), 25 GB of memory`, and the GPU where there is one."""
    cores, memory = len(os.sched_getaffinity(0)), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    name = processor(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    gpu = ""
    if cuda_devices():
        gpu = ", an NVIDIA GPU"
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            found = subprocess.run(GPU_NAME, capture_output=True, text=True, timeout=20, check=True).stdout
            gpu = f", {found.splitlines()[0].strip()}" if found.strip() else gpu
    return f"{cores} core{'s' * (cores != 1)} of {name}, {memory / 1e9:.0f} GB of memory{gpu}"


def gpu_memory_mb(pid: int) -> float | None:
    """What a process holds of the GPUs' memory, in MB (10^6 bytes); None where the driver does not say."""
    query = ("nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return memory_of(pid, found)


def memory_of(pid: int, listed: str) -> float | None:
    """The sum over the lines `pid, MiB` of nvidia-smi that are of this process; None where there is none."""
    lines = [line.split(",") for line in listed.splitlines() if line.count(",") == 1]
    found = [int(used) for owner, used in lines if owner.strip() == str(pid) and used.strip().isdigit()]
    return sum(found) * (1 << 20) / 1e6 if found else None


def processor(cpuinfo: str) -> str:
    """The processor's name, with the instructions that matter to a model, out of `/proc/cpuinfo`."""
    name, flags = (re.search(rf"^{field}\s*:(.*)", cpuinfo, re.MULTILINE) for field in ("model name", "flags"))
    words = re.sub(r"\((R|TM)\)| @.*", "", name[1]).strip() if name else "an unknown processor"
    found = flags[1].split() if flags else []
    return f"{words} ({next((FLAGS[flag] for flag in FLAGS if flag in found), 'without AVX2')})"


def software() -> dict[str, str]:
    """Versions of Python and of the packages that matter, by name."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in ("torch", "openvino", "label-studio-sdk"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
