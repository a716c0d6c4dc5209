"""Hosts that serve together on a command line: as one, all of them, and a result for each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from core.errors import LabelrigError, PreflightError, SettingsError
from core.report import Report
from infra.config.host_settings import HostSettings
from infra.deploy import command as module
from infra.deploy.command import run_deploy, run_plan
from infra.fleet.choice import Choice
from infra.fleet.run import RunOptions
from infra.fleet.session import Session
from infra.fleet.target import refuse_alone
from tests.unit.infra.deploy_bench import LabHost, options, quiet

INVENTORY = """
defaults: {data: /NAS/set}
groups:
  lab: {hosts: [gpu02, gpu01, gpu03], serve: {head: gpu01}}
hosts:
  gpu01: {address: 10.0.0.1}
  gpu02: {address: 10.0.0.2}
  gpu03: {address: 10.0.0.3}
  other: {address: 10.0.0.4}
"""


class Bench:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inventory = folder / "inventory.yaml"
        self.inventory.write_text(INVENTORY)
        self.diary: list[str] = []
        self.failing: dict[str, LabelrigError] = {}
        monkeypatch.setattr(module, "plan_group", lambda *arguments, **_: self._group("plan", *arguments))
        monkeypatch.setattr(module, "deploy_group", lambda *arguments: self._group("deploy", *arguments))
        monkeypatch.setattr(module, "plan_host", lambda _options, host, report, **_: self._host("plan", host, report))
        monkeypatch.setattr(module, "deploy_host", lambda _options, host, report: self._host("deploy", host, report))

    def choice(self, *hosts: str, groups: Sequence[str] = (), limit: str | None = None) -> Choice:
        return Choice(hosts, groups, limit, self.inventory, (), 1)

    def _host(self, word: str, host: HostSettings, report: Report) -> None:
        self.diary.append(f"{word} {host.name}")
        report.ok("docker", ["install it"])

    def _group(
        self, word: str, _options: RunOptions, members: Sequence[HostSettings], reports: Mapping[str, Report],
        ended: dict[str, LabelrigError],
    ) -> None:  # fmt: skip
        self.diary.append(f"{word} {'+'.join(one.name for one in members)}")
        for one in members:
            reports[one.name].ok("docker", ["install it"])
        if word in self.failing:
            ended["gpu03"] = self.failing[word]
            raise LabelrigError(f"gpu03: {self.failing[word]}")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_a_group_is_planned_and_deployed_as_one(bench: Bench) -> None:
    """The head first, whatever the order of the group; a host beside it by itself. Each has a result."""
    outcome = run_deploy(bench.choice(groups=["all"]), options(), confirm=None)
    assert bench.diary == ["plan gpu01+gpu02+gpu03", "plan other", "deploy gpu01+gpu02+gpu03", "deploy other"]
    assert [one.host for one in outcome.results] == ["gpu01", "gpu02", "gpu03", "other"]
    assert outcome.exit_code == 0


@pytest.mark.parametrize("arguments", [{"hosts": ("gpu02",)}, {"hosts": ("gpu01", "gpu02")}, {"limit": "gpu*,!gpu01"}])
def test_a_part_of_a_group_is_refused(bench: Bench, arguments: dict[str, object]) -> None:
    hosts = arguments.pop("hosts", ())
    choice = bench.choice(*hosts, **arguments)  # type: ignore[misc, arg-type]
    with pytest.raises(
        SettingsError, match=r"serves together with .*; give `--group lab`: its hosts are changed as one"
    ):
        run_plan(choice, options("plan"))
    assert bench.diary == []


def test_each_host_has_its_own_error(bench: Bench) -> None:
    """What failed on a worker is its error, and ends the head's run; who had no part in it was not tried."""
    bench.failing["deploy"] = PreflightError(["its clock is wrong"])
    outcome = run_deploy(bench.choice(groups=["lab"]), options(), confirm=None)
    found = {one.host: (one.exit_code, one.error) for one in outcome.results}
    assert found["gpu01"][0] == 1
    assert found["gpu03"][0] == 3
    assert "its clock is wrong" in str(found["gpu03"][1])
    assert found["gpu02"] == (1, "not tried, since a host before it failed")
    shown = json.loads(outcome.shown(json=True, junit=None))
    assert [one["host"] for one in shown["hosts"]] == ["gpu01", "gpu02", "gpu03"]


def test_a_plan_that_fails_keeps_the_group_as_it_is(bench: Bench) -> None:
    bench.failing["plan"] = PreflightError(["its clock is wrong"])
    outcome = run_deploy(bench.choice(groups=["all"]), options(), confirm=None)
    assert bench.diary == ["plan gpu01+gpu02+gpu03", "plan other", "deploy other"]
    assert outcome.exit_code != 0
    assert [one.host for one in outcome.results] == ["other", "gpu01", "gpu02", "gpu03"]


def test_commands_that_change_one_host_are_refused(bench: Bench) -> None:
    for host in bench.choice(groups=["lab"]).select():
        with pytest.raises(SettingsError, match=r"`\./inv deploy --group lab` changes all of them"):
            refuse_alone(host)
    (other,) = bench.choice("other").select()
    refuse_alone(other)


def test_label_studio_is_asked_for_on_the_head(bench: Bench) -> None:
    worker = bench.choice(groups=["lab"]).select()[0]
    one = Session(options("user.add"), LabHost(), quiet(), options().owner(), worker)
    with pytest.raises(SettingsError, match="only answers clicks; Label Studio is on gpu01: give `--host gpu01`"):
        _ = one.access
