"""The shell script `inv`: which Python it starts, and with what."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from core.repository import REPOSITORY
from tests.unit.infra.bundle.making import make


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


# Stands for a Python: it makes an environment of itself, and notes how pip was called and which wheels lay there then.
PYTHON = """#!/bin/sh
case "$1 $2" in
"-c "*) exit 0 ;;
"--version ") echo "Python 3.11.2" ;;
"-m venv") mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
"-m pip") printf '%s\\n' "$@" >"$NOTES/pip" && ls "$NOTES/a clone/.venv.wheels" >"$NOTES/wheels" 2>/dev/null; true ;;
*) printf '%s\\n' "$@" ;;
esac
"""


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A clone without .venv, in a folder with a blank in its name."""
    folder = tmp_path / "a clone"
    (folder / "requirements").mkdir(parents=True)
    shutil.copy(REPOSITORY / "inv", folder / "inv")
    (folder / "requirements" / "infra.lock").write_text("a lock\n")
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    return folder


def start(fresh: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    notes = fresh.parent
    variables = os.environ | {"LABELRIG_PYTHON": str(notes / "python"), "NOTES": str(notes)} | environment
    return subprocess.run(
        (fresh / "inv", *words), env=variables, cwd=notes, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("words", "variable"),
    [
        (["deploy", "--bundle", "b:1.tar"], ""),
        (["deploy", "--bundle=b:1.tar"], ""),
        (["status"], "b:1.tar"),
        (["bundle.verify", "b:1.tar", "--json"], ""),
        (["bundle.verify", "--json", "--path", "b:1.tar"], ""),
        (["bundle.verify", "--path=b:1.tar"], ""),
    ],
    ids=["two words", "one word", "variable", "verified", "verified by option", "verified in one word"],
)
def test_packages_come_out_of_a_bundle(fresh: Path, words: list[str], variable: str) -> None:
    make(fresh.parent).rename(fresh.parent / "b:1.tar")
    given = {"LABELRIG_BUNDLE": variable} if variable else {}
    done = start(fresh, *words, **given)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{fresh}/tasks.py", *words]
    called = (fresh.parent / "pip").read_text().splitlines()
    assert called[-5:] == [
        "--no-index", "--find-links", f"{fresh}/.venv.wheels", "--requirement", f"{fresh}/requirements/infra.lock"
    ]  # fmt: skip
    assert "--require-hashes" in called
    assert (fresh.parent / "wheels").read_text() == "thing-1.0-py3-none-any.whl\n"
    assert not (fresh / ".venv.wheels").exists()


@pytest.mark.parametrize(
    "words",
    [["status"], ["bundle.verify"], ["config.check", "--path", "x"], ["exec", "sam2", "--", "ls", "--bundle", "x"]],
    ids=lambda words: words[0],
)
def test_packages_come_from_the_index_without_one(fresh: Path, words: list[str]) -> None:
    done = start(fresh, *words)
    assert done.returncode == 0, done.stderr
    called = (fresh.parent / "pip").read_text().splitlines()
    assert called[-2:] == ["--requirement", f"{fresh}/requirements/infra.lock"]
    assert "--no-index" not in called


def test_a_file_that_is_no_bundle_ends_it(fresh: Path) -> None:
    (fresh.parent / "notes.txt").write_text("no bundle")
    done = start(fresh, "deploy", "--bundle", "notes.txt")
    assert done.returncode == 1
    assert "inv: the Python packages of ./notes.txt cannot be unpacked" in done.stderr
    assert not (fresh.parent / "pip").exists()
    assert not (fresh / ".venv.wheels").exists()
