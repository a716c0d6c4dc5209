"""What the state of the containers means: nothing to do, a reason to start, or broken."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import pytest
from docker.errors import APIError

from core.errors import HostError, LabelrigError
from core.report import Report
from infra.roles.docker.compose import Compose
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

    @property
    def labels(self) -> dict[str, str]:
        return {"com.docker.compose.config-hash": self.config}

    @property
    def attrs(self) -> dict[str, Any]:
        return {"State": {"Status": self.status, "Health": {"Status": self.health}}, "RestartCount": self.restarts}

    def logs(self, tail: int) -> bytes:
        return b"one\nboom\n"


@dataclass
class FakeEngine:
    """Stands for the engine and for its `containers`."""

    there: list[FakeContainer] = field(default_factory=list)
    error: Exception | None = None

    @property
    def containers(self) -> FakeEngine:
        return self

    def list(self, *, all: bool, filters: dict[str, list[str]], ignore_removed: bool) -> list[FakeContainer]:
        if self.error is not None:
            raise self.error
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


def test_two_healthy_containers_of_this_configuration_need_nothing() -> None:
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


def test_a_container_that_does_not_start_is_an_error_with_its_last_lines() -> None:
    engine = FakeEngine([FakeContainer("sam2", "bbb", status="exited", health="starting")])
    with pytest.raises(LabelrigError, match=r"^sam2 does not start; its last lines:\n    one\n    boom$"):
        stack(engine).wait_until_healthy()


def test_restarts_of_the_past_do_not_count_as_broken() -> None:
    engine = FakeEngine([FakeContainer("sam2", "bbb", restarts=40), FakeContainer("label-studio", "aaa", restarts=7)])
    stack(engine).wait_until_healthy()


def test_an_engine_that_goes_away_is_an_error_in_words() -> None:
    with pytest.raises(HostError, match="the docker engine stopped answering while sam2 was looked at: gone"):
        stack(FakeEngine(error=APIError("gone"))).plan()
