from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register `--gpu`; known where this folder, or a file in it, is named on the command line."""
    parser.addoption(
        "--gpu", action="store_true", help="the machine has an NVIDIA GPU and its driver: use the real one"
    )
