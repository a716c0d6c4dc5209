"""The ingress in front of two real applications, called as they are: Ray's part is only to carry the calls."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from backend.cluster.figures import Figures
from backend.cluster.forwarding import REPLICA_HEADER, Forwarder
from backend.cluster.hosting import AppHost
from backend.cluster.ingress import create_ingress
from backend.cluster.keys import Keys
from backend.cluster.messages import Answer, Asked, Began, Behind, Report
from backend.cluster.projects import Projects
from backend.cluster.watching import ReplicaWatch
from backend.errors import ReplicaGone
from backend.labelstudio.options import ProjectOptionsRegistry
from backend.serving.alignments import AlignmentStore
from backend.settings import Settings
from backend.sources.locations import Locator
from backend.web.app import create_app
from tests.unit.backend.fakes import MODEL, V1, FakeSegmenter, click, region
from tests.unit.backend.held_segmenter import draw

PAIR = V1.replace(
    '<Image name="image" value="$image"/>', '<Image name="image" value="$image"/><Image name="b" value="$b"/>'
)
NAMES = [f"set/{number}.png" for number in range(12)]
RANDOM_ID = re.compile(rb'"id":"[0-9a-f-]{8,}"')


class TwoReplicas:
    """`Calls` without Ray: an even key is the first one's, an odd one the second's."""

    def __init__(self, hosts: list[AppHost]) -> None:
        self.hosts = hosts
        self.calls: list[tuple[str, Asked]] = []
        self.is_gone = False

    def _of(self, key: str) -> AppHost:
        return self.hosts[int(key.rpartition("-")[2]) % len(self.hosts)]

    async def call(self, key: str, asked: Asked, deadline: float, *, repeat: bool) -> Answer | Behind:
        assert deadline > time.monotonic()
        self.calls.append((key, asked))
        if self.is_gone:
            raise ReplicaGone("gone")
        return await self._of(key).call(asked)

    @asynccontextmanager
    async def stream(
        self, key: str, asked: Asked, *, repeat: bool
    ) -> AsyncIterator[tuple[Began, AsyncGenerator[bytes, None]]]:
        pieces = self._of(key).stream(asked)
        began = await anext(pieces)
        assert isinstance(began, Began)

        async def body() -> AsyncGenerator[bytes, None]:
            async for piece in pieces:
                assert isinstance(piece, bytes)
                yield piece

        try:
            yield began, body()
        finally:
            await pieces.aclose()

    async def owner(self, key: str, deadline: float) -> str:
        return await self._of(key).tag()

    async def reports(self) -> list[Report]:
        return [await host.report() for host in self.hosts]


class House:
    """The plain backend, and the ingress with two of it behind."""

    def __init__(self, plain: TestClient, ingress: TestClient, replicas: TwoReplicas) -> None:
        self.plain = plain
        self.ingress = ingress
        self.replicas = replicas


@pytest.fixture
def house(settings: Settings, root: Path, tmp_path: Path) -> Iterator[House]:
    draw(root, *NAMES)
    with ExitStack() as stack:

        def application(number: int) -> TestClient:
            kept = tmp_path / f"cache-{number}"
            kept.mkdir()
            own = settings.model_copy(update={"embedding_cache_dir": kept, "prewarm_neighbours": 0})
            return stack.enter_context(TestClient(create_app(FakeSegmenter, own, MODEL)))

        clients = [application(number) for number in range(3)]
        for client in clients:
            while client.get("/ready").status_code != 200:
                time.sleep(0.01)
        hosts = [AppHost(client.app, f"host/{number}", str(number)) for number, client in enumerate(clients[1:])]  # type: ignore[arg-type]
        replicas = TwoReplicas(hosts)
        figures = Figures()
        projects = Projects(ProjectOptionsRegistry(), AlignmentStore(tmp_path / "alignments"))
        app = create_ingress(
            settings, MODEL, ReplicaWatch(replicas.reports, 2, MODEL, figures), Forwarder(replicas, projects), projects,
            Keys(Locator()), figures,
        )  # fmt: skip
        ingress = stack.enter_context(TestClient(app))
        while ingress.get("/ready").status_code != 200:
            time.sleep(0.01)
        yield House(clients[0], ingress, replicas)


def point(x: float = 25, y: float = 75, **more: Any) -> dict[str, object]:
    return region("keypointlabels", x, y, **more)


def body_of(answer: httpx2.Response) -> bytes:
    """An answer's bytes but for the ids of requests and regions, which are new each time."""
    return RANDOM_ID.sub(b'"id":"-"', re.sub(rb'"request_id":"[^"]*"', b"", answer.content))


def shares(answer: httpx2.Response) -> str:
    return answer.headers[REPLICA_HEADER]


def test_answers_are_those_of_the_plain_backend(house: House) -> None:
    box = {"label": "Person", "x": 10, "y": 10, "width": 50, "height": 50}
    data = {"image": "/data/local-files/?d=set/1.png"}
    asked: list[tuple[str, str, Any]] = [
        ("POST", "/setup", {"project": "3.1", "schema": V1, "extra_params": None}),
        ("POST", "/setup", {"project": "3.1", "schema": "<View/>", "extra_params": None}),
        ("POST", "/predict", click(point(), image="set/1.png")),
        ("POST", "/predict", click(point(), point(60, id="r2", positive=False), image="set/2.png")),
        ("POST", "/predict", click(region("rectanglelabels", 10, 10, width=50, height=50), image="set/3.png")),
        ("POST", "/predict", click(point(), image="set/missing.png")),
        ("POST", "/predict", click(point(), config="<View>")),
        ("POST", "/predict", {"tasks": "none"}),
        ("POST", "/predict", {"tasks": [{"id": n, "data": {}} for n in range(3)], "label_config": V1}),
        ("POST", "/boxes", {"label_config": V1, "task": "1", "data": data, "boxes": [box]}),
        ("POST", "/boxes", {"label_config": V1, "task": "1", "data": {}, "boxes": [box]}),
        ("POST", "/everything", {"label_config": V1, "task": "1", "data": {}, "label": "Person"}),
        ("GET", "/versions", None),
        ("GET", "/health", None),
        ("GET", "/nothing", None),
        ("DELETE", "/propagate/none", None),
        ("GET", "/embed/none", None),
        ("GET", "/picture", None),
    ]
    for method, path, body in asked:
        plain = house.plain.request(method, path, json=body)
        ingress = house.ingress.request(method, path, json=body)
        assert (ingress.status_code, body_of(ingress)) == (plain.status_code, body_of(plain)), (path, body)
        for name in ("content-type", "x-error-detail"):
            assert ingress.headers.get(name) == plain.headers.get(name), (path, name)


def test_clicks_of_an_image_go_to_one_replica(house: House) -> None:
    found = {
        name: {shares(house.ingress.post("/predict", json=click(point(x), image=name))) for x in (20, 40, 60)}
        for name in NAMES
    }
    assert all(len(replicas) == 1 for replicas in found.values())
    assert len({replica for replicas in found.values() for replica in replicas}) == 2


def test_request_id_of_a_page_comes_back(house: House) -> None:
    body: Any = click(point())
    body["params"]["context"]["request_id"] = "page-7"
    assert house.ingress.post("/predict", json=body).headers["X-Request-ID"] == "page-7"
    assert house.ingress.get("/versions", headers={"X-Request-ID": "mine"}).headers["X-Request-ID"] == "mine"


def test_options_reach_each_replica_once(house: House) -> None:
    polygons = V1.replace(
        '<BrushLabels name="brush"',
        '<PolygonLabels name="p" toName="image"><Label value="Person"/></PolygonLabels><BrushLabels name="brush"',
    )
    told: dict[str, Any] = {"project": "3.1767225600", "schema": polygons, "extra_params": {"output": "polygon"}}
    for _ in range(2):
        for name in NAMES[:6]:
            answer = house.ingress.post("/predict", json=click(point(), image=name, config=polygons)).json()
            assert answer["results"][0]["result"][0]["type"] == "brushlabels"
        assert house.ingress.post("/setup", json=told).status_code == 200
        for name in NAMES[:6]:
            answer = house.ingress.post("/predict", json=click(point(), image=name, config=polygons)).json()
            assert answer["results"][0]["result"][0]["type"] == "polygonlabels"
        told["extra_params"] = None
        house.ingress.post("/setup", json=told)
        told["extra_params"] = {"output": "polygon"}
    states = [asked for _, asked in house.replicas.calls if asked.state is not None]
    assert 0 < len(states) <= 2 * 4  # each replica, each change


def test_images_of_a_pair_are_opened_at_their_own_replicas(house: House) -> None:
    def names_of(body: dict[str, Any]) -> dict[str, Any]:
        return {"image": f"/data/local-files/?d={NAMES[0]}", "b": f"/data/local-files/?d={body['b']}"}

    keys = Keys(Locator())
    even = int(keys.of_image(f"/data/local-files/?d={NAMES[0]}").rpartition("-")[2]) % 2
    other = next(
        name for name in NAMES if int(keys.of_image(f"/data/local-files/?d={name}").rpartition("-")[2]) % 2 != even
    )
    task = {"id": 5, "data": names_of({"b": other})}
    opened: dict[str, Any] = {"tasks": [task], "project": "3.1", "label_config": PAIR, "params": {"context": None}}
    assert house.ingress.post("/predict", json=opened).json() == {"results": [[]]}
    asked: dict[str, Any] = {**opened, "params": {"context": {"ask": "state"}}}
    deadline = time.monotonic() + 30
    while (found := house.ingress.post("/predict", json=asked).json())["results"][0]["state"]["image"] != "ready":
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    held = [host.service.loader.loaded.embeddings.stats.held_images for host in house.replicas.hosts]  # type: ignore[union-attr]
    assert held == [1, 1]


def test_embed_gives_each_replica_its_own_images(house: House) -> None:
    images = [{"url": f"/data/local-files/?d={name}", "task": str(n)} for n, name in enumerate(NAMES)]
    answer = house.ingress.post("/embed", json={"key": "p", "images": images})
    assert answer.status_code == 202, answer.text
    job = answer.json()["job"]
    deadline = time.monotonic() + 30
    while (progress := house.ingress.get(f"/embed/{job}").json())["state"] != "done":
        assert time.monotonic() < deadline, progress
        time.sleep(0.02)
    assert (progress["id"], progress["total"], progress["encoded"], progress["failed"]) == (job, 12, 12, 0)
    assert [one["id"] for one in house.ingress.get("/embed").json()["jobs"]] == [job]
    before = [host.service.loader.loaded.embeddings.disk_stats.hits for host in house.replicas.hosts]  # type: ignore[union-attr]
    for name in NAMES:
        assert house.ingress.post("/predict", json=click(point(), image=name)).status_code == 200
    after = [host.service.loader.loaded.embeddings.disk_stats.hits for host in house.replicas.hosts]  # type: ignore[union-attr]
    assert sum(after) - sum(before) == 12


def test_metrics_are_of_all_replicas_by_name(house: House) -> None:
    house.ingress.post("/predict", json=click(point()))
    text = house.ingress.get("/metrics").text
    assert 'labelrig_clicks_total{prompt="point",replica="host/' in text
    for number in range(2):
        assert f'labelrig_cache_bytes{{cache="memory",replica="host/{number}"}}' in text
    assert "labelrig_replicas_ready 2.0" in text
    assert 'labelrig_ingress_requests_total{route="/predict",status="200"} 1.0' in text
    assert len(re.findall("# TYPE labelrig_clicks_total", text)) == 1
    page = house.ingress.get("/status").text
    assert "host/0" in page
    assert "host/1" in page


def test_replica_that_is_missing_shows_in_health(house: House) -> None:
    house.replicas.hosts.pop()
    house.ingress.get("/metrics")
    health = house.ingress.get("/health").json()
    assert (health["status"], health["state"], health["reason"]) == ("UP", "degraded", "1 of 2 replicas answer")


def test_dead_replica_is_one_sentence(house: House) -> None:
    house.replicas.is_gone = True
    answer = house.ingress.post("/predict", json=click(point()))
    assert (answer.status_code, answer.json()["detail"]) == (503, "gone")
