"""What lies beside an opened image, given to two real applications behind the ingress."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from backend.cluster.keys import Keys
from backend.errors import ReplicaGone
from backend.images.image_store import TaskImage
from backend.settings import Settings
from backend.sources.locations import Locator
from tests.unit.backend.caching import WAIT, eventually
from tests.unit.backend.fakes import V1, click
from tests.unit.backend.ingress_bench import AHEAD, NAMES, House, open_ingress, point, shares


@pytest.fixture
def house(settings: Settings, root: Path, tmp_path: Path) -> Iterator[House]:
    with open_ingress(settings, root, tmp_path) as house:
        yield house


def open_task(house: House, name: str, context: dict[str, str] | None = None) -> None:
    task = {"id": 5, "data": {"image": f"/data/local-files/?d={name}"}}
    body = {"tasks": [task], "project": "3.1", "label_config": V1, "params": {"context": context}}
    assert house.ingress.post("/predict", json=body).status_code == 200


def held_images(house: House) -> list[int]:
    """How many each replica has in its memory."""
    loaded = [host.service.loader.loaded for host in house.replicas.replicas]
    return [one.embeddings.stats.held_images for one in loaded if one is not None]


def test_what_lies_beside_is_encoded_where_it_will_live(house: House) -> None:
    """As many as the plain backend encodes; the first clicks on them find them in memory."""
    following = sorted(NAMES)[1 : 1 + AHEAD]
    open_task(house, sorted(NAMES)[0])
    eventually(lambda: sum(held_images(house)) == 1 + AHEAD)
    order = house.placement.order
    owners = {name: order(Keys(Locator()).of_image(f"/data/local-files/?d={name}"))[0] for name in following}
    given = {image.url.partition("?d=")[2]: replica for replica, images in house.replicas.given for image in images}
    assert given == owners
    assert set(owners.values()) == {"a/0", "b/0"}
    for name in following:
        assert shares(house.ingress.post("/predict", json=click(point(), image=name))).startswith(f"{owners[name]} ")
    assert sum(held_images(house)) == 1 + AHEAD


def test_page_that_asks_for_the_state_has_opened_it(house: House) -> None:
    """Once, however often it asks; and nothing is encoded ahead of what is ready."""
    for _ in range(3):
        open_task(house, sorted(NAMES)[4], {"ask": "state"})
    eventually(lambda: sum(held_images(house)) == 1 + AHEAD)
    given = sum(len(images) for _, images in house.replicas.given)
    assert given == AHEAD
    open_task(house, sorted(NAMES)[5], {"ask": "state"})
    assert sum(len(images) for _, images in house.replicas.given) == given


def test_replica_without_neighbours_forgets_the_old(house: House) -> None:
    """The last image of the folder has none, and those of the opening before are forgotten where they were given."""
    open_task(house, sorted(NAMES)[0])
    eventually(lambda: sum(len(images) for _, images in house.replicas.given) == AHEAD)
    before = {replica for replica, _ in house.replicas.given}
    house.replicas.given.clear()
    open_task(house, "set/a.png")
    eventually(lambda: len(house.replicas.given) == len(before))
    assert house.replicas.given == [(replica, []) for replica, _ in house.replicas.given]
    assert {replica for replica, _ in house.replicas.given} == before


def test_dead_replica_costs_the_opening_alone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    open_task(house, sorted(NAMES)[0])
    eventually(lambda: sum(held_images(house)) == 1 + AHEAD)
    asked = threading.Event()

    async def gone(_key: str, _url: str, _count: int) -> Sequence[TaskImage]:
        asked.set()
        raise ReplicaGone("gone")

    monkeypatch.setattr(house.replicas, "following", gone)
    open_task(house, sorted(NAMES)[4])
    assert asked.wait(WAIT)
    monkeypatch.undo()
    open_task(house, sorted(NAMES)[8])
    eventually(lambda: sum(held_images(house)) == 3 + AHEAD + AHEAD)
