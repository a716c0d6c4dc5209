"""A replica or a whole host killed, drained and restarted, while 16 clients click."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.backend.annotators import Ask
from tests.integration.cluster.load import CLICKS, HOSTS, REPLICAS, Answered, annotate, names, places
from tests.integration.cluster.nodes import Cluster

pytestmark = pytest.mark.slow
EMPTY_SECONDS = 120.0


def test_killed_replica_fails_no_click(scenes: Path, cluster: Cluster, expected: dict[Ask, str]) -> None:
    """SIGKILL in the middle: all clicks are answered, and only its keys move; they come back with it."""
    before = {image: owner for image, (owner,) in places(scenes, cluster).items()}
    victim = Counter(before.values()).most_common(1)[0][0]

    def kill() -> None:
        os.kill(int(victim.rpartition(" ")[2]), signal.SIGKILL)

    found = annotate(scenes, cluster, expected, CLICKS, kill)
    assert sum(found.by_replica.values()) >= CLICKS
    only_these_moved(before, found, {victim})
    cluster.until_ready(REPLICAS)
    after = {image: owner for image, (owner,) in places(scenes, cluster).items()}
    assert {image: names({owner}) for image, owner in after.items()} == {
        image: names({owner}) for image, owner in before.items()
    }
    assert victim not in after.values()


def test_killed_host_fails_no_click(scenes: Path, cluster: Cluster, expected: dict[Ask, str]) -> None:
    """SIGKILL to all processes of a host at once, Ray's among them; then it is started again."""
    before = {image: owner for image, (owner,) in places(scenes, cluster).items()}
    victims = {owner for owner in before.values() if owner.startswith("b/")}
    assert len(victims) == HOSTS["b"]

    def kill() -> None:
        assert cluster.kill("b") > HOSTS["b"]
        cluster.until_ready(HOSTS["a"])

    found = annotate(scenes, cluster, expected, CLICKS, kill)
    only_these_moved(before, found, victims)
    cluster.start_host("b", HOSTS["b"])
    cluster.until_ready(REPLICAS)
    after = places(scenes, cluster)
    assert {image: names(of) for image, of in after.items()} == {image: names({of}) for image, of in before.items()}


def only_these_moved(before: dict[str, str], found: Answered, victims: set[str]) -> None:
    """The images of other replicas stayed where they were."""
    moved = {image for image, owner in before.items() if found.of_image[image] - {owner}}
    owned = {image for image, owner in before.items() if owner in victims}
    assert moved
    assert moved <= owned, (moved - owned, before, dict(found.of_image))


def test_rolling_restart_fails_no_click(scenes: Path, cluster: Cluster, expected: dict[Ask, str]) -> None:
    """As an upgrade does it: each host in turn drained, stopped when it is empty, started, and brought back."""
    before = places(scenes, cluster)

    def restart() -> None:
        with cluster.client() as client:
            for host, replicas in HOSTS.items():
                assert client.post(f"/hosts/{host}/drain").status_code == 200
                deadline = time.monotonic() + EMPTY_SECONDS
                while not (found := client.get(f"/hosts/{host}").json())["empty"]:
                    assert time.monotonic() < deadline, found
                    time.sleep(0.1)
                cluster.stop_host(host)
                cluster.start_host(host, replicas)
                cluster.until_ready(REPLICAS)
                assert client.delete(f"/hosts/{host}/drain").json()["drained"] is False

    found = annotate(scenes, cluster, expected, CLICKS, restart)
    old, new = {one for of in before.values() for one in of}, {one for of in found.of_image.values() for one in of}
    assert old < new
    assert names(old) == names(new)
    after = places(scenes, cluster)
    assert {image: names(of) for image, of in after.items()} == {image: names(of) for image, of in before.items()}
    assert not old & {one for of in after.values() for one in of}


def test_new_ingress_keeps_the_replicas(scenes: Path, cluster: Cluster) -> None:
    """Their processes, and what is drained."""
    before = places(scenes, cluster)
    with cluster.client() as client:
        client.post("/hosts/b/drain")
    cluster.end("ingress")
    cluster.start_ingress()
    cluster.until_ready(REPLICAS)
    with cluster.client() as client:
        assert client.get("/hosts/b").json()["drained"] is True
        assert all(one.startswith("a/") for of in places(scenes, cluster).values() for one in of)
        client.delete("/hosts/b/drain")
    after = places(scenes, cluster)
    assert {one for of in after.values() for one in of} <= {one for of in before.values() for one in of}
