"""Is there a CUDA device? Answered in milliseconds, without importing torch."""

from __future__ import annotations

import ctypes
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

DeviceChoice = Literal["auto", "cuda", "cpu"]


def wants_cuda(choice: DeviceChoice) -> bool:
    """Which kind of device the model will run on, as far as is known before torch is imported.

    A torch built for the CPU only (its version ends in `+cpu`) never uses the driver that may be there.
    """
    if choice != "auto":
        return choice == "cuda"
    try:
        built_for_cpu = version("torch").endswith("+cpu")
    except PackageNotFoundError:
        built_for_cpu = False
    return not built_for_cpu and cuda_devices() > 0


def cuda_devices() -> int:
    """How many devices the CUDA driver shows; 0 without a driver.

    Calls of the CUDA driver API, group "Initialization" and "Device Management".
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
