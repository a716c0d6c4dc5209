"""A stack on a host that is this machine: a `docker` of our own on the PATH, and the engine's client in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import NotFound

from core.report import Report
from infra.config.host_settings import HostSettings
from infra.fleet.choice import Choice
from infra.roles.docker.client import EngineState
from infra.services import restart
from infra.stack import down, running
from tests.unit.infra.deploy_bench import Here, LabHost

# Writes its arguments down, and runs what is run in a container as a process of its own.
DOCKER = """#!/bin/sh
[ "$2" = version ] && { echo 2.20.0; exit 0; }
printf '%s\\n' "$*" >>"$FAKE_DOCKER_LOG"
while [ $# -gt 0 ]; do
    case $1 in
        exec)
            shift
            [ "$1" = --no-TTY ] && shift
            shift
            exec "$@" ;;
        restart | down) exit 0 ;;
    esac
    shift
done
"""
FILES = ("stack.env", "compose.yaml", "proxy.yaml", "machine.yaml")


@dataclass
class FakeContainer:
    """What the SDK says of a container."""

    name: str
    status: str = "running"
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def attrs(self) -> dict[str, Any]:
        return {"State": {"Status": self.status, "Health": {"Status": "healthy"}}, "RestartCount": 0, "Config": {}}


class FakeEngine:
    """The part of the Docker SDK's client that is asked about one stack, `labelrig`."""

    def __init__(self) -> None:
        self.there = {name: FakeContainer(f"labelrig-{name}-1") for name in ("sam2", "label-studio", "proxy")}
        self.names = ["labelrig_label-studio-data", "labelrig_db-data"]
        self.removed: list[str] = []
        self.containers = SimpleNamespace(list=self._containers)
        self.volumes = SimpleNamespace(list=self._volumes, get=self._volume)

    def __call__(self, *_arguments: object, **_options: object) -> FakeEngine:
        return self

    def close(self) -> None:
        pass

    def df(self) -> dict[str, Any]:
        return {"Volumes": [{"Name": "labelrig_label-studio-data", "UsageData": {"Size": 3 << 29}}]}

    def _containers(self, *, all: bool, filters: dict[str, list[str]], ignore_removed: bool) -> list[FakeContainer]:
        wanted = filters["label"]
        assert "com.docker.compose.project=labelrig" in wanted
        services = [one.partition("service=")[2] for one in wanted if "service=" in one]
        return [one for name, one in self.there.items() if not services or name in services]

    def _volumes(self, *, filters: dict[str, list[str]]) -> list[SimpleNamespace]:
        assert filters["label"] == ["com.docker.compose.project=labelrig"]
        return [self._volume(name) for name in self.names]

    def _volume(self, name: str) -> SimpleNamespace:
        if name not in self.names:
            raise NotFound(name)
        return SimpleNamespace(name=name, remove=lambda: (self.names.remove(name), self.removed.append(name)))


@dataclass
class ServicesBench:
    """The host gpu01, reached by `choice`, with the stack's files in `base`."""

    choice: Choice
    base: Path
    engine: FakeEngine
    log: Path

    def compose_calls(self) -> list[str]:
        """What compose was called with, behind its files."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.rpartition("machine.yaml ")[2] for line in lines]


def make_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServicesBench:
    """The bench with a stack that runs."""
    root, programs = tmp_path / "srv", tmp_path / "bin"
    base = root / "labelrig"
    (base / "current").mkdir(parents=True)
    for name in FILES:
        (base / "current" / name).touch()
    programs.mkdir()
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    log = tmp_path / "docker.log"
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_DOCKER_LOG", str(log))
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(f"hosts: {{gpu01: {{address: 10.0.0.1, root: {root}, database: sqlite}}}}\n")

    def connect(_self: Here, _settings: HostSettings, _run_id: str, _report: Report) -> LabHost:
        return LabHost()

    monkeypatch.setattr(Here, "connect", connect)
    engine = FakeEngine()
    for module in (running, restart, down):
        monkeypatch.setattr(module, "engine_client", engine)
    monkeypatch.setattr(down, "engine_state", lambda _host: EngineState.ANSWERS)
    return ServicesBench(Choice(hosts=("gpu01",), inventory=inventory), base, engine, log)
