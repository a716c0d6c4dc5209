from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.deferred import defer
from core.repository import REPOSITORY

PACKAGE = "deferred_package_of_a_test"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / PACKAGE).mkdir()
    (tmp_path / PACKAGE / "__init__.py").write_text("value = 7\n")
    (tmp_path / PACKAGE / "part.py").write_text("from deferred_package_of_a_test import value\n")
    return f"""
import sys
sys.path[:0] = [{str(tmp_path)!r}, {str(REPOSITORY)!r}]
from core.deferred import defer
defer({PACKAGE!r})
import {PACKAGE} as first
print("value" in vars(first))
"""


def run(code: str) -> list[str]:
    return subprocess.run((sys.executable, "-c", code), check=True, capture_output=True, text=True).stdout.split()


def test_loaded_at_first_use(package: str) -> None:
    use = f"print(first.value, sys.modules[{PACKAGE!r}].value, 'value' in vars(first))"
    assert run(package + use) == ["False", "7", "7", "True"]


def test_loaded_by_import_of_a_part(package: str) -> None:
    assert run(package + f"import {PACKAGE}.part as part; print(part.value, first.value)") == ["False", "7", "7"]


def test_loaded_package_stays() -> None:
    defer("pytest")
    assert sys.modules["pytest"] is pytest


def test_missing_package_is_an_import_error() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\nfrom core.deferred import defer\ndefer('no_such_one')\n"
    )
    code += "import no_such_one\ntry:\n    no_such_one.thing\nexcept ImportError:\n    print('refused')\n"
    assert run(code) == ["refused"]


def test_httpx_works_without_its_command_line() -> None:
    code = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\nfrom core.deferred import leave_out\n"
    code += "leave_out('httpx._main')\nimport httpx\nprint(httpx.Client().get.__name__, 'rich' in sys.modules)"
    assert run(code) == ["get", "False"]
