"""Requests that are sent again: where their replica ended or fell silent, and not where it is only slow."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest

from backend.cluster.figures import Figures
from backend.cluster.hosts import Hosts
from backend.cluster.messages import Answer, Asked, Began, Behind
from backend.cluster.placing import Placement, host_of
from backend.cluster.repeating import Repeating, ReplicaDied
from backend.cluster.waiting import Silence
from backend.errors import DeadlinePassed, ReplicaGone

NAMES = ("a/0", "a/1", "b/0", "c/0")
ASKED = Asked("POST", "/predict", b"", (), b"{}")
KEY = "images-1"
PLACES = 2


@dataclass
class Sent:
    """`Transport`: what was sent where, in turn. Those of `holding` keep what they get; those of `dead` end."""

    holding: dict[str, asyncio.Event] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    names: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def _reach(self, session: str) -> str:
        name = session.split(" ")[0]
        self.names.append(name)
        self.arrived.set()
        if name in self.dead:
            raise ReplicaDied("it died")
        if name in self.holding:
            try:
                await self.holding[name].wait()
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
        return name

    async def call(self, session: str, asked: Asked) -> Answer | Behind:
        return Answer(200, (), f"{await self._reach(session)} 1", b"")

    async def stream(self, session: str, asked: Asked) -> AsyncGenerator[Began | bytes, None]:
        name = await self._reach(session)
        yield Began(200, (), f"{name} 1")
        yield b"first"
        if f"{name} later" in self.holding:
            await self.holding[f"{name} later"].wait()
        yield b"second"

    async def tag(self, session: str) -> str:
        return await self._reach(session)


class Bench:
    """Four replicas on three hosts; `first` has the key."""

    def __init__(self) -> None:
        self.sent, self.silence, self.placement = Sent(), Silence(), Placement()
        self.hosts = Hosts(self.placement, None)
        self.repeating = Repeating(self.sent, Figures(), self.placement, self.hosts, self.silence, PLACES)
        self.placement.report(NAMES)
        self.first = self.placement.order(KEY)[0]

    async def call(self, seconds: float = 60, *, repeat: bool = True) -> str:
        answer = await self.repeating.call(KEY, ASKED, time.monotonic() + seconds, repeat=repeat)
        assert isinstance(answer, Answer)
        return answer.replica.partition(" ")[0]

    def fall_silent(self, *names: str) -> None:
        self.placement.report([name for name in NAMES if name not in names], names)
        self.silence.report(names)


def run(body: Callable[[Bench], object]) -> None:
    async def within() -> None:
        result = body(Bench())
        assert asyncio.iscoroutine(result)
        await result

    asyncio.run(within())


def test_click_at_a_silent_replica_goes_to_another_host() -> None:
    async def body(bench: Bench) -> None:
        bench.sent.holding[bench.first] = asyncio.Event()
        task = asyncio.create_task(bench.call())
        await bench.sent.arrived.wait()
        bench.fall_silent(bench.first)
        answered = await task
        assert host_of(answered) != host_of(bench.first)
        assert (bench.sent.names, bench.sent.cancelled) == ([bench.first, answered], [bench.first])
        assert await bench.call() != bench.first  # which gets nothing any more
        bench.fall_silent()
        bench.sent.holding.clear()
        assert await bench.call() == bench.first

    run(body)


def test_slow_replica_keeps_its_click() -> None:
    """Also where others are silent: how long a click takes is no sign."""

    async def body(bench: Bench) -> None:
        held = bench.sent.holding[bench.first] = asyncio.Event()
        task = asyncio.create_task(bench.call())
        await bench.sent.arrived.wait()
        bench.fall_silent(*(name for name in NAMES if name != bench.first))
        await asyncio.sleep(0)
        held.set()
        assert await task == bench.first
        assert bench.sent.names == [bench.first]

    run(body)


def test_what_may_not_be_repeated_waits() -> None:
    """The silent replica may work on it, and answer when its host is back."""

    async def body(bench: Bench) -> None:
        held = bench.sent.holding[bench.first] = asyncio.Event()
        task = asyncio.create_task(bench.call(repeat=False))
        await bench.sent.arrived.wait()
        bench.fall_silent(bench.first)
        await asyncio.sleep(0)
        held.set()
        assert await task == bench.first

    run(body)


def test_each_repetition_goes_to_a_host_of_its_own() -> None:
    async def body(bench: Bench) -> None:
        bench.sent.dead = set(NAMES)
        with pytest.raises(ReplicaGone):
            await bench.call()
        assert sorted(map(host_of, bench.sent.names)) == ["a", "b", "c"]
        with pytest.raises(ReplicaGone):
            await bench.call(repeat=False)
        assert len(bench.sent.names) == 4

    run(body)


def test_deadline_passes_at_a_replica_that_answers_probes() -> None:
    async def body(bench: Bench) -> None:
        bench.sent.holding[bench.first] = asyncio.Event()
        with pytest.raises(DeadlinePassed):
            await bench.call(0.01)
        assert bench.sent.cancelled == [bench.first]
        bench.hosts.drain(host_of(bench.first))
        assert bench.hosts.requests_at(host_of(bench.first)) == 0

    run(body)


def test_request_to_a_silent_replica_by_name_ends_at_once() -> None:
    async def body(bench: Bench) -> None:
        bench.sent.holding["b/0"] = asyncio.Event()
        bench.fall_silent("b/0")
        with pytest.raises(ReplicaGone):
            await bench.repeating.call("b/0", ASKED, time.monotonic() + 60, repeat=True)

    run(body)


def test_stream_begins_at_another_host() -> None:
    async def body(bench: Bench) -> None:
        bench.sent.holding[bench.first] = asyncio.Event()

        async def read() -> tuple[str, list[bytes]]:
            async with bench.repeating.stream(KEY, ASKED, None, repeat=True) as (began, pieces):
                return began.replica, [piece async for piece in pieces]

        task = asyncio.create_task(read())
        await bench.sent.arrived.wait()
        bench.fall_silent(bench.first)
        replica, pieces = await task
        assert not replica.startswith(bench.first)
        assert pieces == [b"first", b"second"]

    run(body)


def test_stream_of_a_replica_that_falls_silent_ends() -> None:
    async def body(bench: Bench) -> None:
        bench.sent.holding[f"{bench.first} later"] = asyncio.Event()
        async with bench.repeating.stream(KEY, ASKED, None, repeat=True) as (_, pieces):
            assert await anext(pieces) == b"first"
            assert bench.hosts.requests_at(host_of(bench.first)) == 1
            bench.fall_silent(bench.first)
            with pytest.raises(ReplicaGone):
                await anext(pieces)
        assert bench.hosts.requests_at(host_of(bench.first)) == 0

    run(body)


def test_owner_is_asked_for_at_another_host() -> None:
    async def body(bench: Bench) -> None:
        bench.sent.dead = {bench.first}
        assert await bench.repeating.owner(KEY, time.monotonic() + 60) != bench.first

    run(body)


def test_calls_go_past_a_full_replica() -> None:
    """And to it again when it has a place; where all are full, to it, which says so."""

    async def body(bench: Bench) -> None:
        own, *others = bench.placement.order(KEY)
        held = bench.sent.holding[own] = asyncio.Event()
        tasks = [asyncio.create_task(bench.call()) for _ in range(PLACES)]
        await asyncio.sleep(0)
        assert await bench.call(1) == others[0]
        for name in others:
            bench.sent.holding[name] = held
            tasks += [asyncio.create_task(bench.call()) for _ in range(PLACES)]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(bench.call()))
        await asyncio.sleep(0)
        assert bench.sent.names[-1] == own
        held.set()
        assert Counter([await task for task in tasks]) == {own: PLACES + 1, **dict.fromkeys(others, PLACES)}
        assert await bench.call() == own

    run(body)


def test_streams_take_no_place_from_calls() -> None:
    """Pictures that are sent slowly, and runs: a replica has limits of its own for each."""

    async def body(bench: Bench) -> None:
        async with AsyncExitStack() as open_streams:
            for _ in range(PLACES):
                await open_streams.enter_async_context(bench.repeating.stream(KEY, ASKED, None, repeat=True))
            assert await bench.call() == bench.first

    run(body)


def test_stream_that_does_not_begin_in_time_ends() -> None:
    """Its body may take longer."""

    async def body(bench: Bench) -> None:
        bench.sent.holding[bench.first] = asyncio.Event()
        with pytest.raises(DeadlinePassed):
            async with bench.repeating.stream(KEY, ASKED, time.monotonic() + 0.01, repeat=True):
                pass
        assert bench.sent.cancelled == [bench.first]
        assert bench.hosts.requests_at(host_of(bench.first)) == 0
        later = bench.sent.holding[f"{bench.first} later"] = asyncio.Event()
        bench.sent.holding[bench.first].set()
        deadline = time.monotonic() + 1
        async with bench.repeating.stream(KEY, ASKED, deadline, repeat=True) as (_, pieces):
            assert await anext(pieces) == b"first"
            await asyncio.sleep(deadline - time.monotonic())
            later.set()
            assert await anext(pieces) == b"second"

    run(body)
