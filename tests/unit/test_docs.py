"""What the documents promise is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from core.repository import REPOSITORY
from infra.config.backend import PASSED_ON
from infra.config.settings import Settings, setting_names

README = (REPOSITORY / "README.md").read_text()
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(document: object) -> None:
    path = REPOSITORY / str(document)
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_the_readme_names_every_setting_with_its_default() -> None:
    for name in setting_names():
        assert f"| `{name}` |" in README, name
    for field in Settings.model_fields.values():
        if field.default is not None and field.alias is not None:
            shown = "on" if field.default is True else field.default
            assert f"| `{field.alias}` | `{shown}` |" in README, field.alias


def test_the_settings_of_the_backend_are_listed() -> None:
    document = (REPOSITORY / "docs" / "backend.md").read_text()
    assert [name for name in PASSED_ON if f"`{name}`" not in document] == []


def test_the_readme_names_every_command() -> None:
    listed = subprocess.run(
        [
            sys.executable,
            str(REPOSITORY / "tasks.py"),
            "--search-root",
            str(REPOSITORY),
            "--list",
            "--list-format",
            "json",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    top = json.loads(listed)
    names = [task["name"] for task in top["tasks"]]
    names += [f"{group['name']}.{task['name']}" for group in top["collections"] for task in group["tasks"]]
    assert {"up", "down", "test", "test-e2e", "lock.take"} <= set(names)
    assert [name for name in names if f"./inv {name}" not in README] == []
