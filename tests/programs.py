"""Programs of other projects that tests run, where this machine has them."""

from __future__ import annotations

import shutil

import pytest

from infra.dev.test_needs import UNPACKED, unpacked_path


def find_program(name: str) -> str | None:
    """The path of a program that is installed here, or that `./inv test` unpacked."""
    return shutil.which(name, path=unpacked_path())


def need_program(name: str) -> str:
    """The same; where there is none, the test is skipped and says what is missing."""
    path = find_program(name)
    if path is None:
        package = UNPACKED.get(name, name)
        pytest.skip(f"{name} is not here: `./inv test` fetches it where apt knows the package {package}")
    return path
