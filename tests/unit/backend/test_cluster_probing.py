"""Who answers probes, who has ended, and who is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from backend.cluster.messages import Report
from backend.cluster.placing import Placement
from backend.cluster.probing import SILENT_ROUNDS, Probes
from backend.cluster.waiting import Silence

ROUND_SECONDS = 0.01


def report(name: str, tag: str = "1") -> Report:
    return Report(name, tag, "ready", None, "cpu", "torch", b"")


class Hosts:
    """`Probed`: replicas that answer at once, later, or not at all."""

    def __init__(self, *names: str) -> None:
        self.there = set(names)
        self.frozen: set[str] = set()
        self.late: list[asyncio.Future[Report | None]] = []
        self.is_reached = True

    async def probe(self) -> Sequence[Awaitable[Report | None]]:
        return [self._answer(name) for name in sorted(self.there)] if self.is_reached else []

    async def _answer(self, name: str) -> Report | None:
        if name in self.frozen:
            late: asyncio.Future[Report | None] = asyncio.get_running_loop().create_future()
            self.late.append(late)
            return await late
        return report(name)


class Bench:
    """Two replicas, and what is made of their answers."""

    def __init__(self) -> None:
        self.hosts = Hosts("a/0", "b/0")
        self.placement = Placement()
        self.silence = Silence()
        self.probes = Probes(self.hosts, self.placement, self.silence, ROUND_SECONDS)

    async def rounds(self, count: int) -> None:
        for _ in range(count):
            await self.probes.ask(counts=True)

    @property
    def answering(self) -> list[str]:
        return [one.replica for one in self.probes.ready]


def test_replica_that_misses_all_rounds_is_silent() -> None:
    async def body() -> None:
        bench = Bench()
        await bench.rounds(1)
        bench.hosts.frozen = {"b/0"}
        await bench.rounds(SILENT_ROUNDS - 1)
        assert (bench.silence.names, bench.answering) == (frozenset(), ["a/0", "b/0"])
        assert set(bench.placement.order("images-1")) == {"a/0", "b/0"}
        await bench.rounds(1)
        assert (bench.silence.names, bench.answering) == (frozenset({"b/0"}), ["a/0"])
        assert all(bench.placement.order(f"images-{number}") == ("a/0",) for number in range(20))
        await bench.rounds(SILENT_ROUNDS)
        assert bench.silence.names == {"b/0"}
        bench.hosts.frozen = set()
        await bench.rounds(1)
        assert (bench.silence.names, bench.answering) == (frozenset(), ["a/0", "b/0"])
        assert {bench.placement.order(f"images-{number}")[0] for number in range(20)} == {"a/0", "b/0"}
        await bench.probes.close()

    asyncio.run(body())


def test_late_answer_is_a_sign_of_life() -> None:
    """A busy machine: each answer comes after its round, and each replica has answered since the last."""

    async def body() -> None:
        bench = Bench()
        await bench.rounds(1)
        bench.hosts.frozen = {"b/0"}
        for _ in range(3 * SILENT_ROUNDS):
            await bench.rounds(1)
            bench.hosts.late.pop().set_result(report("b/0"))
            await asyncio.sleep(0)
        assert bench.silence.names == frozenset()
        await bench.probes.close()

    asyncio.run(body())


def test_rounds_of_pages_do_not_count() -> None:
    async def body() -> None:
        bench = Bench()
        await bench.rounds(1)
        bench.hosts.frozen = {"b/0"}
        for _ in range(2 * SILENT_ROUNDS):
            await bench.probes.ask()
        assert (bench.silence.names, bench.answering) == (frozenset(), ["a/0", "b/0"])
        await bench.probes.close()

    asyncio.run(body())


def test_nobody_is_silent_where_nobody_answers() -> None:
    """Then it may be this process that is cut off, and there is no one to go to instead."""

    async def body() -> None:
        bench = Bench()
        await bench.rounds(1)
        bench.hosts.frozen = {"a/0", "b/0"}
        await bench.rounds(2 * SILENT_ROUNDS)
        assert (bench.silence.names, bench.answering) == (frozenset(), ["a/0", "b/0"])
        bench.hosts.is_reached = False
        await bench.rounds(2 * SILENT_ROUNDS)
        assert (bench.silence.names, bench.answering) == (frozenset(), ["a/0", "b/0"])
        await bench.probes.close()

    asyncio.run(body())


def test_replica_that_ended_is_missing_and_not_silent() -> None:
    async def body() -> None:
        bench = Bench()
        await bench.rounds(1)
        bench.hosts.there = {"a/0"}
        await bench.probes.ask()
        assert (bench.silence.names, bench.answering) == (frozenset(), ["a/0"])
        await bench.probes.close()

    asyncio.run(body())


def test_silent_replica_that_ray_takes_out_is_forgotten() -> None:
    async def body() -> None:
        bench = Bench()
        await bench.rounds(1)
        bench.hosts.frozen = {"b/0"}
        await bench.rounds(SILENT_ROUNDS)
        assert bench.silence.names == {"b/0"}
        bench.hosts.there = {"a/0"}
        await bench.rounds(1)
        assert bench.silence.names == frozenset()
        bench.hosts.there, bench.hosts.frozen = {"a/0", "b/0"}, set()
        await bench.rounds(1)
        assert bench.answering == ["a/0", "b/0"]
        await bench.probes.close()

    asyncio.run(body())
