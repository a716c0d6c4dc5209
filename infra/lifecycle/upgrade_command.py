"""`./inv upgrade`: here, or on hosts, the first of them alone."""

from __future__ import annotations

from core.report import Report
from core.results import HostResult, recap
from infra.config.settings import Settings
from infra.fleet.choice import Choice, Outcome, fact_lines
from infra.fleet.on_hosts import THIS_MACHINE, on_hosts
from infra.fleet.parallel import exit_code_of
from infra.fleet.run import RunOptions
from infra.fleet.session import Session
from infra.lifecycle.here import ThisMachine
from infra.lifecycle.there import OneHost
from infra.lifecycle.upgrade import UpgradeRequest, upgrade


def upgrade_this_machine(settings: Settings, request: UpgradeRequest) -> Outcome:
    """Upgrade this machine's stack."""
    report = Report()
    machine = ThisMachine(settings, report)
    text = upgrade(machine, request, report)
    result = HostResult(THIS_MACHINE, report, None, 0, 0.0)
    return Outcome([result], "\n\n".join(filter(None, [machine.summary, text])), 0, alone=True)


def upgrade_hosts(choice: Choice, options: RunOptions, request: UpgradeRequest) -> Outcome:
    """Upgrade the stack of each host. Where the first fails, no other begins."""

    def work(one: Session) -> None:
        machine = OneHost(one, one.report)
        try:
            one.report.facts["text"] = upgrade(machine, request, one.report)
        finally:
            one.release_id = machine.deployment.release_id

    parallel = None if request.confirm is None else 1
    results = on_hosts(choice, options, work, lock=True, audit=True, parallel=parallel, first_alone=True)
    return Outcome(results, "\n".join([*fact_lines(results, "text"), recap(results)]), exit_code_of(results))
