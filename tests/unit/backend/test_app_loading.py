"""The HTTP protocol while the model loads, after it could not be loaded, and while it works."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from backend.errors import ModelError
from backend.segmenter import Segmenter
from backend.settings import Settings
from backend.web.app import create_app
from tests.unit.backend.fakes import MODEL, V1, V2, VERSION, FakeSegmenter, click, region


def failing(error: Exception) -> Callable[[], Segmenter]:
    def load() -> Segmenter:
        raise error

    return load


def until_loaded(client: TestClient) -> None:
    """Ask for a click: its answer waits for the load to end, either way."""
    client.post("/predict", json=click(region("keypointlabels", 25, 75)))


def test_health_and_setup_answer_while_the_model_loads(settings: Settings, segmenter: FakeSegmenter) -> None:
    loaded = threading.Event()

    def load() -> Segmenter:
        assert loaded.wait(30)
        return segmenter

    with TestClient(create_app(load, settings, MODEL)) as client:
        for path in ("/", "/health"):
            health = client.get(path)
            assert health.status_code == 200
            assert health.json() == {
                "status": "UP", "model_class": "SAM2", "model": "demo", "model_version": VERSION,
                "device": None, "engine": None, "state": "loading",
            }  # fmt: skip
        assert client.get("/ready").status_code == 503
        assert client.get("/ready").json()["detail"] == "the model is still loading"
        assert client.post("/setup", json={"schema": V2}).status_code == 200
        assert client.post("/predict", json={"tasks": [{}, {}], "params": {"context": None}}).json() == {
            "results": [[], []]
        }
        loaded.set()
        until_loaded(client)
        assert client.get("/health").json()["state"] == "ready"
        assert client.get("/health").json()["device"] == "fake"
        assert client.get("/ready").json() == {"state": "ready", "model": "demo", "device": "fake"}


def test_health_answers_while_the_model_works(client: TestClient, segmenter: FakeSegmenter) -> None:
    until_loaded(client)
    segmenter.gate = threading.Event()
    request = click(region("keypointlabels", 25, 75))
    worker = threading.Thread(target=client.post, args=("/predict",), kwargs={"json": request})
    worker.start()
    try:
        assert client.get("/health").json()["state"] == "ready"
        assert client.post("/setup", json={"schema": V1}).status_code == 200
    finally:
        segmenter.gate.set()
        worker.join(30)


def test_a_click_waits_only_so_long_for_the_model(settings: Settings, segmenter: FakeSegmenter) -> None:
    loaded = threading.Event()

    def load() -> Segmenter:
        loaded.wait(30)
        return segmenter

    impatient = settings.model_copy(update={"model_wait_seconds": 0.01})
    with TestClient(create_app(load, impatient, MODEL)) as client:
        answer = client.post("/predict", json=click(region("keypointlabels", 25, 75)))
        assert answer.status_code == 503
        assert answer.json()["detail"] == "the model is still loading after 0.01 s; try again in a moment"
        loaded.set()


def test_failed_load_is_told_everywhere(settings: Settings) -> None:
    with TestClient(create_app(failing(ModelError("the weights are torn")), settings, MODEL)) as client:
        until_loaded(client)
        health = client.get("/health")
        assert health.status_code == 503
        assert health.json()["status"] == "DOWN"
        assert health.json()["state"] == "failed"
        assert health.json()["detail"] == "the model could not be loaded: the weights are torn"
        assert client.get("/ready").json()["detail"] == "the weights are torn"
        answer = client.post("/predict", json=click(region("keypointlabels", 25, 75)))
        assert answer.status_code == 503
        assert answer.json()["detail"] == "the model could not be loaded: the weights are torn"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_defect_while_loading_is_a_failed_load(settings: Settings) -> None:
    with TestClient(create_app(failing(AttributeError("secret inside")), settings, MODEL)) as client:
        until_loaded(client)
        assert client.get("/health").json()["detail"] == (
            "the model could not be loaded: unexpected AttributeError; the log has the details"
        )
