"""The backend's copy of the token: written once, private, and replaced when `.env` has another one."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from core.errors import LabelStudioError
from core.operation import converge
from core.report import Report
from hosts.local import LocalHost
from infra.roles.project.backend_token import BackendKeyPresent
from labelstudio.access import Access


def operation(folder: Path, api_key: str | None) -> BackendKeyPresent:
    """With this machine's shell in the place of the container's: the commands are the real ones."""
    access = Access("http://nowhere", "a@b", "secret-password", api_key)
    return BackendKeyPresent(access, LocalHost().run, str(folder / "key"))


def test_the_key_is_handed_over_once_and_again_when_it_changed(tmp_path: Path) -> None:
    report = Report(io.StringIO())
    assert converge([operation(tmp_path, "first-key")], report) == 1
    assert (tmp_path / "key").read_bytes() == b"first-key"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert converge([operation(tmp_path, "first-key")], report) == 0
    assert converge([operation(tmp_path, "second-key")], report) == 1
    assert (tmp_path / "key").read_bytes() == b"second-key"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_what_will_be_done_does_not_hold_the_key(tmp_path: Path) -> None:
    (change,) = operation(tmp_path, "first-key").plan()
    assert change.summary == "hand the personal access token to the SAM2 backend"
    assert list(tmp_path.iterdir()) == []


def test_without_a_token_there_is_nothing_to_hand_over(tmp_path: Path) -> None:
    with pytest.raises(LabelStudioError, match="no personal access token yet"):
        converge([operation(tmp_path, None)], Report(io.StringIO()))
