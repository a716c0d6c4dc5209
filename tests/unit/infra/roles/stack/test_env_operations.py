"""The operations on `.env`, on a real file."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest

from core.operation import converge
from core.report import Report
from hosts.local import LocalHost
from infra.config.dotenv import read_env_file
from infra.config.settings import load_settings
from infra.roles.stack.env_choices import SettingsRemembered
from infra.roles.stack.secrets import SecretsMade


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def apply(operation: SecretsMade | SettingsRemembered) -> int:
    return converge([operation], Report(io.StringIO()))


def test_secrets_are_made_once_and_only_for_their_owner(path: Path) -> None:
    path.write_text("# mine\nLABELRIG_MODEL=demo\n")
    path.chmod(0o644)
    assert apply(SecretsMade(LocalHost(), path, load_settings(path, {}, {}))) == 1
    first = path.read_text()
    assert first.startswith("# mine\nLABELRIG_MODEL=demo\nLABEL_STUDIO_PASSWORD='")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert apply(SecretsMade(LocalHost(), path, load_settings(path, {}, {}))) == 0
    assert path.read_text() == first


def test_a_file_that_others_may_read_is_closed(path: Path) -> None:
    apply(SecretsMade(LocalHost(), path, load_settings(path, {}, {})))
    path.chmod(0o640)
    operation = SecretsMade(LocalHost(), path, load_settings(path, {}, {}))
    assert [change.summary for change in operation.plan()] == ["make .env readable for its owner only"]
    assert apply(operation) == 1


def test_choices_are_remembered_and_nothing_else_is_touched(path: Path) -> None:
    path.write_text("LABELRIG_MODEL=demo # why\nLABEL_STUDIO_PORT=9000\n")
    assert apply(SettingsRemembered(LocalHost(), path, {})) == 0
    assert apply(SettingsRemembered(LocalHost(), path, {"LABELRIG_MODEL": "tiny"})) == 1
    assert read_env_file(path) == {"LABELRIG_MODEL": "tiny", "LABEL_STUDIO_PORT": "9000"}
    assert apply(SettingsRemembered(LocalHost(), path, {"LABELRIG_MODEL": "tiny"})) == 0


def test_a_folder_with_a_quote_in_its_name_is_remembered(path: Path) -> None:
    """`./inv up --data` ends with it, after everything else was done."""
    folder = {"LABELRIG_DATA": "/NAS/Ana's images \\ 2026"}
    assert apply(SettingsRemembered(LocalHost(), path, folder)) == 1
    assert apply(SettingsRemembered(LocalHost(), path, folder)) == 0
    assert str(load_settings(path, {}, {}).data) == folder["LABELRIG_DATA"]
