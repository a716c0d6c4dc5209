"""Work on projects, on this machine's stack or on the stacks of deploy hosts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from core.errors import LabelrigError, LockHeld, SettingsError
from core.report import Report
from core.results import HostResult
from hosts.local import LocalHost
from infra.config.host_settings import HostSettings
from infra.config.settings import Settings, env_file, load_settings
from infra.fleet.choice import Choice, Outcome, failed_line
from infra.fleet.parallel import exit_code_of, on_each, reports_for
from infra.fleet.place import Place, reach
from infra.fleet.run import RunOptions, audit_event
from infra.fleet.target import base_folder, demo_folder, site_of
from infra.releases.audit import AuditLog
from infra.releases.lock import HostLock
from infra.stack.site import local_site, state_folder

Work = Callable[[Place], str]


def on_this_machine(settings: Settings, report: Report, work: Work) -> str:
    """Do the work on this machine's stack; return its text.

    Raises:
        LabelrigError: it failed.
    """
    path = env_file(os.environ)
    site = local_site(LocalHost(), settings, path, lambda: load_settings(path, os.environ, {}))
    with reach(site, str(state_folder(settings) / "demo" / "images"), report) as place:
        return work(place)


def on_hosts(choice: Choice, options: RunOptions, work: Work, *, changes: bool) -> Outcome:
    """Do the work on the stack of each host.

    Args:
        changes: the work changes something: it holds the host's lock, and stands in its log.
    """
    hosts = choice.select()

    def on_one(host_settings: HostSettings, report: Report) -> None:
        if changes:
            _locked(options, host_settings, report, work)
            return
        host = options.connect(host_settings, options.owner().id, report)
        try:
            with reach(site_of(host, host_settings), demo_folder(host_settings), report) as place:
                report.facts["text"] = work(place)
        finally:
            host.close()

    results = on_each(hosts, reports_for(hosts), on_one, parallel=choice.parallel, fail_fast=False, barrier=False)
    return Outcome(results, "\n".join(map(_text, results)), exit_code_of(results))


def only_one(choice: Choice) -> Choice:
    """Look whether the command line means one host.

    Raises:
        SettingsError: it means several.
    """
    hosts = choice.select()
    if len(hosts) != 1:
        raise SettingsError(
            f"this writes into the clone, so give one host; these are {', '.join(host.name for host in hosts)}"
        )
    return choice


def _locked(options: RunOptions, host_settings: HostSettings, report: Report, work: Work) -> None:
    owner = options.owner()
    host = options.connect(host_settings, owner.id, report)
    base = base_folder(host_settings)
    log = AuditLog(host, base, report)
    began = time.monotonic()
    try:
        with HostLock(host, base, owner, report).held(options.lock_wait):
            try:
                with reach(site_of(host, host_settings), demo_folder(host_settings), report) as place:
                    report.facts["text"] = work(place)
            except LockHeld:
                raise
            except LabelrigError as error:
                log.append(audit_event(options, owner, report, None, "failed", began, error))
                raise
            log.append(audit_event(options, owner, report, None, "ok", began, None))
    finally:
        host.close()


def _text(result: HostResult) -> str:
    return failed_line(result) if result.error is not None else f"{result.host}: {result.report.facts['text']}"
