"""Lab hosts, and the one that is deployed to first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.command import Lab
from tests.deploy.first import First, first_deploy
from tests.labhost.fixtures import (  # noqa: F401
    lab_host,
    lab_host_image,
    lab_pictures,
    lab_scenes,
    lab_settings,
    make_lab_host,
)
from tests.labhost.host import LabHost


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """One bare lab host, called lab1."""
    host: LabHost = request.getfixturevalue("lab_host")
    host.wait_for_ssh()
    return Lab(tmp_path_factory.mktemp("lab"), {"lab1": host})


@pytest.fixture(scope="session")
def first(lab: Lab) -> First:
    """What the first deploy to the bare host did; every test with this fixture finds a stack that serves."""
    return first_deploy(lab)
