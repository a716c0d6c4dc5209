"""`/embed` at the ingress in front of two real applications."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.cluster.keys import Keys
from backend.cluster.repeating import GONE
from backend.settings import Settings
from tests.unit.backend.caching import eventually
from tests.unit.backend.ingress_bench import NAMES, PAIR, House, open_ingress

PROBLEM = f"b/0 cannot be asked: {GONE}"
URL = "/data/local-files/?d="


@pytest.fixture
def house(settings: Settings, root: Path, tmp_path: Path) -> Iterator[House]:
    with open_ingress(settings, root, tmp_path) as house:
        yield house


def start(house: House) -> str:
    images = [{"url": f"{URL}{name}", "task": str(number)} for number, name in enumerate(NAMES)]
    answer = house.ingress.post("/embed", json={"key": "p", "images": images})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job"])


def progress(house: House, job: str) -> dict[str, Any]:
    answer = house.ingress.get(f"/embed/{job}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_replica_that_cannot_be_asked_is_named(house: House) -> None:
    """The job is shown with what the others say, and is ended where it can be."""
    job = start(house)
    eventually(lambda: progress(house, job)["state"] == "done")
    house.replicas.dead = {"b"}
    found = progress(house, job)
    assert (found["id"], found["key"], found["state"], found["total"]) == (job, "p", "running", 12)
    assert (found["problem"], 0 < found["encoded"] < 12) == (PROBLEM, True)
    listed = house.ingress.get("/embed").json()["jobs"]
    assert [(one["id"], one["problem"]) for one in listed] == [(job, PROBLEM)]
    assert house.ingress.delete(f"/embed/{job}").json() == {"cancelled": False, "problem": PROBLEM}
    house.replicas.dead = set()
    assert progress(house, job)["state"] == "done"
    assert house.ingress.delete(f"/embed/{job}").json() == {"cancelled": False}


def test_long_requests_are_divided_in_threads(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a million keys on the event loop would hold up every click."""
    client = threading.get_ident()
    seen: list[tuple[str, bool]] = []
    of_image, dumps = Keys.of_image, json.dumps

    def is_on_loop() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    def spied_key(keys: Keys, url: str, task: str | None = None) -> str:
        seen.append(("key", is_on_loop()))
        return of_image(keys, url, task)

    def spied_dumps(value: Any, *given: Any, **more: Any) -> str:
        if isinstance(value, dict) and value.keys() & {"images", "only_image"} and threading.get_ident() != client:
            seen.append(("text", is_on_loop()))
        return dumps(value, *given, **more)

    monkeypatch.setattr(json, "dumps", spied_dumps)
    with monkeypatch.context() as patched:
        patched.setattr(Keys, "of_image", spied_key)
        start(house)
    assert {("key", False), ("text", False)} == set(seen)
    seen.clear()
    data = {"image": f"{URL}{NAMES[0]}", "b": f"{URL}{NAMES[1]}"}
    opened = {"tasks": [{"id": 5, "data": data}], "project": "3.1", "label_config": PAIR, "params": {"context": None}}
    assert house.ingress.post("/predict", json=opened).status_code == 200
    assert seen == [("text", False)] * 2
