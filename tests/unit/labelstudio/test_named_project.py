"""What `--project` means: a key of projects.yaml, a title, or the default project."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from core.errors import SettingsError
from core.repository import REPOSITORY
from labelstudio.config import load_project, load_projects
from labelstudio.named_project import named_project
from tests.unit.dataset.conftest import exports as exports
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import FUSED

LAKE = {"title": "Lake", "config": "rgbt-sar", "version": 2}
FOREST = {"title": "Forest", "config": "polygon", "version": 1}


def clone(folder: Path, **projects: dict[str, object]) -> Path:
    """A clone whose projects.yaml has these projects."""
    if not (folder / "labeling_configs").exists():
        shutil.copytree(REPOSITORY / "labeling_configs", folder / "labeling_configs")
    (folder / "labeling_configs" / "projects.yaml").write_text(yaml.safe_dump({"projects": projects}))
    return folder


def test_the_only_project_is_the_default(tmp_path: Path) -> None:
    assert load_project(clone(tmp_path, lake=LAKE)).name == "lake"


def test_of_several_the_marked_one_is_the_default(tmp_path: Path) -> None:
    repository = clone(tmp_path, lake=LAKE, forest={**FOREST, "default": True})
    assert load_project(repository, provable=False).name == "forest"


def test_without_a_default_the_error_lists_them(tmp_path: Path) -> None:
    repository = clone(tmp_path, lake=LAKE, forest=FOREST)
    with pytest.raises(SettingsError) as caught:
        load_project(repository)
    assert str(caught.value) == (
        "labeling_configs/projects.yaml has 2 projects and no default: name one with --project, or mark one with "
        "`default: true` (there are: forest, lake)"
    )


def test_two_defaults_are_refused(tmp_path: Path) -> None:
    repository = clone(tmp_path, lake={**LAKE, "default": True}, forest={**FOREST, "default": True})
    with pytest.raises(SettingsError, match=r"lake, forest|forest, lake") as caught:
        load_projects(repository)
    assert "are marked with `default: true`; one project at most can be the default" in str(caught.value)


@pytest.mark.parametrize("value", ["yes please", 1])
def test_default_is_true_or_false(tmp_path: Path, value: object) -> None:
    with pytest.raises(SettingsError, match=r"projects\.lake\.default: Input should be a valid boolean"):
        load_projects(clone(tmp_path, lake={**LAKE, "default": value}))


def test_a_project_is_named_by_key_or_title(tmp_path: Path) -> None:
    repository = clone(tmp_path, lake=LAKE, forest=FOREST)
    for called in ("forest", "Forest", "Forest demo"):
        assert load_project(repository, called, provable=False).name == "forest"
    assert [spec.name for spec in load_projects(repository, ["Lake", "lake", "forest"])] == ["lake", "forest"]
    with pytest.raises(SettingsError, match=r"there is no project 'sea' \(there are: forest, lake\); a project is"):
        load_project(repository, "sea")


def test_a_key_beats_the_title_of_another(tmp_path: Path) -> None:
    repository = clone(tmp_path, lake=LAKE, Forest={**LAKE, "title": "Other"}, forest=FOREST)
    assert load_project(repository, "Forest", provable=False).title == "Other"


def test_a_key_finds_its_project_in_label_studio(exports: ExportBench) -> None:
    """On the demo images the project has a title of its own; a project with that key as its title comes last."""
    by_hand = exports.server.project(FUSED, "rgbt-sar")
    assert named_project(exports.client, REPOSITORY, "rgbt-sar").id == by_hand.id
    demo = exports.server.project(FUSED, "RGBT-SAR demo")
    assert named_project(exports.client, REPOSITORY, "rgbt-sar").id == demo.id
    lab = exports.server.project(FUSED, "RGBT-SAR")
    for called in ("rgbt-sar", None, "RGBT-SAR"):
        assert named_project(exports.client, REPOSITORY, called).id == lab.id
    for called in ("rgbt-sar", None, "RGBT-SAR demo"):
        assert named_project(exports.client, REPOSITORY, called, on_demo=True).id == demo.id


def test_a_project_made_by_hand_is_found_by_title(exports: ExportBench, tmp_path: Path) -> None:
    """A broken projects.yaml does not concern it."""
    by_hand = exports.server.project(FUSED, "By hand")
    assert named_project(exports.client, tmp_path, "By hand").id == by_hand.id


def test_a_project_that_is_missing_or_doubled_is_reported(exports: ExportBench) -> None:
    exports.server.project(FUSED, "Other")
    with pytest.raises(SettingsError, match=r"Label Studio has no project called 'Scenes' \(there are: Other\)"):
        named_project(exports.client, REPOSITORY, "Scenes")
    with pytest.raises(SettingsError, match=r"Label Studio has no project called 'RGBT-SAR' \(there are: Other\)"):
        named_project(exports.client, REPOSITORY, None)
    for _ in range(2):
        exports.server.project(FUSED, "Scenes")
    with pytest.raises(SettingsError, match=r"has 2 projects called 'Scenes' \(ids \d+, \d+\); rename all but one"):
        named_project(exports.client, REPOSITORY, "Scenes")
