"""`./inv status`, `doctor`, `logs` and `tunnel`: on hosts, or without one on this machine."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence

from core.errors import ConnectFailed, LabelrigError, SettingsError, SudoRefused
from core.report import Report
from infra.doctor.chain import doctor, doctor_unreachable
from infra.doctor.diagnosis import Diagnosis
from infra.doctor.logs import logs
from infra.doctor.status import status
from infra.doctor.tunnel import tunnel
from infra.fleet.choice import Choice, Outcome, failed_line
from infra.fleet.on_hosts import on_hosts, on_this_machine
from infra.fleet.parallel import exit_code_of, reports_for
from infra.fleet.run import RunOptions
from infra.fleet.session import Session, session
from infra.stack.stages import stack_project


class NotWell(LabelrigError):
    """A stack is not healthy."""

    shown = True

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class LogsFailed(LabelrigError):
    """The logs of at least one stack cannot be read."""

    shown = True


def run_status(choice: Choice, options: RunOptions) -> Outcome:
    """Say how each stack is."""

    def check(one: Session) -> None:
        release = str(one.current.id) if one.current is not None else None
        found = status(one.site, release, one.report)
        one.report.facts |= {"status": found.as_dict(), "text": found.text()}
        if not found.ok:
            raise NotWell("not everything of this stack works; `./inv doctor` names the broken link", 1)

    return _on_stacks(choice, options, check)


def run_doctor(choice: Choice, options: RunOptions) -> Outcome:
    """Walk the chain of each stack. A host that cannot be reached is a diagnosis too."""

    def check(one: Session) -> None:
        try:
            site = one.site_to_diagnose()
        except (ConnectFailed, SudoRefused) as error:
            _diagnosed(doctor_unreachable(one.host.name, error), one.report)
            return
        spec = stack_project(site.settings)
        found = doctor(
            site,
            spec,
            one.report,
            truth=one.truth,
            daemon=one.daemon_settings,
        )
        _diagnosed(found, one.report)

    return _on_stacks(choice, options, check)


def _diagnosed(diagnosis: Diagnosis, report: Report) -> None:
    report.facts |= {"doctor": diagnosis.as_dict(), "text": diagnosis.text()}
    if diagnosis.exit_code:
        raise NotWell(diagnosis.verdict, diagnosis.exit_code)


def run_logs(
    choice: Choice,
    options: RunOptions,
    services: Sequence[str],
    *,
    follow: bool,
    since: str | None,
    lines: int | None,
    everything: bool,
) -> None:
    """Pass on the logs of each stack; of several hosts at once, each line with its host's name. See `logs`."""
    hosts = choice.select() if choice.names_hosts else []
    many = len(hosts) > 1
    lock = threading.Lock()

    def out(line: str) -> None:
        with lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def show(one: Session) -> None:
        prefix = f"{one.host.name} | " if many else ""
        logs(one.site, services, follow=follow, since=since, lines=lines, everything=everything, out=out, prefix=prefix)

    outcome = _on_stacks(choice, options, show, parallel=max(len(hosts), 1))
    if outcome.exit_code:
        raise LogsFailed("not every host's logs could be read")


def run_tunnel(choice: Choice, options: RunOptions, local_port: int | None) -> None:
    """Open the Label Studio of one host on this machine until stopped by hand."""
    if not choice.names_hosts:
        raise SettingsError("--host: which one? Label Studio of this machine needs no tunnel")
    hosts = choice.select()
    if len(hosts) != 1:
        raise SettingsError("a tunnel leads to one host; give one --host")
    (host_settings,) = hosts
    report = reports_for(hosts)[host_settings.name]
    with session(options, host_settings, report) as one:
        tunnel(one.site, local_port, report)


def _on_stacks(
    choice: Choice, options: RunOptions, work: Callable[[Session], None], parallel: int | None = None
) -> Outcome:
    if choice.names_hosts:
        results = on_hosts(choice, options, work, parallel=parallel)
    else:
        results = [on_this_machine(options, work)]
    texts = [str(one.report.facts.get("text", failed_line(one))) for one in results]
    return Outcome(results, "\n\n".join(texts), exit_code_of(results))
