"""`./inv restart` and `./inv down`: what is called, what is asked, and what a purge leaves alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import SettingsError, Unfinished
from hosts.base import Result
from infra.config.settings import Settings
from infra.deploy import prune
from infra.fleet.choice import Outcome
from infra.lifecycle import drill_remains
from infra.services import restart as restart_module
from infra.services.down_command import run_down
from infra.services.restart import run_restart
from infra.stack.down import take_down
from infra.stack.site import Site
from tests.unit.infra.deploy_bench import Engine, LabHost, options, quiet
from tests.unit.infra.services.services_bench import ServicesBench, make_bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServicesBench:
    return make_bench(tmp_path, monkeypatch)


def results(bench: ServicesBench) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in (bench.base / "audit.jsonl").read_text().splitlines()]
    return [(line["command"], line["result"]) for line in lines]


def record(outcome: Outcome) -> Any:
    (host,) = json.loads(outcome.shown(json=True, junit=None))["hosts"]
    return host


def test_restarts_what_is_named(bench: ServicesBench) -> None:
    outcome = run_restart(bench.choice, options("restart"), ["sam2"])
    assert (outcome.exit_code, outcome.text) == (0, "gpu01: restarted sam2; all services are healthy")
    assert bench.compose_calls() == ["restart sam2"]
    assert record(outcome)["restarted"] == ["sam2"]
    assert results(bench) == [("./inv restart", "began"), ("./inv restart", "ok")]
    run_restart(bench.choice, options("restart"), [])
    assert bench.compose_calls()[1:] == ["restart sam2 label-studio proxy"]


def test_restart_starts_a_stack_that_is_down(bench: ServicesBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the same operations as a deploy: networks, volumes and passwords first."""
    asked: list[bool] = []

    def operations(*_arguments: object) -> list[Any]:
        asked.append(True)
        return []

    monkeypatch.setattr(restart_module, "stack_operations", operations)
    bench.engine.there.clear()
    outcome = run_restart(bench.choice, options("restart"), [])
    assert outcome.text == "gpu01: started sam2, label-studio, proxy; all services are healthy"
    assert (asked, bench.compose_calls()) == ([True], [])


@pytest.mark.parametrize("mark", ["restoring", "upgrading"])
@pytest.mark.parametrize("down", [False, True])
def test_half_of_two_states_is_not_started(bench: ServicesBench, mark: str, down: bool) -> None:
    """People would work on it, and a restore that is repeated would put their work aside."""
    (bench.base / f"{mark}.json").write_text("{}")
    if down:
        bench.engine.there.clear()
    outcome = run_restart(bench.choice, options("restart"), ["sam2"])
    assert outcome.exit_code == Unfinished.exit_code
    command = {"restoring": "restore", "upgrading": "upgrade"}[mark]
    assert f"`./inv {command} --host gpu01`" in (outcome.results[0].error or "")
    assert bench.compose_calls() == []


def test_an_unknown_service_restarts_nothing(bench: ServicesBench) -> None:
    outcome = run_restart(bench.choice, options("restart"), ["sam2", "db"])
    assert outcome.exit_code == SettingsError.exit_code
    assert outcome.results[0].error == "there is no service db (there are: sam2, label-studio, proxy)"
    assert bench.compose_calls() == []


def test_down_of_a_host_asks_and_keeps_everything(bench: ServicesBench) -> None:
    asked: list[tuple[str, str | None]] = []
    outcome = run_down(bench.choice, options("down"), purge=False, ask=lambda *words: asked.append(words))
    assert asked == [
        (
            "This stops `labelrig` on gpu01 for everybody. Nothing is removed; `./inv restart` starts it again.",
            None,
        )
    ]
    assert outcome.exit_code == 0
    assert bench.compose_calls() == ["down --remove-orphans"]
    assert bench.engine.removed == []
    assert (bench.base / "current" / "stack.env").exists()
    assert results(bench) == [("./inv down", "began"), ("./inv down", "ok")]


class No(Exception):
    pass


def test_purge_says_what_goes_and_wants_the_name(bench: ServicesBench) -> None:
    def ask(what: str, word: str | None) -> None:
        assert word == "labelrig"
        assert what.splitlines() == [
            "This removes `labelrig` on gpu01 with every project, annotation and account in it, for good:",
            "  3 containers, and these volumes:",
            "    labelrig_label-studio-data  1.5 GiB",
            "    labelrig_db-data                  ?",
            f"  the images that nothing else needs, and the stack's files in {bench.base}",
            "Folders with images of your own are not touched.",
        ]
        raise No

    with pytest.raises(No):
        run_down(bench.choice, options("down"), purge=True, ask=ask)
    assert (bench.compose_calls(), bench.engine.removed) == ([], [])
    assert not (bench.base / "audit.jsonl").exists()


def test_purge_removes_what_is_the_stacks_own(bench: ServicesBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit log stays, what others put there, and images of another stack on the host."""
    root = bench.base.parent
    images = Engine({"sha256:a": ["labelrig/sam2:1"], "sha256:b": ["labelrig/sam2:2"], "sha256:c": ["lab/own:1"]})
    monkeypatch.setattr(prune, "engine_client", images)
    for stack, tag in (("labelrig", "1"), ("other", "2")):
        release = root / stack / "releases" / "20260101T000000Z-aaaaaaa"
        release.mkdir(parents=True)
        manifest = {"images": {"sam2": {"tag": f"labelrig/sam2:{tag}"}}}
        (release / "release.json").write_text(json.dumps(manifest))
    left = ("restoring.json", "upgrading.json", "upgraded.json", "folders.json")
    for name in ("secrets.env", "password.record", "README", *left, "kept by the lab"):
        (bench.base / name).touch()
    (root / "labelrig-demo" / "images").mkdir(parents=True)

    outcome = run_down(bench.choice, options("down"), purge=True, ask=None)
    assert outcome.exit_code == 0, outcome.text
    assert bench.compose_calls() == ["down --remove-orphans --volumes"]
    assert sorted(bench.engine.removed) == ["labelrig_db-data", "labelrig_label-studio-data"]
    assert sorted(path.name for path in bench.base.iterdir()) == ["audit.jsonl", "kept by the lab"]
    assert not (root / "labelrig-demo").exists()
    assert images.removed == ["labelrig/sam2:1"]
    assert results(bench) == [("./inv down", "began"), ("./inv down", "ok")]
    bench.engine.there.clear()
    again = run_down(bench.choice, options("down"), purge=True, ask=None)
    assert (again.exit_code, record(again)["changed"]) == (0, 0)


def test_purge_removes_a_drill_that_was_left(bench: ServicesBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has every project, annotation and account once more, and the secrets."""
    (bench.base / "drill").mkdir()
    (bench.base / "drill" / "secrets.env").write_text("LABEL_STUDIO_SECRET_KEY='x'\n")
    monkeypatch.setattr(prune, "engine_client", Engine({}))
    asked: list[str] = []
    things = {"container": "labelrig-drill-db-1", "network": "", "volume": "labelrig-drill_db-data"}
    calls: list[str] = []

    def docker(_host: object, *words: str, **_more: object) -> Result:
        calls.append(" ".join(words[1:]))
        return Result(words, 0, things[words[1]] if words[2] == "ls" else "", "")

    monkeypatch.setattr(drill_remains, "run_docker", docker)
    outcome = run_down(bench.choice, options("down"), purge=True, ask=lambda what, _word: asked.append(what))
    assert outcome.exit_code == 0, outcome.results[0].error
    assert "  what a drill left that was cut off, or goes on: labelrig-drill" in asked[0]
    assert [call for call in calls if " rm " in call] == [
        "container rm --force --volumes labelrig-drill-db-1",
        "volume rm --force labelrig-drill_db-data",
    ]
    assert not (bench.base / "drill").exists()


def test_down_of_a_head_takes_a_stand_in_with_it(bench: ServicesBench) -> None:
    """Its service is none of the running stack's, and its container would keep the network."""
    for name in ("ray.yaml", "cluster.yaml"):
        (bench.base / "current" / name).touch()
    settings, current = Settings(), str(bench.base / "current")
    site = Site(LabHost(), settings, str(bench.base), current, "", lambda: settings, part="head")
    take_down(site, quiet())
    assert bench.compose_calls() == ["--profile stand-in down --remove-orphans"]
