"""What this machine does with programs that cannot be started."""

from __future__ import annotations

from pathlib import Path

import pytest

from hosts.local import LocalHost


@pytest.mark.parametrize("kind", ["path-names-a-file", "not-executable", "not-a-program"])
def test_what_cannot_be_started_is_exit_code_127(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tool"
    program.write_text("neither a script nor a binary")
    program.chmod(0o755 if kind == "not-a-program" else 0o644)
    monkeypatch.setenv("PATH", str(program if kind == "path-names-a-file" else tmp_path))
    result = LocalHost().run("tool", ok=(127,))
    assert result.exit_code == 127
    assert result.stderr.startswith("tool: ")
