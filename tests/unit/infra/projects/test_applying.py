"""A version that was changed after it was published is applied nowhere; a new one is written down."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import LabelStudioError, SettingsError
from core.repository import REPOSITORY
from infra.fleet.session import Session
from infra.projects import applying
from infra.roles.project.labeling import Migration
from labelstudio.config import load_labeling, load_projects
from labelstudio.label_use import Rename
from labelstudio.versions import read_versions
from tests.unit.infra.fleet.test_session import on_stack
from tests.unit.infra.roles.project.labelstudio_bench import FIND as LISTING
from tests.unit.infra.roles.project.labelstudio_bench import FOLDER, Bench

FIND = tuple("/nas/flight" if one == FOLDER else one for one in LISTING)
FILES = "ffa.png\0ffb.png\0"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(REPOSITORY / "labeling_configs", tmp_path / "labeling_configs")
    monkeypatch.setattr(applying, "REPOSITORY", tmp_path)
    return tmp_path


@pytest.fixture
def ready(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A stack whose project stage is the bench's operations."""
    found = on_stack()
    found.site.host.script(*FIND, stdout=FILES)  # type: ignore[attr-defined]
    monkeypatch.setattr(applying, "project_role", lambda *_: bench.operations())
    found.report = bench.report
    return found


def test_a_version_that_is_applied_is_published(repository: Path, ready: Session, bench: Bench) -> None:
    lock = repository / "labeling_configs" / "versions.lock"
    lock.write_text("")
    text = applying.apply_projects(ready, [], Migration())
    assert list(read_versions(lock)) == ["rgbt-sar/v2.xml"]
    assert "4 changed" in text
    assert bench.report.notices == ["rgbt-sar/v2 stands in labeling_configs/versions.lock now: commit it"]


def test_a_version_that_was_changed_afterwards_is_refused(repository: Path, ready: Session, bench: Bench) -> None:
    path = repository / "labeling_configs" / "rgbt-sar" / "v2.xml"
    path.write_text(path.read_text().replace("Debris", "Rubble"))
    with pytest.raises(SettingsError, match=r"rgbt-sar/v2\.xml was changed after it was published"):
        applying.apply_projects(ready, [], Migration())
    assert bench.server.projects == {}


def test_a_folder_without_images_makes_no_project(repository: Path, ready: Session, bench: Bench) -> None:
    ready.site.host.script(*FIND, stdout="ffnotes.txt\0")  # type: ignore[attr-defined]
    for work in (applying.plan_projects, applying.apply_projects):
        with pytest.raises(LabelStudioError, match="no image in /nas/flight has a name that matches"):
            work(ready, ["rgbt-sar"], Migration())
    assert bench.server.projects == {}


def test_a_stack_that_was_never_started_is_named(ready: Session) -> None:
    """Before its folder is read, which is not there either."""
    del ready.access
    ready.site.host.script(*FIND, exit_code=1)  # type: ignore[attr-defined]
    for work in (applying.plan_projects, applying.apply_projects):
        with pytest.raises(LabelStudioError, match=r"no LABEL_STUDIO_PASSWORD is known; `\./inv up` "):
            work(ready, ["rgbt-sar"], Migration())


def test_a_plan_writes_nothing_and_names_each_project(repository: Path, ready: Session, bench: Bench) -> None:
    lock = repository / "labeling_configs" / "versions.lock"
    before = lock.read_text()
    assert applying.plan_projects(ready, ["rgbt-sar"], Migration()).splitlines()[-1].startswith("  4 would change in ")
    assert lock.read_text() == before
    assert [stage.name for stage in bench.report.stages] == ["RGBT-SAR"]
    assert bench.server.projects == {}


def test_renames_go_to_the_projects_that_have_the_label(repository: Path) -> None:
    """A rename that suits no project goes to all of them, where it is refused."""
    (repository / "labeling_configs" / "projects.yaml").write_text(
        "projects:\n"
        "  sar: {title: SAR, config: rgbt-sar, version: 2}\n"
        "  small: {title: Small, config: minimal, version: 1}\n"
    )
    path = repository / "labeling_configs" / "rgbt-sar"
    (path / "v3.xml").write_text((path / "v2.xml").read_text().replace("Debris", "Rubble"))
    sar, small = load_projects(repository)
    sar = replace(sar, version=3, labeling=load_labeling(path / "v3.xml", "v3.xml"))
    wanted, typo = Rename("Debris", "Rubble"), Rename("Debrs", "Rubble")
    shares = applying._shares([sar, small], Migration([wanted]))
    assert [own.renames for _spec, own in shares] == [[wanted], []]
    shares = applying._shares([sar, small], Migration([typo]))
    assert [own.renames for _spec, own in shares] == [[typo], [typo]]
