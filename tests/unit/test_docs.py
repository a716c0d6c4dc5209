"""What the documents promise is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from core.repository import REPOSITORY
from infra.config.docs import default_in_env
from infra.config.settings import env_fields

README = (REPOSITORY / "README.md").read_text()
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(document: object) -> None:
    path = REPOSITORY / str(document)
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_readme_shows_settings_with_their_defaults() -> None:
    """The few that a newcomer needs; docs/settings.md has them all."""
    shown = dict(re.findall(r"^\| `(LABEL[A-Z_]+)` \| (?:`([^`]*)`)? ?\|", README, re.MULTILINE))
    assert {"LABELRIG_DATA", "LABELRIG_MODEL", "LABEL_STUDIO_PORT"} <= set(shown)
    assert shown == {name: default_in_env(env_fields()[name]) for name in shown}
    assert "(docs/settings.md)" in README


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
