"""`./inv restore`, also as a drill: here, or on hosts."""

from __future__ import annotations

from core.report import Report
from core.results import HostResult, recap
from infra.config.settings import Settings
from infra.fleet.choice import Choice, Outcome, fact_lines
from infra.fleet.on_hosts import THIS_MACHINE, on_hosts, only_one, run_work
from infra.fleet.parallel import exit_code_of
from infra.fleet.run import RunOptions
from infra.fleet.session import Session
from infra.lifecycle.drill import Drill, run_drill
from infra.lifecycle.here import ThisMachine
from infra.lifecycle.restore import RestoreRequest, restore
from infra.lifecycle.script import script_of
from infra.lifecycle.there import OneHost


def restore_on_this_machine(settings: Settings, request: RestoreRequest) -> Outcome:
    """Restore this machine's stack."""
    report = Report()
    machine = ThisMachine(settings, report)
    text = restore(machine, request, report)
    result = HostResult(THIS_MACHINE, report, None, 0, 0.0)
    return Outcome([result], f"{machine.summary}\n\n{text}", 0, alone=True)


def drill_stacks(choice: Choice, options: RunOptions, snapshot: str) -> Outcome:
    """Restore a backup of each stack beside it, click, and take it down again."""

    def work(one: Session) -> str:
        machine = ThisMachine(options.settings, one.report) if one.host.is_local else OneHost(one, one.report)
        script_of(one.site, one.report)
        return run_drill(Drill(one.site, machine.images, one.truth, one.report), snapshot, one.report)

    return run_work(choice, options, work, changes=True)


def restore_on_host(choice: Choice, options: RunOptions, request: RestoreRequest) -> Outcome:
    """Restore the stack of one host.

    Raises:
        SettingsError: the command line names several hosts.
    """

    def work(one: Session) -> None:
        machine = OneHost(one, one.report)
        try:
            one.report.facts["text"] = restore(machine, request, one.report)
        finally:
            one.release_id = machine.deployment.release_id

    results = on_hosts(only_one(choice), options, work, lock=True, audit=True, parallel=1)
    return Outcome(results, "\n".join([*fact_lines(results, "text"), recap(results)]), exit_code_of(results))
