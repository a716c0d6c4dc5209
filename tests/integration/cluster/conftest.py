from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.images import draw_demo_images
from infra.dev.environment import cluster_folder
from tests.integration.backend.annotators import Ask
from tests.integration.cluster.load import HOSTS, IMAGES, SIZE_WH, masks_of
from tests.integration.cluster.nodes import Cluster, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    absent = pytest.mark.skip(reason="Ray is not installed; `./inv test` installs it")
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(1800))
            if not (cluster_folder() / "ray").is_dir():
                item.add_marker(absent)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    draw_demo_images(folder, count=IMAGES, size_wh=SIZE_WH)
    return folder


@pytest.fixture(scope="module")
def cluster(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head, and two hosts. A test that kills something waits until it is back.

    One for each file: images stay for ten minutes at the replica that they were placed at while another was away.
    """
    folder = tmp_path_factory.mktemp("cluster")
    with running(folder, hosts=HOSTS, LOCAL_FILES_DOCUMENT_ROOT=str(scenes)) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def expected(scenes: Path, cluster: Cluster) -> dict[Ask, str]:
    return masks_of(scenes, cluster)
