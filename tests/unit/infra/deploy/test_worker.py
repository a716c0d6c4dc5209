"""A worker that joins: when it is out of service, and that no run leaves it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.operation import Applier, Change
from infra.config.serving import Serving
from infra.deploy import worker as module
from infra.deploy.worker import WorkerDeployment
from infra.roles.stack.ray import Place
from infra.stack.stages import Made
from tests.unit.infra.deploy_bench import COMMIT, Engine, LabHost, host_settings, quiet

SERVING = Serving("lab", "gpu01", {"gpu01": "10.0.0.1", "gpu02": "10.0.0.2"}, 6379, (10100, 10163))


class Containers:
    """Containers that are replaced where `outdated`."""

    name = "containers"

    def __init__(self, diary: list[str]) -> None:
        self.diary = diary
        self.outdated = False

    def plan(self) -> list[Change]:
        return [Change("replace", self._replace)] if self.outdated else []

    def _replace(self) -> None:
        self.diary.append("replaced")
        self.outdated = False


class Drain:
    """The worker's, which a run before may have left out of service."""

    host = "gpu02"

    def __init__(self, diary: list[str]) -> None:
        self.diary = diary
        self.left = False

    def is_left(self) -> bool:
        return self.left

    def end(self) -> None:
        self.diary.append("back")
        self.left = False

    @contextmanager
    def aside(self, replicas: int) -> Iterator[None]:
        self.diary.append(f"out, {replicas} replicas")
        yield
        self.end()


class Bench:
    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.diary: list[str] = []
        self.containers = Containers(self.diary)
        self.drain = Drain(self.diary)
        settings = host_settings(root).model_copy(update={"name": "gpu02"}).with_serving(SERVING)
        host: Any = LabHost()
        drain: Any = self.drain
        self.worker = WorkerDeployment(host, settings, COMMIT, "alice@desk", drain=drain)
        self.worker.place = Place("gpu02", SERVING, {"gpu01": 1, "gpu02": 2}, gpus=True)
        stage: Callable[..., Any] = lambda *_, **__: None  # noqa: E731
        site: Any = SimpleNamespace(settings=host_settings(root))
        monkeypatch.setattr(module, "site_of", lambda *_: self.worker)  # replaced by the next stage
        monkeypatch.setattr(module, "replace", lambda *_, **__: site)
        for name in ("_model", "_release"):
            monkeypatch.setattr(self.worker, name, stage)
        monkeypatch.setattr(self.worker, "_with_token", lambda *_: site)
        monkeypatch.setattr(module, "engine_client", Engine({}))
        monkeypatch.setattr(module, "volumes_ready", lambda *_, **__: SimpleNamespace(name="volumes", plan=list))
        monkeypatch.setattr(module, "stack_running", lambda *_: self.containers)

    def join(self) -> None:
        head: Any = SimpleNamespace()
        self.worker.join(Applier(quiet()), Made(head, "tiny", []))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_out_of_service_while_replaced(bench: Bench) -> None:
    bench.containers.outdated = True
    bench.join()
    assert bench.diary == ["out, 2 replicas", "replaced", "back"]


def test_not_out_of_service_where_nothing_changes(bench: Bench) -> None:
    bench.join()
    assert bench.diary == []


def test_left_out_by_a_killed_run_and_brought_back(bench: Bench) -> None:
    """Also where nothing else changes."""
    bench.drain.left = True
    bench.join()
    assert bench.diary == ["back"]
