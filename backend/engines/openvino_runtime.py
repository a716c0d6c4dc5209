"""The one place that imports OpenVINO, without its telemetry."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from backend.errors import ModelError

TELEMETRY = "openvino_telemetry"


def load_openvino() -> ModuleType:
    """Import the package so that it cannot send telemetry.

    `import openvino` alone sends an event (openvino/tools/ovc/__init__.py) unless the package `openvino_telemetry`
    cannot be imported; then OpenVINO takes a stub of its own. None in `sys.modules` makes an import fail.

    Raises:
        ModelError: it is not installed, or does not run here.
    """
    sys.modules.setdefault(TELEMETRY, None)  # type: ignore[arg-type]
    if sys.modules[TELEMETRY] is not None:
        raise ModelError(f"{TELEMETRY} is loaded already, so OpenVINO would report its use; import it through here")
    try:
        return import_module("openvino")
    except (ImportError, OSError) as error:
        raise ModelError(f"OpenVINO cannot be imported ({error}); install it, or set SAM2_ENGINE=torch") from error


def has_bfloat16(core: Any) -> bool:
    """Does the processor compute in bfloat16?"""
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def compile_options(*, bfloat16: bool) -> dict[str, str]:
    """For one request at a time on every core that this process may use."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
        "INFERENCE_NUM_THREADS": str(len(os.sched_getaffinity(0))),
    }
