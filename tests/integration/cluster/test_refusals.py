"""A token, a worker, a model or a disk that is wrong: refused or named, and the rest serves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from backend.weights.catalog import load_catalog
from tests.integration.cluster.load import HOSTS, REPLICAS, places
from tests.integration.cluster.nodes import Cluster, environment_of

pytestmark = pytest.mark.slow


def test_wrong_token_is_refused(cluster: Cluster) -> None:
    port = int(cluster.address.rpartition(":")[2])
    environment = environment_of(cluster.folder, port, "f" * 64, LOCAL_FILES_DOCUMENT_ROOT=str(cluster.folder))
    ended = subprocess.run(
        (sys.executable, "-m", "backend.cluster"), cwd=cluster.folder, env=environment, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert f"no Ray cluster takes us at CLUSTER_ADDRESS={cluster.address}" in ended.stderr


def test_more_replicas_than_at_most_are_refused(cluster: Cluster) -> None:
    """Auto-scaling; nothing of what runs changes."""
    ended = subprocess.run(
        (sys.executable, "-m", "backend.cluster"), cwd=cluster.folder, capture_output=True, text=True, timeout=600,
        env={**cluster.environment, "CLUSTER_REPLICAS": "3", "CLUSTER_REPLICAS_MAX": "2"}, check=False,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "CLUSTER_REPLICAS_MAX is 2, and there are to be 3 replicas" in ended.stderr
    with cluster.client() as client:
        assert client.get("/hosts").json()["wanted"] == REPLICAS


def test_unknown_worker_is_refused(scenes: Path, cluster: Cluster) -> None:
    """A host without the token does not join, even where there is work for it."""
    port = int(cluster.address.rpartition(":")[2])
    environment = {**environment_of(cluster.folder, port, "f" * 64), "CLUSTER_HOST": "stranger"}
    environment["RAY_TMPDIR"] = str(cluster.temporary)
    with one_missing(cluster):
        ended = subprocess.run(
            (sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={cluster.address}", "--num-cpus=4"),
            cwd=cluster.folder, env=environment, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert ended.returncode != 0, ended.stdout
        with cluster.client() as client:
            assert [one["host"] for one in client.get("/hosts").json()["hosts"]] == ["a"]
        assert places(scenes, cluster)


@contextmanager
def one_missing(cluster: Cluster) -> Iterator[None]:
    """Without the host b, so that Serve looks for another place for its replicas."""
    cluster.stop_host("b")
    cluster.until_ready(HOSTS["a"])
    yield
    cluster.start_host("b", HOSTS["b"])
    cluster.until_ready(REPLICAS)


def test_worker_with_another_model_is_named(scenes: Path, cluster: Cluster, tmp_path: Path) -> None:
    """It starts no replica, and `/health` and `/hosts` say whose model it is."""
    load_catalog().models["tiny"].checkpoint(tmp_path).write_bytes(b"weights")
    wanted = "other has the model "
    with one_missing(cluster):
        cluster.start_host("other", 1, SAM2_MODEL="tiny", SAM2_MODEL_DIR=str(tmp_path))
        found = cluster.until(lambda found: wanted in (found.get("reason") or ""))
        assert found["state"] == "degraded"
        assert found["ready"] == HOSTS["a"]
        assert "and the cluster serves" in found["reason"]
        assert {one for of in places(scenes, cluster).values() for one in of if not one.startswith("a/")} == set()
        cluster.stop_host("other")
    assert "replicas are missing: other has the model " in (cluster.folder / "ingress.log").read_text()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = subprocess.run(
        ("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)), capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    with suppress(OSError), (folder / "filled").open("wb") as filled:
        while True:
            filled.write(bytes(4096))
            filled.flush()
    yield folder
    subprocess.run(("umount", "--lazy", str(folder)), check=True)


def test_host_with_a_full_disk_serves_and_is_named(scenes: Path, cluster: Cluster, full_disk: Path) -> None:
    """Its replica answers without keeping anything there, and says what is wrong."""
    with one_missing(cluster):
        cluster.start_host("full", 1, EMBEDDING_CACHE_DIR=str(full_disk))
        cluster.until_ready(HOSTS["a"] + 1)
        with cluster.client() as client:
            assert client.post("/hosts/a/drain").status_code == 200
            assert all(one.startswith("full/") for of in places(scenes, cluster).values() for one in of)
            client.delete("/hosts/a/drain")

        def named(found: dict[str, Any]) -> bool:
            return "full/0: " in (found.get("reason") or "")

        assert cluster.until(named)["state"] == "degraded"
        cluster.stop_host("full")
