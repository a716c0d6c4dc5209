"""The documents that are made from the settings."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import pytest

from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY, own_version
from infra.config import documents as module
from infra.config.backend import BACKEND_SETTINGS, backend_names
from infra.config.documents import (
    Document,
    backend_table,
    documents,
    env_example,
    inventory_table,
    settings_table,
)
from infra.config.dotenv import parse_env_text
from infra.config.host_settings import HostSettings, setting_fields
from infra.config.settings import Settings, env_fields, load_settings
from infra.config.stack_settings import StackSettings, about


def test_documents_are_up_to_date() -> None:
    paths = [document.path.relative_to(REPOSITORY).as_posix() for document in documents()]
    assert paths == [".env.example", "docs/settings.md", "docs/inventory.md", "docs/backend.md", "backend/__init__.py"]
    assert [document.path.name for document in documents() if document.plan()] == [], "`./inv fix` writes them"


def test_tables_have_a_row_for_each_setting() -> None:
    rows = inventory_table().splitlines()
    assert rows[0] == "| setting | kind | default | what |"
    assert len(rows) == len(setting_fields()) + 2
    assert "| `port` | whole number, 1 to 65535 | `8080` | Port where Label Studio" in inventory_table()
    assert "| `hooks` | path on this machine | `infra/hooks` |" in inventory_table()
    both = settings_table()
    assert "| `LABELRIG_DATABASE` | `database` | `sqlite`, on hosts `postgres` | Where Label Studio keeps" in both
    assert "| `LABELRIG_COMPANION` | `companion` | `on` |" in both
    assert "| `LABEL_STUDIO_API_KEY` | | | The first user's token" in both
    assert "| | `keep_releases` | `5` |" in both
    assert all(both.count(f"| `{name}` |") == 1 for name in (*env_fields(), *setting_fields()))
    assert all(f"| `{name}` |" in backend_table() for name in BACKEND_SETTINGS)


def test_example_of_env_holds_every_name_and_is_valid(tmp_path: Path) -> None:
    """Each line can be taken out of its comment as it stands."""
    lines = [line for line in env_example().splitlines() if line.startswith("#") and "=" in line and line[1] != " "]
    given = parse_env_text("\n".join(line[1:] for line in lines), "example")
    assert list(given) == [*env_fields(), *backend_names()]
    env = tmp_path / ".env"
    env.write_text("\n".join(line[1:] for line in lines))
    settings = load_settings(env, {}, {})
    assert settings == Settings.model_validate(
        {
            "LABELRIG_DATA": "/NAS/home/me/RGB_T_SAR",
            "LABELRIG_CHECKPOINT_URL": "http://mirror.lab.example/sam2",
            "LABELRIG_PUBLIC_URL": "https://label.lab.example",
            "LABELRIG_BACKUP_REPOSITORY": "/NAS/backup/labelrig",
            "LABELRIG_BACKUP_PASSWORD_FILE": "/etc/labelrig/backup-password",
            "LABELRIG_BACKUP_ENVIRONMENT_FILE": "/etc/labelrig/backup.env",
            "LABELRIG_BACKUP_SCHEDULE": "Mon..Sat 02:30",
            "LABELRIG_BACKUP_KEEP": "14d 8w 24m",
            "LABELRIG_TLS": "internal",
            "LABELRIG_TLS_CERTIFICATE": "/etc/ssl/lab/label.crt",
            "LABELRIG_TLS_KEY": "/etc/ssl/private/label.key",
            "backend": {name: one.default for name, one in BACKEND_SETTINGS.items() if one.default},
        }
    )
    assert max(map(len, env_example().splitlines())) <= 120


def test_new_setting_stands_in_every_document(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field is the one edit: its names, kind, default and text come from there."""

    class More(StackSettings):
        pace: Annotated[int, about("whole number", "How fast. Slow is fine.", 7, env="LABELRIG_PACE")] = 3

    monkeypatch.setattr(module, "env_fields", lambda: {**env_fields(), "LABELRIG_PACE": More.model_fields["pace"]})
    monkeypatch.setattr(module, "setting_fields", lambda: {**setting_fields(), "pace": More.model_fields["pace"]})
    assert "# How fast. Slow is fine. (whole number)\n#LABELRIG_PACE=7\n" in env_example()
    assert "| `pace` | whole number | `3` | How fast. Slow is fine. |" in inventory_table()
    assert "| `LABELRIG_PACE` |" in settings_table()
    assert More.model_validate({"pace": "4"}).pace == 4


def test_stale_document_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("old")
    made = Document(path, lambda _: "new")
    assert [change.summary for change in made.plan()] == [f"write {tmp_path.name}/a.md"]
    assert path.read_text() == "old"
    assert converge([made], Report(io.StringIO())) == 1
    assert path.read_text() == "new"


def test_every_example_is_valid() -> None:
    for name, field in setting_fields().items():
        for example in field.examples or []:
            HostSettings.model_validate({"name": "any", name: example})


def test_backend_has_the_version_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its image holds no pyproject.toml, and its answers name the version."""
    monkeypatch.setattr(module, "own_version", lambda: "9.8.7")
    (version,) = [document for document in documents() if document.path.parent.name == "backend"]
    text = version.path.read_text(encoding="utf-8")
    assert version.make(text) == text.replace(f'"{own_version()}"', '"9.8.7"') != text
