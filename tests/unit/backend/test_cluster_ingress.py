"""The ingress in front of two real applications, called as they are: Ray's part is only to carry the calls."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from backend.cluster import ingress
from backend.cluster.forwarding import REPLICA_HEADER
from backend.cluster.keys import Keys
from backend.cluster.repeating import GONE, LATE
from backend.settings import Settings
from backend.sources.locations import Locator
from backend.web import picture_routes
from backend.web.grants import Grant
from masks.rle import encode_rle
from tests.unit.backend.fakes import V1, click, region
from tests.unit.backend.ingress_bench import (
    NAMES,
    PAIR,
    ROUND_SECONDS,
    House,
    body_of,
    open_ingress,
    point,
    shares,
    until,
)


@pytest.fixture
def house(settings: Settings, root: Path, tmp_path: Path) -> Iterator[House]:
    with open_ingress(settings, root, tmp_path) as house:
        yield house


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
        ("POST", "/embed", {"images": []}),
        ("GET", "/embed", None),
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


def test_request_may_name_its_replica(house: House) -> None:
    """The same click is answered by whom it is for, which is how a deploy clicks through all; no image moves by it."""
    before = shares(house.ingress.post("/predict", json=click(point())))
    for one in house.replicas.replicas:
        answer = house.ingress.post("/predict", json=click(point()), headers={REPLICA_HEADER: one.name})
        assert shares(answer).startswith(f"{one.name} ")
    assert shares(house.ingress.post("/predict", json=click(point()))) == before
    answer = house.ingress.post("/predict", json=click(point()), headers={REPLICA_HEADER: "c/0"})
    assert (answer.status_code, answer.json()["detail"]) == (404, "no replica 'c/0' answers; there are: a/0, b/0")


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

    def owner(name: str) -> str:
        return house.placement.order(Keys(Locator()).of_image(f"/data/local-files/?d={name}"))[0]

    other = next(name for name in NAMES if owner(name) != owner(NAMES[0]))
    task = {"id": 5, "data": names_of({"b": other})}
    opened: dict[str, Any] = {"tasks": [task], "project": "3.1", "label_config": PAIR, "params": {"context": None}}
    assert house.ingress.post("/predict", json=opened).json() == {"results": [[]]}
    asked: dict[str, Any] = {**opened, "params": {"context": {"ask": "state"}}}
    deadline = time.monotonic() + 30
    while (found := house.ingress.post("/predict", json=asked).json())["results"][0]["state"]["image"] != "ready":
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    for host in house.replicas.replicas:
        for name in (NAMES[0], other):
            file = host.service.sources.open(f"/data/local-files/?d={name}", None, deadline)
            where = host.service.loader.loaded.embeddings.where(host.service.images.describe(file, deadline))  # type: ignore[union-attr]
            assert where == ("memory" if owner(name) == host.name else None)


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
    house.ingress.post("/hosts/b/drain")
    assert [one["id"] for one in house.ingress.get("/embed").json()["jobs"]] == [job]
    house.ingress.delete("/hosts/b/drain")
    before = [host.service.loader.loaded.embeddings.disk_stats.hits for host in house.replicas.replicas]  # type: ignore[union-attr]
    for name in NAMES:
        assert house.ingress.post("/predict", json=click(point(), image=name)).status_code == 200
    after = [host.service.loader.loaded.embeddings.disk_stats.hits for host in house.replicas.replicas]  # type: ignore[union-attr]
    assert sum(after) - sum(before) == 12


def test_metrics_are_of_all_replicas_by_name(house: House) -> None:
    house.ingress.post("/predict", json=click(point()))
    text = house.ingress.get("/metrics").text
    assert 'labelrig_clicks_total{prompt="point",replica="' in text
    for host in "ab":
        assert f'labelrig_cache_bytes{{cache="memory",replica="{host}/0"}}' in text
        assert f'labelrig_replica_up{{host="{host}",replica="{host}/0"}} 1.0' in text
        assert f'labelrig_host_drained{{host="{host}"}} 0.0' in text
    assert "labelrig_replicas_ready 2.0" in text
    assert 'labelrig_ingress_requests_total{route="/predict",status="200"} 1.0' in text
    assert len(re.findall("# TYPE labelrig_clicks_total", text)) == 1
    page = house.ingress.get("/status").text
    assert "<td>a<td>a/0<td>7<td>ready" in page
    assert "<td>b<td>b/0<td>7<td>ready" in page


def test_replica_that_is_missing_shows_in_health(house: House) -> None:
    house.replicas.replicas.pop()
    house.replicas.missing = "b has the model x, and the cluster serves y"
    wanted = "1 of 2 replicas answer: b has the model x, and the cluster serves y"
    until(house, lambda health: health.get("reason") == wanted)
    health = house.ingress.get("/health").json()
    assert (health["status"], health["state"]) == ("UP", "degraded")
    assert wanted in house.ingress.get("/status").text


def test_clock_that_is_off_is_named(house: House) -> None:
    house.replicas.clock = 3600
    house.ingress.get("/metrics")
    reason = house.ingress.get("/health").json()["reason"]
    assert reason == "; ".join(f"the clock of {host} is 3600 s ahead of the ingress's" for host in "ab")
    assert house.ingress.post("/predict", json=click(point())).status_code == 200


def test_drained_host_gets_nothing_and_comes_back(house: House) -> None:
    def click_all() -> dict[str, str]:
        answers = {name: house.ingress.post("/predict", json=click(point(), image=name)) for name in NAMES}
        assert {one.status_code for one in answers.values()} == {200}
        return {name: shares(one) for name, one in answers.items()}

    before = click_all()
    assert set(before.values()) == {"a/0 7", "b/0 7"}
    answer = house.ingress.post("/hosts/b/drain")
    assert answer.status_code == 200
    found = answer.json()
    assert (found["drained"], found["empty"], found["requests"], found["jobs"]) == (True, True, 0, 0)
    assert set(click_all().values()) == {"a/0 7"}
    assert 'labelrig_host_drained{host="b"} 1.0' in house.ingress.get("/metrics").text
    assert house.ingress.get("/health").json()["reason"] == "b is drained"
    assert "<td>b (drained)<td>b/0" in house.ingress.get("/status").text
    for _ in range(2):
        assert house.ingress.delete("/hosts/b/drain").json()["drained"] is False
    assert click_all() == before
    whole = house.ingress.get("/hosts").json()
    assert (whole["state"], whole["ready"], whole["wanted"]) == ("ready", 2, 2)
    assert [one["host"] for one in whole["hosts"]] == ["a", "b"]
    assert all(0 < one["replicas"][0]["hit_ratio"] < 1 for one in whole["hosts"])


def test_moved_image_is_found_in_the_shared_folder(house: House) -> None:
    """And not encoded again; how often shows of each replica."""
    loaded = [one.service.loader.loaded for one in house.replicas.replicas]
    models = [one for one in loaded if one is not None]
    owners = {name: shares(house.ingress.post("/predict", json=click(point(), image=name))) for name in NAMES}
    moved = [name for name, owner in owners.items() if owner == "b/0 7"]
    assert 0 < len(moved) < len(NAMES)
    assert all(one.shared is not None and one.shared.flush(30) for one in models)
    before = models[0].embeddings.stats.encoded
    house.ingress.post("/hosts/b/drain")
    for name in moved:
        assert shares(house.ingress.post("/predict", json=click(point(), image=name))) == "a/0 7"
    stats = models[0].embeddings.stats
    assert (stats.encoded, stats.shared_hits) == (before, len(moved))
    assert house.ingress.get("/hosts/a").json()["replicas"][0]["shared_cache"] == {
        "hits": len(moved), "misses": before, "errors": 0,
    }  # fmt: skip
    hits = f'labelrig_cache_hits_total{{cache="shared",replica="a/0"}} {len(moved)}.0'
    assert hits in house.ingress.get("/metrics").text


def test_last_host_is_not_drained(house: House) -> None:
    assert house.ingress.post("/hosts/a/drain").status_code == 200
    answer = house.ingress.post("/hosts/b/drain")
    assert answer.status_code == 409
    assert "b is the last host whose replicas answer" in answer.json()["detail"]
    assert house.ingress.post("/predict", json=click(point())).status_code == 200
    unknown = house.ingress.post("/hosts/c/drain")
    assert (unknown.status_code, unknown.json()["detail"]) == (
        404, "no replica of a host 'c' answers; there are: a, b"
    )  # fmt: skip


def test_drained_host_is_empty_when_its_requests_end(house: House) -> None:
    with house.hosts.work():  # one that has not begun to answer, and may be at either host
        assert house.ingress.post("/hosts/b/drain").json()["empty"] is False
        with house.hosts.work():  # begun afterwards
            assert house.ingress.get("/hosts/b").json()["requests"] == 1
    assert house.ingress.get("/hosts/b").json()["empty"] is True


def propagation() -> dict[str, Any]:
    """A square on the first image, to be followed into the others."""
    square = np.zeros((48, 64), dtype=np.bool_)
    square[6:30, 8:40] = True
    frames = [{"number": number, "url": f"/data/local-files/?d={name}"} for number, name in enumerate(NAMES)]
    masks = {"one": base64.b64encode(bytes(encode_rle(square))).decode()}
    anchor = {**frames[0], "size_wh": (64, 48), "masks": masks}
    return {"key": "p", "length": 12, "frames": frames[1:], "anchors": [anchor]}


def test_propagation_is_that_of_the_plain_backend(house: House) -> None:
    body = propagation()
    plain, ingress = (client.post("/propagate", json=body) for client in (house.plain, house.ingress))
    assert (plain.status_code, len(plain.text.splitlines())) == (200, 13)
    assert (ingress.status_code, ingress.text) == (plain.status_code, plain.text)
    assert ingress.headers["content-type"] == plain.headers["content-type"]
    assert shares(ingress)
    house.replicas.is_gone = True
    first, last = house.ingress.post("/propagate", json=body).text.splitlines()
    assert (first, last) == (plain.text.splitlines()[0], f'{{"error":"{GONE}","status":503}}')
    house.replicas.is_gone = False
    for wrong in ({**body, "frames": []}, {**body, "length": 2}):
        plain, ingress = (client.post("/propagate", json=wrong) for client in (house.plain, house.ingress))
        assert (ingress.status_code, body_of(ingress)) == (plain.status_code, body_of(plain))


@pytest.mark.parametrize("is_drained", [False, True])
def test_cancelled_propagation_ends_wherever_it_runs(house: House, *, is_drained: bool) -> None:
    """At a host that is drained, while its key leads to another one; a second cancel finds none."""
    house.replicas.is_stalled = True
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(house.ingress.post, "/propagate", json=propagation())
        deadline = time.monotonic() + 30
        while not (at := [host for host in "ab" if house.hosts.requests_at(host)]):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if is_drained:
            assert house.ingress.post(f"/hosts/{at[0]}/drain").json()["empty"] is False
        answer = house.ingress.delete("/propagate/p")
        assert (answer.status_code, answer.json()) == (200, {"cancelled": True})
        last = json.loads(waiting.result().text.splitlines()[-1])
    assert (last["status"], "begun again" in last["error"]) == (409, True)
    assert house.ingress.delete("/propagate/p").status_code == 404
    assert house.hosts.requests_at(at[0]) == 0


def test_silent_host_is_left_out_until_it_answers(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clicks are answered by the other one, and named in `/health` and `/hosts`."""

    def click_all() -> dict[str, str]:
        answers = {name: house.ingress.post("/predict", json=click(point(), image=name)) for name in NAMES}
        assert {one.status_code for one in answers.values()} == {200}
        return {name: shares(one) for name, one in answers.items()}

    monkeypatch.setattr("backend.cluster.watching.PERIOD_SECONDS", ROUND_SECONDS)
    before = click_all()
    house.replicas.frozen = {"b"}
    assert set(click_all().values()) == {"a/0 7"}
    assert "labelrig_ingress_repeated_total 1.0" in house.ingress.get("/metrics").text
    reason = house.ingress.get("/health").json()["reason"]
    assert reason == "1 of 2 replicas answer; b/0 does not answer, and gets no requests"
    found = {one["host"]: (one["silent"], len(one["replicas"])) for one in house.ingress.get("/hosts").json()["hosts"]}
    assert found == {"a": ([], 1), "b": (["b/0"], 0)}
    house.replicas.frozen = set()
    until(house, lambda health: health["state"] == "ready")
    assert click_all() == before


def test_dead_replica_is_one_sentence(house: House) -> None:
    house.replicas.is_gone = True
    answer = house.ingress.post("/predict", json=click(point()))
    assert (answer.status_code, answer.json()["detail"]) == (503, GONE)


def shown(house: House, name: str) -> TestClient:
    """A client who may see one picture, in the ingress's own event loop."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        grant = Grant(url=f"/data/local-files/?d={name}", until=time.time() + 60)
        await house.ingress.app({**scope, "state": {picture_routes.GRANT: grant}}, receive, send)

    client = TestClient(app)
    client.portal = house.ingress.portal
    return client


def test_picture_that_does_not_come_in_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no replica answers none is silent: the wait has an end all the same."""
    client = shown(house, NAMES[0])
    answer = client.get("/picture")
    assert (answer.status_code, answer.headers["content-type"], answer.content[1:4]) == (200, "image/png", b"PNG")
    assert shares(answer)
    monkeypatch.setattr(picture_routes, "SECONDS", 0.1)
    monkeypatch.setattr(ingress, "GRACE_SECONDS", 0.1)
    house.replicas.frozen = {"a", "b"}
    answer = client.get("/picture")
    assert (answer.status_code, answer.json()["detail"]) == (504, LATE)
