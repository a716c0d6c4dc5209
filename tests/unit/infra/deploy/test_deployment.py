"""What a deploy connects: the image folders of the release that serves, and those that a restore has brought."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.deploy.deployment import Deployment
from infra.fleet.target import site_of
from infra.roles.stack.image_folders import ImageFolder, render_folders, with_folders
from tests.unit.infra.deploy_bench import deployment

OWN, BROUGHT = ImageFolder("own", "/NAS/own"), ImageFolder("cars", "/NAS/cars")


@pytest.fixture
def one(tmp_path: Path) -> Deployment:
    made = deployment(tmp_path)
    (Path(made.base) / "current").mkdir(parents=True)
    return made


@pytest.mark.parametrize("serves", [[], [OWN], [OWN, BROUGHT]])
def test_folders_of_a_restored_backup_are_connected(one: Deployment, serves: list[ImageFolder]) -> None:
    """Also where a release serves, which does not know them: their tasks would show no image."""
    if serves:
        (Path(one.base) / "current/folders.json").write_bytes(render_folders(serves))
    (Path(one.base) / "folders.json").write_bytes(render_folders([BROUGHT]))
    site = site_of(one.host, one.host_settings)
    assert one.connected_folders(site) == with_folders(serves, [BROUGHT])
    assert BROUGHT in one.connected_folders(site)
    one.forget_brought()
    assert one.connected_folders(site) == serves
    one.forget_brought()
