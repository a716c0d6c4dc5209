"""With a bundle a deploy asks the network for nothing: every stage takes what it needs from the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.operation import Previewer
from core.repository import REPOSITORY
from infra.deploy import deployment as deploying
from infra.deploy import host_check
from infra.deploy.deployment import Deployment
from infra.fleet.target import site_of
from infra.roles.docker.packages import EnginePackages
from infra.roles.images.bundle_apt import BundleApt
from infra.roles.images.ship import ImagesShipped
from labelstudio.config import load_project
from tests.unit.infra.bundle.making import made, our_tags
from tests.unit.infra.deploy_bench import COMMIT, LabHost, host_settings, quiet

NETWORK = {
    deploying: ("resolve_images", "shipped_images_role"),
    host_check: ("possible_images", "sendable_images"),
}


class Recording(Previewer):
    """Keeps the operations that it gets, and plans none of them."""

    def __init__(self) -> None:
        super().__init__(quiet())
        self.operations: list[Any] = []

    def run(self, operations: Any) -> None:
        self.operations += operations


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    def refuse(*_arguments: object, **_more: object) -> None:
        raise AssertionError("this asks this machine's engine, or the network")

    for module, names in NETWORK.items():
        for name in names:
            monkeypatch.setattr(module, name, refuse)
    there: Any = LabHost()
    chosen = host_settings(tmp_path / "srv", model="tiny")
    return Deployment(there, chosen, COMMIT, "alice@desk", bundle=made(tmp_path))


def test_preflight_gets_the_file(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(host_check, "check_machine", lambda *_arguments, **more: given.update(more))
    deployment.check(Recording(), load_project(REPOSITORY))
    use = given["bundle"]
    assert (use.bundle, use.model, use.gpu) == (deployment.bundle, "tiny", "auto")
    assert set(use.services) == {"db", "label-studio", "sam2", "proxy"}
    assert given["images"] == [given["sent"]]
    assert given["sent"] == {our_tags()[name] for name in use.services}


def test_docker_comes_out_of_the_file(deployment: Deployment) -> None:
    run = Recording()
    deployment.bring_docker(run)
    (packages,) = [one for one in run.operations if isinstance(one, EnginePackages)]
    assert isinstance(packages._apt, BundleApt)


def test_images_come_out_of_the_file(deployment: Deployment) -> None:
    run = Recording()
    origin = deployment._images(run, site_of(deployment.host, deployment.host_settings, secrets=False))
    assert origin is not None
    assert origin.images.tags == {name: our_tags()[name] for name in origin.images.tags}
    (shipped,) = [one for one in run.operations if isinstance(one, ImagesShipped)]
    assert deployment.bundle is not None
    assert shipped._source.name == str(deployment.bundle.path)
