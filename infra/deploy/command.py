"""`./inv plan` and `./inv deploy`: choose hosts, show, ask, do, and sum up."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence

from core.errors import LabelrigError
from core.operation import converge
from core.report import Report
from core.results import HostResult, recap
from infra.config.overrides import option
from infra.deploy.group import deploy_group, plan_group
from infra.deploy.run import deploy_host, plan_host
from infra.deploy.units import Unit, on_units, units_of
from infra.fleet.choice import Choice, Outcome
from infra.fleet.parallel import exit_code_of, reports_for
from infra.fleet.run import RunOptions
from infra.fleet.target import LOCAL_DEMO
from infra.roles.stack.demo_images import DemoImagesDrawn


def run_plan(choice: Choice, options: RunOptions) -> Outcome:
    """Show what a deploy would change, on every host side by side."""
    units = units_of(choice.select())
    results = _plan(choice, units, options)
    return Outcome(results, _summed_up(results, "would change"), exit_code_of(results))


def run_deploy(choice: Choice, options: RunOptions, *, confirm: Callable[[str], None] | None) -> Outcome:
    """Show the plan, ask, and deploy: the first host alone, then the others.

    Args:
        confirm: asks a person, and raises where the answer is no; None: no question.
    """
    units = units_of(choice.select())
    planned = _plan(choice, units, options, deploys_next=True)
    failed = [one for one in planned if one.exit_code]
    if failed and (choice.fail_fast or len(failed) == len(planned)):
        return Outcome(planned, _summed_up(planned, "would change"), exit_code_of(planned))
    lost = {one.host for one in failed}
    units = [unit for unit in units if not any(host.name in lost for host in unit)]
    possible = [host for unit in units for host in unit]
    if not possible:
        return Outcome(planned, _summed_up(planned, "would change"), exit_code_of(planned))
    if confirm is not None and any(_has_work(one) for one in planned):
        confirm(f"This changes {', '.join(host.name for host in possible)} as shown above.")
    if any(host.data is None for host in possible):
        converge([DemoImagesDrawn(LOCAL_DEMO)], Report(io.StringIO()))
    reports = reports_for(possible)
    if once := dict(choice.overrides):
        given = ", ".join(option(key) for key in once)
        for report in reports.values():
            report.notice(f"{given}: for this run only; the next deploy and the other commands read {choice.inventory}")
    ended: dict[str, LabelrigError] = {}

    def deploy(unit: Unit) -> None:
        if len(unit) == 1:
            deploy_host(options, unit[0], reports[unit[0].name])
        else:
            deploy_group(options, unit, reports, ended)

    done = on_units(choice, units, reports, deploy, ended, fail_fast=choice.fail_fast, barrier=True)
    names = {one.host for one in done}
    results = [*done, *(one for one in planned if one.host not in names)]
    texts = [text for one in done if (text := _summary(one))]
    return Outcome(results, "\n".join([*texts, _summed_up(results, "changed")]), exit_code_of(results))


def _plan(
    choice: Choice, units: Sequence[Unit], options: RunOptions, *, deploys_next: bool = False
) -> list[HostResult]:
    hosts = [host for unit in units for host in unit]
    sys.stderr.write(f"plan for {', '.join(host.name for host in hosts)}\n")
    reports = reports_for(hosts)
    for report in reports.values():
        report.preview = True
    ended: dict[str, LabelrigError] = {}

    def plan(unit: Unit) -> None:
        if len(unit) == 1:
            plan_host(options, unit[0], reports[unit[0].name], deploys_next=deploys_next)
        else:
            plan_group(options, unit, reports, ended, deploys_next=deploys_next)

    return on_units(choice, units, reports, plan, ended, fail_fast=False, barrier=False)


def _has_work(result: HostResult) -> bool:
    return result.report.changed > 0 or any(stage.unknown for stage in result.report.stages)


def _summary(result: HostResult) -> str:
    """How to open a host that was deployed to, and what it runs."""
    facts = result.report.facts
    if result.exit_code or "how_to_open" not in facts:
        return ""
    lines = (
        ("open", facts["how_to_open"]),
        ("login", f"{facts['username']}, password in {facts['secrets']}"),
        ("images", facts["folder"]),
        ("model", f"{facts['model']} ({facts['model_version']}) on {facts['device']}"),
        ("release", facts["release"]),
        ("proof", facts["proof_sentence"]),
    )
    return "\n".join([f"{result.host}", *(f"  {name:<8} {value}" for name, value in lines), ""])


def _summed_up(results: Sequence[HostResult], word: str) -> str:
    """The recap of each host and the total. On a host whose plan failed nothing was changed."""
    changed = sum(one.report.changed for one in results if one.report.changes_word == word)
    return f"{recap(results)}\n{changed} {word}"
