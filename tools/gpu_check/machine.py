"""The part `machine`: what the check runs on, and that torch sees the GPU at all."""

from __future__ import annotations

import subprocess

import torch

from tools.bench.machine import describe, software
from tools.gpu_check.outcome import Kept

DRIVER = ("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")


def check(kept: Kept, dry_run: bool) -> None:
    """Name the machine; on CUDA also the card, its driver and one product that is computed there."""
    kept.row("machine", describe())
    kept.row("software", ", ".join(f"{name} {version}" for name, version in software().items()))
    kept.row("threads of torch", str(torch.get_num_threads()))
    if dry_run:
        kept.skip("card, driver and CUDA: a dry run uses the CPU")
        return
    seen = torch.cuda.is_available()
    kept.row("torch sees a CUDA device", str(seen), "True", seen)
    if not seen:
        return
    major, minor = torch.cuda.get_device_capability()
    kept.row("CUDA of torch, compute capability", f"{torch.version.cuda}, {major}.{minor}")
    bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    kept.row("the card computes in bfloat16", str(bfloat16))
    try:
        found = subprocess.run(DRIVER, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
        kept.row("card, driver, memory", found.splitlines()[0])
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        kept.skip(f"the driver's own words: nvidia-smi does not answer ({error})")
    one = torch.arange(64.0).reshape(8, 8)
    product = (one.cuda() @ one.cuda().T).cpu()
    right = bool(torch.allclose(product, one @ one.T, rtol=1e-3))
    kept.row("a product of two matrices is right", str(right), "True", right)
