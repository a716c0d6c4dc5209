"""The ingress in front of two real applications, called as they are: Ray's part is only to carry the calls."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
from fastapi.testclient import TestClient

from backend.cluster.ahead import Ahead
from backend.cluster.figures import Figures
from backend.cluster.forwarding import REPLICA_HEADER, Forwarder
from backend.cluster.hosting import AppHost
from backend.cluster.hosts import Hosts
from backend.cluster.ingress import create_ingress
from backend.cluster.keys import Keys
from backend.cluster.messages import Answer, Asked, Began, Behind, Report
from backend.cluster.placing import Placement, host_of
from backend.cluster.probing import Probes
from backend.cluster.projects import Projects
from backend.cluster.repeating import Repeating, ReplicaDied
from backend.cluster.waiting import Silence
from backend.cluster.watching import ReplicaWatch
from backend.errors import ReplicaGone
from backend.images.image_store import TaskImage
from backend.labelstudio.options import ProjectOptionsRegistry
from backend.serving.alignments import AlignmentStore
from backend.settings import Settings
from backend.sources.locations import Locator
from backend.web.app import create_app
from tests.unit.backend.fakes import MODEL, V1, FakeSegmenter, region
from tests.unit.backend.held_segmenter import draw

PAIR = V1.replace(
    '<Image name="image" value="$image"/>', '<Image name="image" value="$image"/><Image name="b" value="$b"/>'
)
AHEAD = 3
NAMES = [f"set/{number}.png" for number in range(12)]
PROCESS = "7"  # of both: each has its own host, or container
ROUND_SECONDS = 0.3  # of probes
RANDOM_ID = re.compile(rb'"id":"[0-9a-f-]{8,}"')


class TwoReplicas:
    """`Transport`, `Probed` and `Watched` without Ray."""

    def __init__(self, replicas: list[AppHost]) -> None:
        self.replicas = replicas
        self.calls: list[tuple[str, Asked]] = []
        self.given: list[tuple[str, list[TaskImage]]] = []
        self.is_gone = False
        self.dead: set[str] = set()  # hosts that take no requests any more
        self.is_stalled = False  # propagations do not go on after their first line
        self.frozen: set[str] = set()  # hosts that take requests, and do nothing
        self.missing: str | None = None
        self.clock = 0.0

    def _of(self, session: str) -> AppHost:
        return next(one for name in session.split(" ") for one in self.replicas if one.name == name)

    async def _awake(self, one: AppHost) -> None:
        if host_of(one.name) in self.frozen:
            await asyncio.Event().wait()

    async def call(self, session: str, asked: Asked) -> Answer | Behind:
        self.calls.append((session, asked))
        if self.is_gone or host_of(session.split(" ")[0]) in self.dead:
            raise ReplicaDied("gone")
        await self._awake(self._of(session))
        return await self._of(session).call(asked)

    async def stream(self, session: str, asked: Asked) -> AsyncGenerator[Began | bytes, None]:
        async with aclosing(self._of(session).stream(asked)) as pieces:
            async for piece in pieces:
                await self._awake(self._of(session))
                yield piece
                if self.is_stalled:
                    await asyncio.Event().wait()
                if self.is_gone and isinstance(piece, bytes):
                    raise ReplicaDied("gone")

    async def tag(self, session: str) -> str:
        return await self._of(session).tag()

    async def _report(self, one: AppHost) -> Report:
        await self._awake(one)
        found = await one.report()
        return replace(found, clock=found.clock + self.clock)

    async def following(self, session: str, url: str, count: int) -> Sequence[TaskImage]:
        if self.is_gone:
            raise ReplicaGone("gone")
        return await self._of(session).following(url, count)

    async def encode_ahead(self, replica: str, project: str | None, images: Sequence[TaskImage]) -> None:
        self.given.append((replica, list(images)))
        await self._of(replica).encode_ahead(project, images)

    async def probe(self) -> Sequence[Awaitable[Report | None]]:
        return [self._report(one) for one in self.replicas]

    async def why_missing(self) -> str | None:
        return self.missing


class House:
    """The plain backend, and the ingress with two of it behind."""

    def __init__(
        self, plain: TestClient, ingress: TestClient, replicas: TwoReplicas, placement: Placement, hosts: Hosts
    ) -> None:
        self.plain = plain
        self.ingress = ingress
        self.replicas = replicas
        self.placement = placement
        self.hosts = hosts


@contextmanager
def open_ingress(settings: Settings, root: Path, tmp_path: Path) -> Iterator[House]:
    """The plain backend, and an ingress in front of two more."""
    draw(root, *NAMES)
    (tmp_path / "shared").mkdir()
    with ExitStack() as stack:

        def application(number: int) -> TestClient:
            kept = tmp_path / f"cache-{number}"
            kept.mkdir()
            kept_by_all = tmp_path / "shared" if number else None
            update = {"embedding_cache_dir": kept, "embedding_cache_shared_dir": kept_by_all, "prewarm_neighbours": 0}
            own = settings.model_copy(update=update)
            return stack.enter_context(TestClient(create_app(FakeSegmenter, own, MODEL)))

        clients = [application(number) for number in range(3)]
        for client in clients:
            while client.get("/ready").status_code != 200:
                time.sleep(0.01)
        replicas = [AppHost(client.app, f"{host}/0", PROCESS) for host, client in zip("ab", clients[1:], strict=True)]  # type: ignore[arg-type]
        placement, figures, silence = Placement(), Figures(), Silence()
        hosts = Hosts(placement, tmp_path / "drained.json")
        two = TwoReplicas(replicas)
        projects = Projects(ProjectOptionsRegistry(), AlignmentStore(tmp_path / "alignments"))
        watch = ReplicaWatch(two, Probes(two, placement, silence, ROUND_SECONDS), 2, MODEL, figures, hosts)
        forwarder = Forwarder(Repeating(two, figures, placement, hosts, silence, settings.click_limit), projects)
        keys = Keys(Locator())
        ahead = Ahead(two, placement, keys, AHEAD)
        app = create_ingress(settings, MODEL, watch, hosts, forwarder, projects, keys, figures, ahead)
        ingress = stack.enter_context(TestClient(app))
        while ingress.get("/ready").status_code != 200:
            time.sleep(0.01)
        yield House(clients[0], ingress, two, placement, hosts)


def point(x: float = 25, y: float = 75, **more: Any) -> dict[str, object]:
    return region("keypointlabels", x, y, **more)


def body_of(answer: httpx2.Response) -> bytes:
    """An answer's bytes but for the ids of requests and regions, which are new each time."""
    return RANDOM_ID.sub(b'"id":"-"', re.sub(rb'"request_id":"[^"]*"', b"", answer.content))


def until(house: House, reached: Callable[[dict[str, Any]], bool]) -> None:
    """Wait for a state of `/health`."""
    deadline = time.monotonic() + 30
    while not reached(health := house.ingress.get("/health").json()):
        assert time.monotonic() < deadline, health
        time.sleep(0.02)


def shares(answer: httpx2.Response) -> str:
    return answer.headers[REPLICA_HEADER]
