"""`./inv status`, `doctor`, `logs` and `tunnel`: on hosts, or without one on this machine."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConnectFailed, LabelrigError, SettingsError
from core.report import Report
from core.repository import REPOSITORY
from core.results import HostResult
from hosts.local import LocalHost
from infra.config.host_settings import HostSettings
from infra.config.settings import env_file
from infra.deploy.deployment import LOCAL_DEMO, Deployment
from infra.deploy.recovery import site_of_release
from infra.doctor.chain import doctor, doctor_unreachable
from infra.doctor.diagnosis import Diagnosis
from infra.doctor.logs import logs
from infra.doctor.status import status
from infra.doctor.tunnel import tunnel
from infra.fleet.choice import Choice, Outcome, failed_line
from infra.fleet.parallel import exit_code_of, on_each, reports_for
from infra.fleet.run import RunOptions
from infra.fleet.target import site_of
from infra.roles.project.role import DEFAULT_PROJECT
from infra.stack.site import Site, local_site, state_folder
from infra.stack.stages import demo_spec
from labelstudio.config import load_project

THIS_MACHINE = "this machine"


class NotWell(LabelrigError):
    """What was looked at is not as it should be."""

    shown = True

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class LogsFailed(LabelrigError):
    """The logs of at least one stack cannot be read."""

    shown = True


@dataclass(frozen=True)
class Place:
    """One stack to look at. `release` is the id of the one that serves on a host; `truth` of its demo images here."""

    site: Site
    release: str | None
    truth: Path | None


def run_status(choice: Choice, options: RunOptions) -> Outcome:
    """Say how each stack is."""

    def look(place: Place, report: Report) -> None:
        found = status(place.site, place.release, report)
        report.facts |= {"status": found.as_dict(), "text": found.text()}
        if not found.ok:
            raise NotWell("not everything of this stack works; `./inv doctor` names the broken link", 1)

    return _look_at(choice, options, look)


def run_doctor(choice: Choice, options: RunOptions) -> Outcome:
    """Walk the chain of each stack. A host that cannot be reached is a diagnosis too."""

    def look(place: Place, report: Report) -> None:
        spec = load_project(REPOSITORY, DEFAULT_PROJECT)
        if place.site.settings.data is None:
            spec = demo_spec(spec)
        show = report.progress
        told = doctor(place.site, spec, report, truth=place.truth, on_check=lambda check: show(check.line()))
        _diagnosed(told, report)

    def unreachable(name: str, error: LabelrigError, report: Report) -> None:
        _diagnosed(doctor_unreachable(name, error), report)

    return _look_at(choice, options, look, unreachable)


def _diagnosed(diagnosis: Diagnosis, report: Report) -> None:
    report.facts |= {"doctor": diagnosis.as_dict(), "text": diagnosis.text()}
    if diagnosis.exit_code:
        raise NotWell(diagnosis.verdict, diagnosis.exit_code)


def run_logs(
    choice: Choice, options: RunOptions, services: Sequence[str], *, follow: bool, since: str | None, tail: int | None
) -> None:
    """Pass on the logs of each stack; of several hosts at once, each line with its host's name."""
    hosts = choice.select() if choice.names_hosts else []
    many = len(hosts) > 1
    lock = threading.Lock()

    def out(line: str) -> None:
        with lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def look(place: Place, _report: Report) -> None:
        prefix = f"{place.site.host.name} | " if many else ""
        logs(place.site, services, follow=follow, since=since, tail=tail, out=out, prefix=prefix)

    outcome = _look_at(choice, options, look, parallel=max(len(hosts), 1))
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
    with closing(options.connect(host_settings, options.owner().id, report)) as host:
        tunnel(site_of(host, host_settings), local_port, report)


def _look_at(
    choice: Choice,
    options: RunOptions,
    look: Callable[[Place, Report], None],
    unreachable: Callable[[str, LabelrigError, Report], None] | None = None,
    parallel: int | None = None,
) -> Outcome:
    if not choice.names_hosts:
        results = [_here(options, look)]
        return Outcome(results, str(results[0].report.facts.get("text", "")), exit_code_of(results))
    hosts = choice.select()

    def work(host_settings: HostSettings, report: Report) -> None:
        owner = options.owner()
        with closing(options.connect(host_settings, owner.id, report)) as host:
            try:
                deployment = Deployment(host, host_settings, options.commit, owner.who)
                current = deployment.releases.current()
                site = site_of(host, host_settings) if current is None else site_of_release(deployment, current)
            except ConnectFailed as error:
                if unreachable is None:
                    raise
                unreachable(host_settings.name, error, report)
                return
            truth = LOCAL_DEMO / "truth" if host_settings.data is None else None
            look(Place(site, str(current.id) if current is not None else None, truth), report)

    results = on_each(
        hosts, reports_for(hosts), work, parallel=parallel or choice.parallel, fail_fast=False, barrier=False
    )
    texts = [str(one.report.facts.get("text", failed_line(one))) for one in results]
    return Outcome(results, "\n\n".join(texts), exit_code_of(results))


def _here(options: RunOptions, look: Callable[[Place, Report], None]) -> HostResult:
    report = Report()
    settings = options.settings
    site = local_site(LocalHost(), settings, env_file(os.environ), lambda: settings)
    truth = state_folder(settings) / "demo" / "truth" if settings.data is None else None
    try:
        look(Place(site, None, truth), report)
    except NotWell as error:
        return HostResult(THIS_MACHINE, report, str(error), error.exit_code, 0.0)
    return HostResult(THIS_MACHINE, report, None, 0, 0.0)
