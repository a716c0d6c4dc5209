"""The parsers, on what real machines said and on what broken ones say."""

from __future__ import annotations

import pytest

from infra.roles.nvidia.facts import Gpu, parse_devices, parse_gpus, parse_library, parse_module, version_numbers


@pytest.mark.parametrize(
    ("proc", "sys", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n"
            "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n",
            None,
            "535.104.05",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  555.58.02  Release Build  "
            "(dvs-builder@U16-I3-B03-4-3)  Tue Jun 25 01:26:03 UTC 2024\nGCC version:  gcc version 14.2.1 20240801\n",
            None,
            "555.58.02",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.65.06  Release Build\n", None, "580.65.06"),
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  515.76  Mon Sep 12 19:21:56 UTC 2022\n", "", "515.76"),
        ("something new\nGCC version:  gcc version 12.2.0 (Debian)\n", "590.48.01\n", "590.48.01"),
        (None, "550.54.14\n", "550.54.14"),
        (None, None, None),
        (None, "", None),
    ],
)
def test_the_version_of_the_loaded_module(proc: str | None, sys: str | None, version: str | None) -> None:
    assert parse_module(proc, sys) == version


@pytest.mark.parametrize(
    ("listing", "version"),
    [
        ("(libc6,x86-64) |/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.95.05\n", "580.95.05"),
        ("(libc6,AArch64) |/usr/lib/aarch64-linux-gnu/libnvidia-ml.so.580.65.06\n", "580.65.06"),
        (
            "(libc6) |/usr/lib/i386-linux-gnu/libnvidia-ml.so.470.1\n"
            "(libc6,x86-64) |/usr/lib/x86_64-linux-gnu/nvidia/current/libnvidia-ml.so.580.95.05\n",
            "580.95.05",
        ),
        ("(libc6) |/usr/lib/i386-linux-gnu/libnvidia-ml.so.470.141.03\n", "470.141.03"),
        ("(libc6,x86-64) |/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1\n", None),
        ("(libc6,x86-64) |\n", None),
        ("", None),
    ],
)
def test_the_version_of_the_library(listing: str, version: str | None) -> None:
    assert parse_library(listing) == version


def test_display_devices_of_nvidia_only() -> None:
    listing = (
        "0000:01:00.0 0x10de 0x030000 nvidia\n"
        "0000:01:00.1 0x10de 0x040300 snd_hda_intel\n"
        "0000:02:00.0 0x10de 0x030200 -\n"
        "0000:03:00.0 0x10de 0x030000 vfio-pci\n"
        "0000:04:00.0 0x1002 0x030000 amdgpu\n"
        "0000:05:00.0 0x10de\n"
    )
    assert parse_devices(listing) == ("0000:01:00.0", "0000:02:00.0")
    assert parse_devices("") == ()


def test_the_list_of_nvidia_smi() -> None:
    output = (
        "0, NVIDIA A100-SXM4-80GB, GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77, 81920, 535.104.05, 8.0\n"
        "1, NVIDIA GB10, GPU-6e, [N/A], 580.95.05, 12.1\n"
        "2, Tesla K80, GPU-7f, 11441, 470.256.02\n"
        "3, NVIDIA A30, GPU-80, [Unknown Error], 535.104.05, [N/A]\n"
    )
    assert parse_gpus(output) == (
        Gpu(0, "NVIDIA A100-SXM4-80GB", "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77", 81920, "535.104.05", (8, 0)),
        Gpu(1, "NVIDIA GB10", "GPU-6e", None, "580.95.05", (12, 1)),
        Gpu(2, "Tesla K80", "GPU-7f", 11441, "470.256.02", None),
        Gpu(3, "NVIDIA A30", "GPU-80", None, "535.104.05", None),
    )


@pytest.mark.parametrize(
    "output",
    [
        "",
        "No devices were found\n",
        "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.65\n",
        "WARNING: infoROM is corrupted at gpu 0000:00:1E.0\n",
        "Unable to determine the device handle for GPU0000:17:00.0: Unknown Error\n",
        "index, name, uuid, memory.total [MiB], driver_version, compute_cap\n",
    ],
)
def test_what_is_no_gpu_is_none(output: str) -> None:
    assert parse_gpus(output) == ()


def test_versions_are_compared_as_numbers() -> None:
    assert version_numbers("580.65.06") == (580, 65, 6)
    assert version_numbers("1.17.8-1") == (1, 17, 8)
    assert version_numbers("580.105.08") > version_numbers("580.65.06")
    assert version_numbers("none") == ()
