"""`./inv fix`: lint, format and documents, with the real ruff."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from core.errors import CommandFailed
from core.report import Report
from infra.config.documents import Document
from infra.dev import fix

CLUTTERED = "import sys\nimport os\n\nFOUND = ( os.sep,sys.path )\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that is all that `fix` works on, beside a document that is old."""
    (tmp_path / "page.md").write_text("old")
    monkeypatch.setattr(fix, "documents", lambda: (Document(tmp_path / "page.md", lambda _: "new"),))
    monkeypatch.setattr(fix, "install_test_environment", lambda *_: None)
    monkeypatch.setattr(fix, "SOURCES", (str(tmp_path / "module.py"),))
    return tmp_path / "module.py"


def test_repairs_lint_format_and_documents(module: Path) -> None:
    module.write_text(CLUTTERED)
    fix.run_fix(Report(io.StringIO()))
    assert module.read_text() == "import os\nimport sys\n\nFOUND = (os.sep, sys.path)\n"
    assert (module.parent / "page.md").read_text() == "new"


def test_what_is_left_is_shown_and_fails(module: Path) -> None:
    module.write_text("def f():\n    return missing\n")
    stream = io.StringIO()
    with pytest.raises(CommandFailed):
        fix.run_fix(Report(stream))
    assert "F821" in stream.getvalue()
    assert module.read_text() == "def f():\n    return missing\n"
