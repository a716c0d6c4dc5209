"""Replicas of several hosts with one folder for embeddings: an image that moves is found there, not encoded again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.cluster.load import HOSTS, REPLICAS, names, places
from tests.integration.cluster.nodes import Cluster, running

pytestmark = pytest.mark.slow
WRITTEN_SECONDS = 60.0
KINDS = ("hits", "misses", "errors")


@dataclass(frozen=True)
class Lookups:
    """What all replicas together, or one of them, looked up since their processes began."""

    memory_misses: int = 0
    shared_hits: int = 0
    shared_misses: int = 0
    shared_errors: int = 0

    @property
    def encoded(self) -> int:
        """Runs of the encoder: one client clicks, so none joins another's, and no replica has a disk cache."""
        return self.memory_misses - self.shared_hits


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def sharing(scenes: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Without a disk cache of their own, so that a replica that comes back has nothing but the shared folder."""
    with running(
        tmp_path_factory.mktemp("cluster"), hosts=HOSTS, LOCAL_FILES_DOCUMENT_ROOT=str(scenes),
        EMBEDDING_CACHE_SHARED_DIR=str(shared), EMBEDDING_CACHE_DISK_MB="0",
    ) as cluster:  # fmt: skip
        yield cluster


def lookups(cluster: Cluster) -> dict[str, Lookups]:
    """By replica."""
    with cluster.client() as client:
        text = client.get("/metrics").text
    values = {
        (one.name, one.labels.get("cache"), one.labels.get("replica")): int(one.value)
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if one.name.startswith("labelrig_cache_")
    }
    return {
        str(replica): Lookups(
            misses,
            *(values.get((f"labelrig_cache_{kind}_total", "shared", replica), 0) for kind in KINDS),
        )
        for (name, cache, replica), misses in values.items()
        if (name, cache) == ("labelrig_cache_misses_total", "memory")
    }


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WRITTEN_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def until_written(folder: Path, count: int) -> None:
    """The background writes are done, each under its own name."""
    until(lambda: [path.suffix for path in folder.iterdir()] == [".embedding"] * count)


def test_moved_images_are_not_encoded_again(scenes: Path, shared: Path, sharing: Cluster) -> None:
    """A replica is killed: those that take its images over, and itself when it is back, find all of them."""
    before = {image: owner for image, (owner,) in places(scenes, sharing).items()}
    first = lookups(sharing)
    assert sum(one.encoded for one in first.values()) == len(before)
    until_written(shared, len(before))
    victim = next(owner for owner in before.values() if owner.startswith("b/"))
    moved = sum(owner == victim for owner in before.values())
    os.kill(int(victim.rpartition(" ")[2]), signal.SIGKILL)
    during = {image: owner for image, (owner,) in places(scenes, sharing).items()}
    assert victim not in during.values()
    sharing.until_ready(REPLICAS)
    after = {image: owner for image, (owner,) in places(scenes, sharing).items()}
    assert {image: names({owner}) for image, owner in after.items()} == {
        image: names({owner}) for image, owner in before.items()
    }
    last = lookups(sharing)
    back = names({victim}).pop()
    assert sum(one.encoded for name, one in last.items() if name != back) == sum(
        one.encoded for name, one in first.items() if name != back
    )
    assert last[back].encoded == 0
    assert last[back].shared_hits == moved  # all of its images, once it was there again
    assert sum(one.shared_hits for one in last.values()) >= moved
    assert [one.shared_errors for one in last.values()] == [0] * REPLICAS


def test_torn_entries_are_encoded_anew(scenes: Path, shared: Path, sharing: Cluster) -> None:
    """Once: by the host that takes the images over, and not by their own when it is back."""
    before = {image: owner for image, (owner,) in places(scenes, sharing).items()}
    until_written(shared, len(before))
    (whole,) = {path.stat().st_size for path in shared.iterdir()}
    for path in shared.iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    first = lookups(sharing)
    sharing.stop_host("a")
    moved = sum(owner.startswith("a/") for owner in before.values())
    during = {image: owner for image, (owner,) in places(scenes, sharing).items()}
    assert all(owner.startswith("b/") for owner in during.values())
    mended = [name for name in first if name.startswith("b/")]
    assert sum(lookups(sharing)[name].encoded - first[name].encoded for name in mended) == moved
    until(lambda: sum(path.stat().st_size == whole for path in shared.iterdir()) == moved)
    sharing.start_host("a", HOSTS["a"])
    sharing.until_ready(REPLICAS)
    assert {image: names(of) for image, of in places(scenes, sharing).items()} == {
        image: names({owner}) for image, owner in before.items()
    }
    assert [one.encoded for name, one in lookups(sharing).items() if name.startswith("a/")] == [0] * HOSTS["a"]


def test_folder_that_is_away_fails_no_click(scenes: Path, shared: Path, sharing: Cluster) -> None:
    """As a mount point whose share is not mounted; `/health` says why, and clicks go on."""
    count = len(places(scenes, sharing))
    away = shared.rename(shared.with_name("away"))
    try:
        sharing.stop_host("b")
        assert len(places(scenes, sharing)) == count

        def is_said() -> bool:
            with sharing.client() as client:
                reason = client.get("/health").json().get("reason") or ""
            return "embeddings are not kept in EMBEDDING_CACHE_SHARED_DIR: No such file" in reason

        until(is_said)
    finally:
        away.rename(shared)
    sharing.start_host("b", HOSTS["b"])
    sharing.until_ready(REPLICAS)
    assert len(places(scenes, sharing)) == count
