"""A fresh stack begins with the database that the image holds; one that is there stays as it is."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import stat
import subprocess
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from core.repository import REPOSITORY
from infra.roles.images.tags import IMAGES, LABEL_STUDIO

FOLDER = REPOSITORY / IMAGES / LABEL_STUDIO
TEMPLATE_IN_IMAGE = "/usr/local/share/labelrig/label_studio.sqlite3"
NAME = "label_studio.sqlite3"
STARTED = "started: -m gunicorn --config python:labelrig_gunicorn"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fresh_database", FOLDER / "fresh_database.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, name: str = "label-studio") -> None:
    """A program on the path."""
    path = tmp_path / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")


def make(path: Path, *names: str) -> bytes:
    """A database with a row for each migration."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE django_migrations (name TEXT)")
        database.executemany("INSERT INTO django_migrations VALUES (?)", [(name,) for name in names])
    return path.read_bytes()


def test_what_its_migrations_leave_is_the_template(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "migrated", "0001", "0002")
    work, template = tmp_path / "work", tmp_path / "share" / "template"
    work.mkdir()
    record = f'env >"{tmp_path}/env"; echo "$@" >"{tmp_path}/args"'
    program(tmp_path, monkeypatch, f'cp {tmp_path}/migrated "$LABEL_STUDIO_BASE_DATA_DIR/{NAME}"; {record}')
    assert script.main(work, template) == 0
    with closing(sqlite3.connect(template)) as database:
        assert database.execute("SELECT name FROM django_migrations").fetchall() == [("0001",), ("0002",)]
    assert stat.S_IMODE(template.stat().st_mode) == 0o644
    assert (tmp_path / "args").read_text() == "version\n"
    variables = (tmp_path / "env").read_text().splitlines()
    assert {"LABEL_STUDIO_DJANGO_DB=sqlite", f"LABEL_STUDIO_BASE_DATA_DIR={work}"} <= set(variables)
    assert "holds 2 migrations" in capsys.readouterr().out


def test_without_a_database_there_is_no_template(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program(tmp_path, monkeypatch, "exit 0")
    assert script.main(tmp_path, tmp_path / "share" / "template") == 0
    assert not (tmp_path / "share").exists()
    assert "a fresh stack migrates by itself: label-studio version made no" in capsys.readouterr().err


def test_migrations_that_fail_fail_the_build(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, f'echo half >"$LABEL_STUDIO_BASE_DATA_DIR/{NAME}"; exit 3')
    with pytest.raises(subprocess.CalledProcessError):
        script.main(tmp_path, tmp_path / "template")
    assert not (tmp_path / "template").exists()


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "template"
    make(path, "0001")
    return path


def start(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch, **more: str) -> str:
    """Run serve.sh with the data folder `data`; what it printed."""
    program(tmp_path, monkeypatch, "exit 1")
    program(tmp_path, monkeypatch, 'echo "started: $*"', "python3")
    text = (FOLDER / "server" / "serve.sh").read_text()
    assert text.count(TEMPLATE_IN_IMAGE) == 1
    (tmp_path / "serve.sh").write_text(text.replace(TEMPLATE_IN_IMAGE, str(template)))
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    return subprocess.run(
        ["sh", str(tmp_path / "serve.sh")],
        env={"PATH": os.environ["PATH"], "LABEL_STUDIO_BASE_DATA_DIR": str(data), **more},
        check=True, capture_output=True, text=True, timeout=30,
    ).stdout  # fmt: skip


def test_a_fresh_stack_begins_with_a_copy(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / f"{NAME}.new").write_text("what a killed start left")
    said = start(tmp_path, template, monkeypatch).splitlines()
    assert said == [f"The database begins as a copy of {template}", STARTED]
    assert [path.name for path in data.iterdir()] == [NAME]
    assert (data / NAME).read_bytes() == template.read_bytes()


@pytest.mark.parametrize("there", [NAME, f"{NAME}-journal", f"{NAME}-wal"])
def test_a_database_that_is_there_is_not_touched(
    tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    """Nor one of which only the journal is left: SQLite would play it into another database."""
    data = tmp_path / "data"
    data.mkdir()
    (data / there).write_text("years of work")
    assert start(tmp_path, template, monkeypatch).splitlines() == [STARTED]
    assert {path.name: path.read_text() for path in data.iterdir()} == {there: "years of work"}


def test_a_link_to_a_database_that_is_away_stays(
    tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that is not mounted yet."""
    data = tmp_path / "data"
    data.mkdir()
    (data / NAME).symlink_to(tmp_path / "not mounted" / NAME)
    assert start(tmp_path, template, monkeypatch).splitlines() == [STARTED]
    assert [path.is_symlink() for path in data.iterdir()] == [True]


@pytest.mark.parametrize(
    "settings",
    [{"LABEL_STUDIO_DJANGO_DB": "postgresql"}, {"LABEL_STUDIO_DATABASE_NAME": "/elsewhere/other.sqlite3"}],
    ids=["postgresql", "another name"],
)
def test_other_databases_are_label_studios_own_matter(
    tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    assert start(tmp_path, template, monkeypatch, **settings).splitlines() == [STARTED]
    assert list((tmp_path / "data").iterdir()) == []


def test_an_image_without_a_template_migrates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(tmp_path, tmp_path / "none", monkeypatch).splitlines() == [STARTED]
    assert list((tmp_path / "data").iterdir()) == []
