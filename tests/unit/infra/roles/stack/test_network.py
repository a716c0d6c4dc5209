"""The compose network: what is there is compared with the files, and made anew where it differs."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest

from core.operation import converge
from core.report import Report
from hosts.base import Result
from infra.roles.docker.compose import Compose
from infra.roles.stack.network import NetworkPresent
from tests.fakes import FakeHost

COMPOSE = ("docker", "compose", "--project-name", "labelrig", "--env-file", "/e", "--file", "/c")
DOWN = ("down", "--remove-orphans")
WANTED = {"subnet": "172.31.250.0/24", "ip_range": "172.31.250.0/25"}
SAME = {"Subnet": "172.31.250.0/24", "IPRange": "172.31.250.0/25", "Gateway": "172.31.250.1"}


class Removing(FakeHost):
    """A machine on which `down` removes the network."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench

    def run(self, *argv: str, **arguments: Any) -> Result:
        if argv == (*COMPOSE, *DOWN):
            self._bench.there = None
        return super().run(*argv, **arguments)


class Bench:
    def __init__(self, there: dict[str, str] | None) -> None:
        self.host = Removing(self)
        self.there = there
        self.host.script("docker", "compose", "version", "--short", stdout="2.26.1\n")
        document = {"networks": {"stack": {"name": "labelrig_stack", "ipam": {"config": [WANTED]}}}}
        self.host.script(*COMPOSE, "config", "--format", "json", stdout=json.dumps(document))
        self.host.script(*COMPOSE, *DOWN)
        self.engine: Any = SimpleNamespace(networks=SimpleNamespace(list=self._list))

    def _list(self, filters: dict[str, list[str]]) -> list[SimpleNamespace]:
        assert filters == {"label": ["com.docker.compose.project=labelrig", "com.docker.compose.network=stack"]}
        attrs = {"IPAM": {"Config": [self.there]}}
        return [] if self.there is None else [SimpleNamespace(attrs=attrs)]

    def apply(self) -> int:
        compose = Compose(self.host, "labelrig", ["/c"], "/e")
        one = NetworkPresent(compose, "labelrig", lambda: self.engine, Report(io.StringIO()))
        return converge([one], Report(io.StringIO()))


@pytest.mark.parametrize("there", [None, SAME])
def test_a_missing_or_right_network_is_left_alone(there: dict[str, str] | None) -> None:
    assert Bench(there).apply() == 0


@pytest.mark.parametrize(
    "there",
    [
        {"Subnet": "172.31.250.0/24", "Gateway": "172.31.250.1"},  # as an earlier labelrig made it
        {"Subnet": "172.31.251.0/24", "IPRange": "172.31.251.0/25"},
    ],
)
def test_another_network_is_made_anew(there: dict[str, str]) -> None:
    bench = Bench(there)
    assert bench.apply() == 1
    assert bench.there is None
    assert bench.apply() == 0
