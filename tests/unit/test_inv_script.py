"""The shell script `inv`: which Python it starts, and with what."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from core.repository import REPOSITORY


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose Python only says what it was called with."""
    shutil.copy(REPOSITORY / "inv", tmp_path / "inv")
    (tmp_path / "requirements").mkdir()
    lock = tmp_path / "requirements" / "infra.lock"
    lock.write_text("a lock\n")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    python.chmod(0o755)
    with lock.open("rb") as content:
        digest = subprocess.run(("cksum",), stdin=content, check=True, capture_output=True, text=True).stdout
    (tmp_path / ".venv" / ".lock-digest").write_text(digest)
    return tmp_path


@pytest.mark.parametrize("given", [[], ["export", "--help"], ["config.check", "a folder"], ["logs", "", "*"]])
def test_passes_arguments_on_unchanged(clone: Path, given: list[str]) -> None:
    """What a word without an option means is `commands.program`'s to say."""
    done = subprocess.run((clone / "inv", *given), check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [f"{clone}/tasks.py", *given]
