"""`plan` and `deploy` on several hosts: which, shown, asked, done, summed up."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from core.errors import LabelrigError, PreflightError, RolledBack, SettingsError
from core.operation import Operation
from core.report import Report
from core.results import HostResult
from infra.config.host_settings import HostSettings
from infra.deploy import command as module
from infra.deploy.command import run_deploy, run_plan
from infra.fleet.choice import Choice, Outcome
from infra.fleet.parallel import SKIPPED
from infra.fleet.run import RunOptions
from tests.unit.infra.deploy_bench import options

INVENTORY = """
defaults: {data: /NAS/set}
groups:
  gpu: {hosts: [gpu01, gpu02, gpu03]}
hosts:
  gpu01: {address: 10.0.0.1}
  gpu02: {address: 10.0.0.2}
  gpu03: {address: 10.0.0.3}
"""
Work = Callable[[HostSettings, Report], None]


def nothing(_wish: HostSettings, report: Report) -> None:
    report.ok("as it should be", [])


def something(host_settings: HostSettings, report: Report) -> None:
    with report.stage("docker"):
        report.ok("daemon.json", [f"write daemon.json of {host_settings.name}"])


class Bench:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inventory = folder / "inventory.yaml"
        self.inventory.write_text(INVENTORY)
        self.diary: list[str] = []
        self.plan: Work = something
        self.deploy: Work = something
        monkeypatch.setattr(module, "plan_host", self._plan)
        monkeypatch.setattr(module, "deploy_host", self._deploy)
        monkeypatch.setattr(module, "converge", self._draw)

    def choice(self, *hosts: str, parallel: int = 1, fail_fast: bool = False, **overrides: object) -> Choice:
        groups = () if hosts else ("all",)
        return Choice(hosts, groups, None, self.inventory, tuple(overrides.items()), parallel, fail_fast)

    def _plan(self, _wishes: RunOptions, host_settings: HostSettings, report: Report, *, deploys_next: bool) -> None:
        self.diary.append(f"plan {host_settings.name}")
        self.plan(host_settings, report)

    def _deploy(self, _wishes: RunOptions, host_settings: HostSettings, report: Report) -> None:
        self.diary.append(f"deploy {host_settings.name}")
        self.deploy(host_settings, report)

    def _draw(self, _operations: list[Operation], _report: Report) -> None:
        self.diary.append("draw demo images")

    def ask(self, what: str) -> None:
        self.diary.append(f"ask {what}")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def failing(names: str, error: LabelrigError, otherwise: Work = something) -> Work:
    def work(host_settings: HostSettings, report: Report) -> None:
        if host_settings.name in names.split():
            raise error
        otherwise(host_settings, report)

    return work


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({}, "no host was named; give --host, --group or --limit (hosts: gpu01, gpu02, gpu03; groups: gpu, all)"),
        ({"hosts": ("gpu09",)}, "--host gpu09: is not in the inventory"),
        ({"groups": ("cpu",)}, "--group cpu: there is no such group"),
        ({"hosts": ("gpu01",), "limit": "gpu02"}, "--limit gpu02: `gpu02` means none of gpu01"),
        ({"hosts": ("gpu01",), "parallel": 0}, "--parallel: must be 1 or more"),
        ({"hosts": ("gpu01",), "overrides": (("data", "NAS"),)}, "gpu01: --data: must be an absolute path on the host"),
        (
            {"hosts": ("gpu01",), "overrides": (("moddel", "x"),)},
            "gpu01: --set moddel: is not a setting; did you mean model?",
        ),
    ],
)
def test_what_names_no_host_is_refused_before_anything_is_asked(
    bench: Bench, choice: dict[str, object], text: str
) -> None:
    one = Choice(inventory=bench.inventory, **choice)  # type: ignore[arg-type]
    with pytest.raises(SettingsError) as caught:
        one.select()
    assert text in str(caught.value)
    with pytest.raises(SettingsError):
        run_plan(one, options())
    with pytest.raises(SettingsError):
        run_deploy(one, options(), confirm=None)
    assert bench.diary == []


def test_an_inventory_that_is_not_there_is_named(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"^{tmp_path}/none.yaml: cannot be read: No such file"):
        Choice(("gpu01",), inventory=tmp_path / "none.yaml").select()


def test_only_given_command_line_overrides_count(bench: Bench) -> None:
    """Overrides of the command line count and those not given do not."""
    (host,) = bench.choice("gpu02", model="large", port="8090").select()
    assert (host.data, host.model, host.port, host.address) == (Path("/NAS/set"), "large", 8090, "10.0.0.2")


def test_a_plan_looks_at_every_host_whatever_the_others_say(bench: Bench) -> None:
    bench.plan = failing("gpu01", PreflightError(["port 8080 is taken"]))
    outcome = run_plan(bench.choice(), options("plan"))
    assert bench.diary == ["plan gpu01", "plan gpu02", "plan gpu03"]
    assert outcome.exit_code == 3
    lines = outcome.text.splitlines()
    assert "preflight" not in outcome.text, "it was shown on stderr"
    assert lines[-4].startswith("gpu01  ok=0 would-change=0 skipped=0 failed=1 unknown=0")
    assert lines[-3].startswith("gpu02  ok=0 would-change=1 skipped=0 failed=0 unknown=0")
    assert lines[-1] == "2 would change"


def test_a_plan_that_finds_nothing_ends_well(bench: Bench) -> None:
    bench.plan = nothing
    outcome = run_plan(bench.choice("gpu01"), options("plan"))
    assert (outcome.exit_code, outcome.text.splitlines()[-1]) == (0, "0 would change")


def test_a_deploy_shows_asks_and_does_in_this_order(bench: Bench) -> None:
    outcome = run_deploy(bench.choice("gpu02", "gpu01"), options(), confirm=bench.ask)
    assert bench.diary == [
        "plan gpu02",
        "plan gpu01",
        "ask This changes gpu02, gpu01 as shown above.",
        "deploy gpu02",
        "deploy gpu01",
    ]
    assert outcome.exit_code == 0
    assert outcome.text.splitlines()[-1] == "2 changed"


def test_settings_of_the_command_line_are_for_one_run(bench: Bench) -> None:
    """`tunnel`, `doctor` and the next deploy do not know them: a notice says so."""
    outcome = run_deploy(bench.choice("gpu01", data="/NAS/new", port="8090"), options(), confirm=None)
    assert outcome.results[0].report.notices == [
        f"--data, --set port: for this run only; the next deploy and the other commands read {bench.inventory}"
    ]
    assert run_deploy(bench.choice("gpu01"), options(), confirm=None).results[0].report.notices == []


def test_whoever_says_no_has_changed_nothing(bench: Bench) -> None:
    class No(Exception):
        pass

    def no(_what: str) -> None:
        raise No

    with pytest.raises(No):
        run_deploy(bench.choice("gpu01"), options(), confirm=no)
    assert bench.diary == ["plan gpu01"]


@pytest.mark.parametrize("unknown", [False, True])
def test_asks_only_where_something_changes_or_is_unknown(bench: Bench, unknown: bool) -> None:
    """Where nothing would change, no question is asked; but what is unknown counts."""

    def plan(host_settings: HostSettings, report: Report) -> None:
        nothing(host_settings, report)
        if unknown:
            report.unknown("containers", "not there yet")

    bench.plan = bench.deploy = plan
    outcome = run_deploy(bench.choice("gpu01"), options(), confirm=bench.ask)
    asked = ["ask This changes gpu01 as shown above."] if unknown else []
    assert bench.diary == ["plan gpu01", *asked, "deploy gpu01"]
    assert outcome.text.splitlines()[-1] == "0 changed"


def test_without_a_plan_nothing_is_asked_or_deployed(bench: Bench) -> None:
    """Where no host can be planned, nothing is deployed and no question asked."""
    bench.plan = failing("gpu01 gpu02 gpu03", PreflightError(["no room"]))
    outcome = run_deploy(bench.choice(), options(), confirm=bench.ask)
    assert bench.diary == ["plan gpu01", "plan gpu02", "plan gpu03"]
    assert outcome.exit_code == 3
    assert [one.exit_code for one in outcome.results] == [3, 3, 3]


def test_a_host_that_cannot_be_planned_is_left_out_and_named(bench: Bench) -> None:
    bench.plan = failing("gpu01", PreflightError(["no room"]))
    outcome = run_deploy(bench.choice(), options(), confirm=bench.ask)
    assert bench.diary[3:] == ["ask This changes gpu02, gpu03 as shown above.", "deploy gpu02", "deploy gpu03"]
    assert sorted(one.host for one in outcome.results) == ["gpu01", "gpu02", "gpu03"]
    assert outcome.exit_code == 3
    assert outcome.text.splitlines()[-2].startswith("gpu01  ok=0 would-change=0 skipped=0 failed=1 unknown=0")
    assert outcome.text.splitlines()[-1] == "2 changed"


def test_with_fail_fast_one_that_cannot_be_planned_stops_all(bench: Bench) -> None:
    bench.plan = failing("gpu03", PreflightError(["no room"]))
    outcome = run_deploy(bench.choice(fail_fast=True), options(), confirm=bench.ask)
    assert bench.diary == ["plan gpu01", "plan gpu02", "plan gpu03"]
    assert outcome.exit_code == 3


def test_first_host_is_a_barrier_and_sets_the_exit_code(bench: Bench) -> None:
    """The first host is a barrier and how it ended is the exit code."""
    bench.deploy = failing("gpu01", RolledBack("no mask; release x serves again"))
    outcome = run_deploy(bench.choice(), options(), confirm=None)
    assert [line for line in bench.diary if line.startswith("deploy")] == ["deploy gpu01"]
    assert outcome.exit_code == 5
    assert outcome.results[1].error == SKIPPED
    assert outcome.text.splitlines()[1].startswith("gpu02  ok=0 changed=0 skipped=1 failed=1")


def test_draws_demo_images_once_for_hosts_without_images(bench: Bench) -> None:
    """Demo images are drawn once and only for hosts without their own."""
    run_deploy(bench.choice("gpu01"), options(), confirm=None)
    assert "draw demo images" not in bench.diary
    bench.inventory.write_text(INVENTORY.replace("defaults: {data: /NAS/set}", ""))
    run_deploy(bench.choice(), options(), confirm=None)
    assert bench.diary.count("draw demo images") == 1
    assert bench.diary.index("draw demo images") < bench.diary.index("deploy gpu02")


def test_what_a_person_needs_of_a_host_comes_before_the_recap(bench: Bench) -> None:
    def deploy(host_settings: HostSettings, report: Report) -> None:
        something(host_settings, report)
        report.facts |= {
            "how_to_open": "`./inv tunnel --host gpu01`",
            "username": "admin@labelrig.local",
            "secrets": "/srv/labelrig/labelrig/secrets.env",
            "folder": "/NAS/set",
            "model": "tiny",
            "model_version": "sam2.1-tiny",
            "device": "cuda:0",
            "release": "20250301T100000Z-607e07e",
            "proof_sentence": "a click came back as a mask",
        }

    bench.deploy = deploy
    text = run_deploy(bench.choice("gpu01"), options(), confirm=None).text
    assert text.splitlines()[:8] == [
        "gpu01",
        "  open     `./inv tunnel --host gpu01`",
        "  login    admin@labelrig.local, password in /srv/labelrig/labelrig/secrets.env",
        "  images   /NAS/set",
        "  model    tiny (sam2.1-tiny) on cuda:0",
        "  release  20250301T100000Z-607e07e",
        "  proof    a click came back as a mask",
        "",
    ]


def results() -> list[HostResult]:
    good, bad = Report(io.StringIO()), Report(io.StringIO())
    something(HostSettings(name="gpu01"), good)
    good.facts["release"] = "r1"
    return [HostResult("gpu01", good, None, 0, 1.25), HostResult("gpu02", bad, "gpu02: no route\nat all", 1, 0.5)]


def test_json_form_has_everything_and_stands_alone(tmp_path: Path) -> None:
    """The json form has everything and nothing else is printed."""
    outcome = Outcome(results(), "for people", 1)
    body = json.loads(outcome.shown(json=True, junit=None))
    assert (body["ok"], body["changed"]) == (False, 1)
    assert [(one["host"], one["exit_code"], one["error"], one["seconds"]) for one in body["hosts"]] == [
        ("gpu01", 0, None, 1.25),
        ("gpu02", 1, "gpu02: no route\nat all", 0.5),
    ]
    assert body["hosts"][0]["release"] == "r1"
    assert body["hosts"][0]["stages"][0]["changed"] == ["write daemon.json of gpu01"]
    assert outcome.shown(json=False, junit=None) == "for people"


def test_junit_is_written_beside_what_is_printed(tmp_path: Path) -> None:
    file = tmp_path / "result.xml"
    file.write_text("old")
    assert Outcome(results(), "for people", 1).shown(json=False, junit=str(file)) == "for people"
    root = ElementTree.parse(file).getroot()  # noqa: S314 - written above
    assert [suite.get("name") for suite in root] == ["gpu01", "gpu02"]
    assert (root.get("tests"), root.get("failures")) == ("2", "1")


def test_a_junit_file_that_became_unwritable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^--junit .*: cannot be written: Is a directory$"):
        Outcome(results(), "", 0).shown(json=False, junit=str(tmp_path))
