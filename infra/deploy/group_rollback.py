"""`./inv rollback` on hosts that serve together: all of them, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial

from core.errors import LabelrigError, RolledBack
from core.report import Report
from infra.deploy.deployment import Deployment
from infra.deploy.recovery import Way, end_stand_in_last, find_way, replicas_of, serve
from infra.deploy.units import Unit, on_member
from infra.fleet.parallel import attempt
from infra.fleet.run import RunOptions
from infra.fleet.session import session
from infra.fleet.target import site_of_release
from infra.roles.project.group_hosts import Drain


@dataclass(frozen=True)
class Step:
    """One host of the group: its run, what it goes from and to, and its report."""

    run: Deployment
    way: Way
    report: Report


def roll_back_group(
    options: RunOptions, members: Unit, reports: Mapping[str, Report], ended: dict[str, LabelrigError],
    wanted: str | None,
) -> None:  # fmt: skip
    """Let an earlier release serve again on each host: the head's first, then one worker's after the other.

    Where it fails on one host, what served before does again on all.

    Args:
        members: hosts of one group, the head first; not all of them where only some were named.
        ended: host -> the error with which it ended; gets those of workers.
        wanted: see `find_way`.

    Raises:
        LockHeld: another run holds a host; nothing was changed.
        RolledBack: a release does not serve any more; those that served before do again.
        LabelrigError: a host lacks what its release needs, and nothing was changed; or a release does not come back.
    """
    with ExitStack() as stack:
        hosts = [
            stack.enter_context(session(options, one, reports[one.name], lock=True, audit=True)) for one in members
        ]
        steps = []
        for one in hosts:
            run, report = Deployment.of(one), reports[one.host.name]
            with on_member(run.host, ended):
                steps.append(Step(run, find_way(run, wanted, report), report))
        go_back(steps, ended)
        for one, step in zip(hosts, steps, strict=True):
            one.release_id = str(step.way.target.id)


def go_back(steps: Sequence[Step], ended: dict[str, LabelrigError]) -> None:
    """Bring all to their targets, the head first. See `roll_back_group`."""
    begun: list[Step] = []
    try:
        for step in steps:
            begun.append(step)
            with on_member(step.run.host, ended), step.report.stage("rollback"):
                _go(steps[0], step)
        _end_stand_in(steps[0])
    except LabelrigError as error:
        result = _as_before(begun, error)
        for step in begun:
            ended.setdefault(step.run.host.name, result)
        raise result from None


def _go(first: Step, step: Step) -> None:
    """Let one host's target serve; a worker's while clicks go to other hosts, where the head is one of the steps."""
    target, report = step.way.target, step.report
    report.changing(f"go to {target.id}")
    drain = None if step is first or first.run.host_settings.is_worker else _drain(first, step)
    replicas = replicas_of(step.run, target)
    with drain.aside(replicas) if drain is not None and replicas else nullcontext():
        serve(step.run, step.run.releases, target, report)
    if drain is not None and drain.is_left():
        drain.end()
    report.ok(f"release {target.id} serves", [f"go to {target.id}"])


def _drain(head: Step, step: Step) -> Drain:
    site = site_of_release(head.run.host, head.run.host_settings, head.way.target)
    return Drain(site.exec_in_backend, step.run.host, step.run.base, step.report)


def _as_before(begun: Sequence[Step], error: LabelrigError) -> LabelrigError:
    """Let what served before serve again, the head's first. Returns the error to end with."""
    failed = []
    for step in begun:
        if (before := step.way.before) is not None:
            again = attempt(partial(serve, step.run, step.run.releases, before, step.report))
            failed += [f"{step.run.host.name}: release {before.id} does not serve either: {again}"] if again else []
    attempt(partial(_end_stand_in, begun[0]))  # where it fails it stays, and answers clicks
    if failed:
        return LabelrigError("\n".join([str(error), *failed]))
    return RolledBack(f"{error}\nThe releases that served before do again.")


def _end_stand_in(first: Step) -> None:
    if not first.run.host_settings.is_worker:
        end_stand_in_last(first.run, first.report)
