"""`./inv plan` and `./inv deploy`: choose hosts, show, ask, do, and sum up."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence

from core.operation import converge
from core.report import Report
from core.results import HostResult, recap
from infra.config.host_settings import HostSettings
from infra.config.overrides import option
from infra.deploy.run import deploy_host, plan_host
from infra.fleet.choice import Choice, Outcome
from infra.fleet.parallel import exit_code_of, on_each, reports_for
from infra.fleet.run import RunOptions
from infra.fleet.target import LOCAL_DEMO
from infra.roles.stack.demo_images import DemoImagesDrawn


def run_plan(choice: Choice, options: RunOptions) -> Outcome:
    """Show what a deploy would change, on every host side by side."""
    hosts = choice.select()
    results = _plan(choice, hosts, options)
    return Outcome(results, _summed_up(results, "would change"), exit_code_of(results))


def run_deploy(choice: Choice, options: RunOptions, *, confirm: Callable[[str], None] | None) -> Outcome:
    """Show the plan, ask, and deploy: the first host alone, then the others.

    Args:
        confirm: asks a person, and raises where the answer is no; None: no question.
    """
    hosts = choice.select()
    planned = _plan(choice, hosts, options, deploys_next=True)
    failed = [one for one in planned if one.exit_code]
    if failed and (choice.fail_fast or len(failed) == len(planned)):
        return Outcome(planned, _summed_up(planned, "would change"), exit_code_of(planned))
    possible = [host for host, one in zip(hosts, planned, strict=True) if not one.exit_code]
    if confirm is not None and any(_has_work(one) for one in planned):
        confirm(f"This changes {', '.join(host.name for host in possible)} as shown above.")
    if any(host.data is None for host in possible):
        converge([DemoImagesDrawn(LOCAL_DEMO)], Report(io.StringIO()))
    reports = reports_for(possible)
    if once := dict(choice.overrides):
        given = ", ".join(option(key) for key in once)
        for report in reports.values():
            report.notice(f"{given}: for this run only; the next deploy and the other commands read {choice.inventory}")
    done = on_each(
        possible,
        reports,
        lambda host, report: deploy_host(options, host, report),
        parallel=choice.parallel,
        fail_fast=choice.fail_fast,
        barrier=True,
    )
    results = [*done, *failed]
    texts = [text for one in done if (text := _summary(one))]
    return Outcome(results, "\n".join([*texts, _summed_up(results, "changed")]), exit_code_of(results))


def _plan(
    choice: Choice, hosts: Sequence[HostSettings], options: RunOptions, *, deploys_next: bool = False
) -> list[HostResult]:
    sys.stderr.write(f"plan for {', '.join(host.name for host in hosts)}\n")
    reports = reports_for(hosts)
    for report in reports.values():
        report.preview = True
    return on_each(
        hosts,
        reports,
        lambda host, report: plan_host(options, host, report, deploys_next=deploys_next),
        parallel=choice.parallel,
        fail_fast=False,
        barrier=False,
    )


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
