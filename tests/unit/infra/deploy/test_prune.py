from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from docker.errors import APIError

from infra.deploy import prune as module
from infra.deploy.prune import prune
from infra.releases.manifest import ImageRef
from infra.releases.store import Releases
from tests.unit.infra.deploy_bench import Engine, LabHost, deployment, quiet
from tests.unit.infra.releases.release_bench import FACTS, NOW, files


def released(root: Path, project: str, *tags: str) -> Path:
    """A release of each tag, one a minute, the last one current and every one passed."""
    base = root / project
    for number, tag in enumerate(tags):
        releases = Releases(LabHost(), str(base), lambda number=number: NOW + timedelta(minutes=number))  # type: ignore[misc]
        facts = FACTS.model_copy(update={"images": {"sam2": ImageRef(tag=tag, id=f"sha256:{tag}")}})
        made = releases.write(files(), facts)
        releases.activate(made.id)
        releases.mark(made.id, "passed")
    return base


def engine_with(monkeypatch: pytest.MonkeyPatch, *tags: str, used: tuple[str, ...] = ()) -> Engine:
    engine = Engine({f"sha256:{tag}": [tag] for tag in tags}, [f"sha256:{tag}" for tag in used])
    monkeypatch.setattr(module, "engine_client", engine)
    return engine


def test_removes_images_that_no_release_needs_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that no release needs any more go with the releases."""
    base = released(tmp_path, "labelrig", *(f"labelrig/sam2:{number}" for number in range(4)))
    made = sorted(path.name for path in (base / "releases").iterdir())
    engine = engine_with(monkeypatch, *(f"labelrig/sam2:{number}" for number in range(5)))
    report = quiet()
    prune(deployment(tmp_path), 2, report)
    assert engine.removed == ["labelrig/sam2:0", "labelrig/sam2:1", "labelrig/sam2:4"]
    assert sorted(path.name for path in (base / "releases").iterdir()) == made[2:]
    (stage,) = report.stages
    assert stage.name == "old releases"
    assert stage.changed[:2] == [f"remove release {one}" for one in made[:2]]
    assert stage.changed[2:] == [f"remove image labelrig/sam2:{number}" for number in (0, 1, 4)]
    assert engine.closed == 1


def test_without_a_release_to_remove_the_engine_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released(tmp_path, "labelrig", "labelrig/sam2:1", "labelrig/sam2:2")
    monkeypatch.setattr(module, "engine_client", None)
    report = quiet()
    prune(deployment(tmp_path), 2, report)
    assert [(stage.ok, stage.changed) for stage in report.stages] == [(["the last 2 releases kept"], [])]


def test_the_releases_of_another_stack_on_the_host_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released(tmp_path, "labelrig", *(f"labelrig/sam2:{number}" for number in range(4)))
    released(tmp_path, "other", "labelrig/sam2:0", "labelrig/label-studio:9")
    engine = engine_with(
        monkeypatch, "labelrig/sam2:0", "labelrig/sam2:1", "labelrig/label-studio:9", "labelrig/label-studio:8"
    )
    prune(deployment(tmp_path), 2, quiet())
    assert engine.removed == ["labelrig/sam2:1", "labelrig/label-studio:8"]


def test_image_of_the_backup_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the script of the backup names is in no release where a restore wrote it: without it no backup is made."""
    base = released(tmp_path, "labelrig", *(f"labelrig/sam2:{number}" for number in range(4)))
    (base / "backup").mkdir()
    (base / "backup/backup.env").write_text("LABELRIG_UID='61041'\nLABELRIG_BACKUP_IMAGE='labelrig/backup:2'\n")
    engine = engine_with(monkeypatch, "labelrig/backup:1", "labelrig/backup:2")
    prune(deployment(tmp_path), 2, quiet())
    assert engine.removed == ["labelrig/backup:1"]


def test_what_a_container_uses_is_left_running_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released(tmp_path, "labelrig", *(f"labelrig/sam2:{number}" for number in range(4)))
    engine = engine_with(
        monkeypatch, "labelrig/sam2:0", "labelrig/sam2:1", "labelrig/sam2:up", used=("labelrig/sam2:up",)
    )
    prune(deployment(tmp_path), 2, quiet())
    assert engine.removed == ["labelrig/sam2:0", "labelrig/sam2:1"]


def test_removes_only_our_images_and_no_base_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only images of ours go and never what others are built on."""
    released(tmp_path, "labelrig", *(f"labelrig/sam2:{number}" for number in range(4)))
    theirs = ("lab/sam2:0", "postgres:16", "mylabelrig/sam2:0", "registry/labelrig/sam2:0", "labelrig/base:bookworm-1")
    engine = engine_with(monkeypatch, *theirs, "labelrig/sam2:0")
    prune(deployment(tmp_path), 2, quiet())
    assert engine.removed == ["labelrig/sam2:0"]


def test_removes_only_the_unneeded_name_of_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an image with two names only the one that no release needs goes."""
    released(tmp_path, "labelrig", *(f"labelrig/sam2:{number}" for number in range(4)))
    engine = Engine({"sha256:x": ["labelrig/sam2:0", "labelrig/sam2:3", "lab/mine:1"], "sha256:none": []})
    monkeypatch.setattr(module, "engine_client", engine)
    prune(deployment(tmp_path), 2, quiet())
    assert engine.removed == ["labelrig/sam2:0"]


BROKEN = ("", "{", "[]", "{}", '{"images": []}', '{"images": {"sam2": {}}}', '{"images": null}')


@pytest.mark.parametrize("text", BROKEN)
def test_unreadable_release_needs_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A release that cannot be read needs nothing and stops nothing."""
    released(tmp_path, "labelrig", *(f"labelrig/sam2:{number}" for number in range(4)))
    broken = tmp_path / "aaa" / "releases" / "x"
    broken.mkdir(parents=True)
    (broken / "release.json").write_text(text)
    engine = engine_with(monkeypatch, "labelrig/sam2:0", "labelrig/sam2:3")
    prune(deployment(tmp_path), 2, quiet())
    assert engine.removed == ["labelrig/sam2:0"]


def test_a_root_with_a_space_in_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "two words; rm -rf x"
    released(root, "labelrig", *(f"labelrig/sam2:{number}" for number in range(4)))
    engine = engine_with(monkeypatch, "labelrig/sam2:1", "labelrig/sam2:2")
    one = deployment(tmp_path)
    one.host_settings = one.host_settings.model_copy(update={"root": str(root)})
    prune(one, 2, quiet())
    assert engine.removed == ["labelrig/sam2:1"]


@pytest.mark.parametrize("error", [APIError("conflict"), requests.ConnectionError("gone")])
def test_refusing_engine_is_a_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """An engine that refuses is a notice since the release serves."""
    released(tmp_path, "labelrig", *(f"labelrig/sam2:{number}" for number in range(4)))
    engine = engine_with(monkeypatch, "labelrig/sam2:0")

    def refuse(_tag: str) -> None:
        raise error

    engine.images.remove = refuse
    report = quiet()
    prune(deployment(tmp_path), 2, report)
    (notice,) = report.notices
    assert re.match(r"gpu01: old images cannot be removed: (conflict|gone)", notice)
    assert engine.closed == 1
