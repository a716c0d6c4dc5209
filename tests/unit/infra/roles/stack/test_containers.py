"""What the state of the containers means: nothing to do, a reason to start, or broken."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from docker.errors import APIError

from core.errors import HostError, LabelrigError
from core.report import Report
from infra.roles.docker.compose import Compose
from infra.roles.stack.activity import activity
from infra.roles.stack.containers import StackRunning
from tests.fakes import FakeHost

HASHES = "label-studio aaa\nsam2 bbb\n"


@dataclass
class FakeContainer:
    service: str
    config: str
    status: str = "running"
    health: str = "healthy"
    restarts: int = 0
    log: bytes = b"one\nboom\n"

    @property
    def labels(self) -> dict[str, str]:
        return {"com.docker.compose.config-hash": self.config}

    @property
    def attrs(self) -> dict[str, Any]:
        return {"State": {"Status": self.status, "Health": {"Status": self.health}}, "RestartCount": self.restarts}

    def logs(self, tail: int) -> bytes:
        return b"".join(self.log.splitlines(keepends=True)[-tail:])


@dataclass
class FakeEngine:
    """Stands for the engine and for its `containers`."""

    there: list[FakeContainer] = field(default_factory=list)
    error: Exception | None = None
    slow: int = 0  # so many answers do not come in time

    @property
    def containers(self) -> FakeEngine:
        return self

    def list(self, *, all: bool, filters: dict[str, list[str]], ignore_removed: bool) -> list[FakeContainer]:
        if self.error is not None:
            raise self.error
        if self.slow:
            self.slow -= 1
            raise requests.ReadTimeout("Read timed out. (read timeout=30)")
        assert "com.docker.compose.project=labelrig" in filters["label"]
        return [one for one in self.there if f"com.docker.compose.service={one.service}" in filters["label"]]


def stack(engine: FakeEngine) -> StackRunning:
    host = FakeHost()
    host.script("docker", "compose", "version", "--short", stdout="2.26.1\n")
    host.script(
        *("docker", "compose", "--project-name", "labelrig", "--env-file", "env", "--file", "c.yaml"),
        *("config", "--hash", "*"),
        stdout=HASHES,
    )
    compose = Compose(host, "labelrig", ["c.yaml"], "env")
    return StackRunning(compose, "labelrig", lambda: engine, Report(io.StringIO()))  # type: ignore[arg-type,return-value]


def test_healthy_containers_of_this_configuration_stay() -> None:
    """Two healthy containers of this configuration need nothing."""
    engine = FakeEngine([FakeContainer("sam2", "bbb"), FakeContainer("label-studio", "aaa")])
    assert stack(engine).plan() == []


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        ([], "sam2: not there; label-studio: not there"),
        ([FakeContainer("sam2", "bbb", status="exited"), FakeContainer("label-studio", "aaa")], "sam2: exited"),
        (
            [FakeContainer("sam2", "bbb"), FakeContainer("label-studio", "old")],
            "label-studio: its configuration changed",
        ),
        ([FakeContainer("sam2", "bbb", health="unhealthy"), FakeContainer("label-studio", "aaa")], "sam2: unhealthy"),
    ],
)
def test_the_change_says_why(there: list[FakeContainer], reason: str) -> None:
    (change,) = stack(FakeEngine(there)).plan()
    assert change.summary == f"start containers ({reason})"


def test_container_that_does_not_start_shows_its_last_lines() -> None:
    """A container that does not start is an error with its last lines."""
    engine = FakeEngine([FakeContainer("sam2", "bbb", status="exited", health="starting")])
    with pytest.raises(LabelrigError, match=r"^sam2 does not start; its last lines:\n    one\n    boom$"):
        stack(engine).wait_until_healthy()


def test_restarts_of_the_past_do_not_count_as_broken() -> None:
    engine = FakeEngine([FakeContainer("sam2", "bbb", restarts=40), FakeContainer("label-studio", "aaa", restarts=7)])
    stack(engine).wait_until_healthy()


def test_an_engine_that_goes_away_is_an_error_in_words() -> None:
    with pytest.raises(HostError, match="the docker engine stopped answering while sam2 was looked at: gone"):
        stack(FakeEngine(error=APIError("gone"))).plan()


def test_a_slow_engine_does_not_end_a_wait() -> None:
    """The first start of a stack keeps a machine so busy that its engine takes more than a request's time."""
    engine = FakeEngine([FakeContainer("sam2", "bbb"), FakeContainer("label-studio", "aaa")], slow=2)
    stack(engine).wait_until_healthy()
    with pytest.raises(HostError, match="Read timed out"):
        stack(FakeEngine(slow=2)).plan()


@pytest.mark.parametrize(
    ("status", "log", "words"),
    [
        ("created", b"", "being created"),
        ("restarting", b"boom", "restarting"),
        ("running", b"", "starting"),
        ("running", b"=> Database and media directory: /label-studio/data\n", "loading"),
        ("running", b"=> Database and media\nInitializing database..\n  noise\n", "running database migrations"),
        ("running", b"Initializing database..\nStarting development server at http\n", "first health check"),
        ("running", b"INFO backend [-] model demo, weights /app/x.pt\n", "loading the model"),
        ("running", b"INFO choose [-] converting demo for OpenVINO: once\n", "converting the model for OpenVINO"),
        ("running", b"\xff model ready on cpu after 16.9 s\n", "first health check"),
    ],
)
def test_words_for_what_a_container_does(status: str, log: bytes, words: str) -> None:
    container: Any = FakeContainer("any", "x", status=status, log=log)
    assert activity(container) == words


def test_waiting_says_what_the_container_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of a log line that is cut off, eight times over."""
    one = FakeContainer("sam2", "bbb", health="starting", log=b"converting demo for OpenVINO: once\n" * 8)
    stream = io.StringIO()
    operation = stack(FakeEngine([one, FakeContainer("label-studio", "aaa")]))
    operation._report = Report(stream, clock=lambda: float(stream.tell()) + 100)
    operation._report._last_shown = 0.0

    def sleep(_seconds: float) -> None:
        one.health = "healthy"

    monkeypatch.setattr("time.sleep", sleep)
    operation.wait_until_healthy()
    assert stream.getvalue() == "      waiting for sam2: converting the model for OpenVINO, 0 s, up to 600 s\n"


def test_an_engine_that_goes_away_while_waiting_has_no_words() -> None:
    assert stack(FakeEngine(error=APIError("gone")))._activity("sam2") == ""
