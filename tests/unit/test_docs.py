"""What the documents promise is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from core.repository import REPOSITORY
from dataset.export.formats import FORMATS
from infra.config.docs import default_in_env
from infra.config.settings import env_fields
from infra.doctor.chain import CHAIN

README = (REPOSITORY / "README.md").read_text()
HOW_TO_ADD = sorted((REPOSITORY / "docs" / "contributing").glob("*.md"))
DOCUMENTS = [*REPOSITORY.glob("*.md"), *sorted((REPOSITORY / "docs").rglob("*.md"))]
OF_THE_CODE = [
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "docs" / "architecture.md",
    REPOSITORY / "docs" / "testing.md",
    *HOW_TO_ADD,
]
PATH = re.compile(r"(?:[\w.-]+|<\w+>)(?:/(?:[\w.-]+|<\w+>))*/?")
SHOWN = 150  # lines of the README
MOST_BYTES = 1_500_000


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(document: object) -> None:
    path = REPOSITORY / str(document)
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def paths_in(text: str) -> list[str]:
    """What stands in backticks, or first in a line of a drawing, and begins with a folder or file of the repository."""
    top = {path.name for path in REPOSITORY.iterdir()} - {".labelrig", ".venv", ".env"}  # made by commands
    drawings = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    words = re.findall(r"`([^`\n]+)`", text) + [line.split()[0] for line in "".join(drawings).splitlines() if line]
    return [word for word in words if PATH.fullmatch(word) and word.split("/")[0] in top]


@pytest.mark.parametrize("document", OF_THE_CODE, ids=lambda path: path.name)
def test_named_paths_exist(document: Path) -> None:
    """Those of the code move; a page that leads nowhere is worse than none. `<name>` stands for any."""
    named = paths_in(document.read_text())
    assert len(named) >= 4, named
    missing = [path for path in named if not list(REPOSITORY.glob(re.sub(r"<\w+>", "*", path)))]
    assert missing == []


def test_every_wing_is_on_the_map() -> None:
    """A new package at the top, or in infra or the backend, stands in docs/architecture.md."""
    named = {path.rstrip("/") for path in paths_in((REPOSITORY / "docs" / "architecture.md").read_text())}
    code = [path.parent for path in REPOSITORY.glob("*/__init__.py")]
    code += [path.parent for wing in ("infra", "backend") for path in REPOSITORY.glob(f"{wing}/*/__init__.py")]
    wings = {str(path.relative_to(REPOSITORY)) for path in code if path.name != "tests"}
    assert {"core", "infra/roles", "backend/queue"} <= wings
    assert sorted(wings - named) == []


def test_every_page_is_listed() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    assert [path.name for path in HOW_TO_ADD if f"(docs/contributing/{path.name})" not in text] == []


def first_column(page: str) -> list[str]:
    """The names in the first column of a page's tables, in their order."""
    return re.findall(r"^\| `([a-z][a-z0-9-]*)` \|", (REPOSITORY / "docs" / page).read_text(), re.MULTILINE)


def test_every_link_and_format_has_its_row() -> None:
    assert first_column("doctor.md") == [link.id for link in CHAIN]
    assert sorted(first_column("export.md")) == sorted(FORMATS)


def test_pictures_are_small_and_shown() -> None:
    """Those of both guides, and the film, are what a slow line can load; none is left over."""
    shown = {
        (document.parent / target).resolve()
        for document in DOCUMENTS
        for target in re.findall(r"!\[[^]]*\]\(([^)#]+)\)", document.read_text())
    }
    there = [path for path in (REPOSITORY / "docs" / "images").rglob("*") if path.is_file()]
    assert [path for path in there if path.resolve() not in shown] == []
    guides = [path for path in there if "annotator" in path.parts]
    assert len(guides) >= 22
    assert sum(path.stat().st_size for path in guides) <= MOST_BYTES
    assert (REPOSITORY / "docs" / "images" / "flow.gif").stat().st_size <= MOST_BYTES


def test_readme_begins_with_picture_and_commands() -> None:
    first = README.splitlines()[:14]
    assert any(line.startswith("![") for line in first)
    assert [line.split()[1] for line in first if line.startswith("./inv ")] == ["up", "deploy"]
    assert len(README.splitlines()) <= SHOWN


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
    names += [
        f"{group['name']}.{task['name']}" if task["name"] != group["default"] else group["name"]
        for group in top["collections"]
        for task in group["tasks"]
    ]
    assert {"up", "down", "test", "test-e2e", "lock.take"} <= set(names)
    assert [name for name in names if f"./inv {name}" not in README] == []
