"""Who is given the images after an opened one, and what is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from backend.cluster.ahead import Ahead
from backend.cluster.keys import Keys
from backend.cluster.placing import Placement
from backend.errors import ReplicaGone
from backend.images.image_store import TaskImage
from backend.sources.locations import Locator

PROJECT = "3.1"


def image(number: int) -> TaskImage:
    return TaskImage(f"/data/local-files/?d=set/{number}.png")


class Replicas:
    """Answers as replicas do, and writes down what they are given. `gate` holds back which images follow."""

    def __init__(self) -> None:
        self.asked: list[TaskImage] = []
        self.given: list[tuple[str, list[TaskImage]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.dead: set[str] = set()

    async def following(self, key: str, url: str, count: int) -> Sequence[TaskImage]:
        self.asked.append(TaskImage(url))
        await self.gate.wait()
        number = int(url.partition("set/")[2].removesuffix(".png"))
        return [image(number + one) for one in range(1, count + 1) if number + one < 100]

    async def encode_ahead(self, replica: str, project: str | None, images: Sequence[TaskImage]) -> None:
        assert project == PROJECT
        self.given.append((replica, list(images)))
        if replica in self.dead:
            raise ReplicaGone(replica)

    @property
    def images(self) -> list[TaskImage]:
        return sorted(one for _, images in self.given for one in images)


class Bench:
    def __init__(self, count: int = 8) -> None:
        self.replicas = Replicas()
        self.placement = Placement()
        self.placement.report(("a/0", "b/0"))
        self.ahead = Ahead(self.replicas, self.placement, Keys(Locator()), count)

    async def idle(self) -> None:
        async with asyncio.timeout(30):
            while self.ahead._task is not None and not self.ahead._task.done():
                await asyncio.sleep(0)


def test_each_replica_is_given_its_own() -> None:
    async def run() -> None:
        bench = Bench()
        bench.ahead.opened(PROJECT, image(0))
        await bench.idle()
        assert bench.replicas.images == sorted(image(number) for number in range(1, 9))
        assert {replica for replica, _ in bench.replicas.given} == {"a/0", "b/0"}
        for replica, images in bench.replicas.given:
            assert images == sorted(images)
            assert all(bench.placement.order(Keys(Locator()).of_image(*one))[0] == replica for one in images)

    asyncio.run(run())


def test_state_asked_for_again_is_no_opening() -> None:
    async def run() -> None:
        bench = Bench()
        for _ in range(3):
            bench.ahead.opened(PROJECT, image(0), asked_again=True)
            await bench.idle()
        assert bench.replicas.asked == [image(0)]
        bench.ahead.opened(PROJECT, image(0))
        await bench.idle()
        assert bench.replicas.asked == [image(0)] * 2

    asyncio.run(run())


def test_newest_opening_of_a_project_counts() -> None:
    """Also where the replica says late what follows on the older one."""

    async def run() -> None:
        bench = Bench(count=2)
        bench.replicas.gate.clear()
        bench.ahead.opened(PROJECT, image(0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        bench.ahead.opened(PROJECT, image(50))
        bench.replicas.gate.set()
        await bench.idle()
        assert bench.replicas.asked == [image(0), image(50)]
        assert bench.replicas.images == [image(51), image(52)]

    asyncio.run(run())


def test_who_has_none_of_the_next_forgets() -> None:
    async def run() -> None:
        bench = Bench()
        bench.ahead.opened(PROJECT, image(0))
        await bench.idle()
        bench.replicas.given.clear()
        bench.ahead.opened(PROJECT, image(99))
        await bench.idle()
        assert sorted(bench.replicas.given) == [("a/0", []), ("b/0", [])]
        bench.replicas.given.clear()
        bench.ahead.opened(PROJECT, image(99))
        await bench.idle()
        assert bench.replicas.given == []

    asyncio.run(run())


def test_dead_replica_keeps_no_other_from_it() -> None:
    async def run() -> None:
        bench = Bench()
        bench.replicas.dead = {"a/0"}
        for number in (0, 20):
            bench.ahead.opened(PROJECT, image(number))
            await bench.idle()
        assert len([replica for replica, _ in bench.replicas.given if replica == "b/0"]) == 2

    asyncio.run(run())


def test_none_where_none_are_wanted() -> None:
    async def run() -> None:
        bench = Bench(count=0)
        bench.ahead.opened(PROJECT, image(0))
        await bench.idle()
        assert bench.replicas.asked == []

    asyncio.run(run())
