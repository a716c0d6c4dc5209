"""The images of a bundle: an archive is kept for the next run where it is that of the same image and tag."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from core.errors import HostError
from core.report import Report
from core.repository import REPOSITORY
from infra.bundling import images as saving
from infra.bundling.images import save_images
from infra.roles.images import ship
from infra.roles.images.archive import tags_in
from infra.roles.images.build import ImageSet
from infra.roles.images.tags import debootstrap_base
from tests.fakes import FakeHost
from tests.unit.infra.roles.images.image_archives import A, saved_since_25
from tests.unit.infra.roles.images.loading import FakeEngine, FakeImage

OLD, NEW = "labelrig/sam2:0.1-0123456789ab-0a1b2c3d", "labelrig/sam2:0.2-0123456789ab-0a1b2c3d"
IMAGE = "sha256:" + "7" * 64


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """One image under two tags, as after a change of the version alone."""
    one = FakeEngine({tag: FakeImage(IMAGE, saved_since_25([A], [tag])) for tag in (OLD, NEW)})
    for module in (saving, ship):
        monkeypatch.setattr(module, "engine_client", lambda *_arguments: one)
    return one


def save(folder: Path, tag: str) -> Path:
    images = ImageSet({"sam2": tag}, debootstrap_base(REPOSITORY, "x86_64"), REPOSITORY, "labelrig", frozenset())
    host: Any = FakeHost()
    found = save_images(host, images, folder, Report(io.StringIO()))["sam2"]
    assert found.tag == tag
    return folder / found.file


def test_the_same_image_under_another_tag_is_saved_anew(engine: FakeEngine, tmp_path: Path) -> None:
    save(tmp_path, OLD)
    path = save(tmp_path, NEW)
    with path.open("rb") as file:
        assert tags_in(file) == {NEW}
    assert list((tmp_path / "images").iterdir()) == [path]


def test_what_is_there_is_not_saved_again(engine: FakeEngine, tmp_path: Path) -> None:
    path = save(tmp_path, NEW)
    engine.there[NEW].error = AssertionError("saved again")
    assert save(tmp_path, NEW) == path


def test_an_archive_of_another_tag_is_not_kept(engine: FakeEngine, tmp_path: Path) -> None:
    path = save(tmp_path, NEW)
    path.write_bytes(saved_since_25([A], [OLD]))
    save(tmp_path, NEW)
    with path.open("rb") as file:
        assert tags_in(file) == {NEW}


def test_an_archive_without_its_tag_ends_it(engine: FakeEngine, tmp_path: Path) -> None:
    engine.there[NEW].content = saved_since_25([A], [])
    with pytest.raises(HostError, match=rf"^fake host: the engine saved {NEW} without this tag; repeat the command$"):
        save(tmp_path, NEW)
    assert list((tmp_path / "images").iterdir()) == []
