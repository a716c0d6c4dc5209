"""Lab hosts, and the one that is deployed to first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.roles.images.tags import CLUSTER, DB, HAPROXY, LABEL_STUDIO, PROXY, SERVICES
from tests.deploy.command import Lab
from tests.deploy.first import First, first_deploy, redeploy
from tests.deploy.images import made_here
from tests.deploy.serving_group import HEAD, WORKERS, Group
from tests.labhost.fixtures import (  # noqa: F401
    lab_host,
    lab_host_image,
    lab_pictures,
    lab_scenes,
    lab_settings,
    make_lab_host,
)
from tests.labhost.host import LabHost

# Seconds: the first of them, whichever it is, makes a lab host and deploys to it, beside two other lanes.
FIRST_TIMEOUT = 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(FIRST_TIMEOUT))


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """One bare lab host, called lab1."""
    host: LabHost = request.getfixturevalue("lab_host")
    host.wait_for_ssh()
    return Lab(tmp_path_factory.mktemp("lab"), {"lab1": host})


@pytest.fixture(scope="session")
def images_here(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The images of the stack on this machine, so that whether a deploy sends them does not hang on what ran before."""
    made_here(tmp_path_factory.mktemp("images"), (DB, *SERVICES))


@pytest.fixture(scope="session")
def first(lab: Lab, images_here: None) -> First:
    """What the first deploy to the bare host did; every test with this fixture finds a stack that serves."""
    return first_deploy(lab)


@pytest.fixture
def redeployed_after(first: First, lab: Lab) -> Iterator[None]:
    """For a test that takes the stack down or changes its settings: afterwards it serves as the others expect it."""
    yield
    redeploy(lab)


@pytest.fixture(scope="session")
def images_of_group(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Those of hosts that serve together, as `images_here`."""
    made_here(tmp_path_factory.mktemp("images"), (DB, CLUSTER, HAPROXY, LABEL_STUDIO, PROXY))


@pytest.fixture(scope="session")
def group(
    request: pytest.FixtureRequest, images_of_group: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Group]:
    """Three bare lab hosts that are to serve together; `test_group.py`, the first of its files, deploys to them."""
    image, settings, pictures = (
        request.getfixturevalue(name) for name in ("lab_host_image", "lab_settings", "lab_pictures")
    )
    hosts: dict[str, LabHost] = {}
    with ExitStack() as removals:
        for name in (HEAD, *WORKERS):
            host = LabHost(image, tmp_path_factory.mktemp(name))
            removals.callback(host.remove)
            host.start(settings, pictures)
            host.wait_for_ssh()
            hosts[name] = host
        yield Group(tmp_path_factory.mktemp("group"), hosts)


@pytest.fixture(scope="session")
def serving(group: Group) -> Group:
    """The same hosts, deployed to."""
    done = group.inv("deploy", "--group", "lab", "--yes")
    assert done.code == 0, done.said
    return group
