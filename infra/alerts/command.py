"""`./inv doctor --tell`: the diagnosis, and people told where something changed since they last were."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import FileAccessError, LabelrigError, SettingsError
from core.report import Report
from core.repository import REPOSITORY
from core.results import HostResult
from hosts.base import Host
from hosts.local import LocalHost
from infra.alerts.changes import DOCTOR, as_file, message_of, read_troubles, troubles_now
from infra.alerts.channels import HOOK, Channel, NotDelivered, channels_of
from infra.config.alert_settings import MAIL_TO, SMTP, WEBHOOK, AlertSettings
from infra.config.host_settings import HostSettings
from infra.doctor.command import run_doctor
from infra.fleet.choice import Choice, Outcome, failed_line
from infra.fleet.on_hosts import THIS_MACHINE
from infra.fleet.run import RunOptions

TOLD = REPOSITORY / ".labelrig" / "alerts"
HOOKS = REPOSITORY / str(HostSettings.model_fields["hooks"].default)
UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True)
class Teller:
    """Tells people of changes, each channel once.

    Attributes:
        settings: where alerts go.
        folder: keeps what each channel was last told, a file a host.
        here: this machine.
        report: shows what was told.
    """

    settings: AlertSettings
    folder: Path
    here: Host
    report: Report

    def channels(self, hooks: Path) -> list[Channel]:
        """The ways that are set up for a host."""
        return channels_of(self.settings, hooks, self.here, self.report)

    def tell(self, host: str, diagnosis: Mapping[str, Any], hooks: Path, now: datetime) -> list[str]:
        """Tell what changed on one host. A channel that fails hears the same from the next run.

        Where the record of what was told cannot be used, people hear the same again: rather twice than not at all.

        Returns:
            What was not delivered or not recorded, a sentence each.
        """
        path = str(self.folder / f"{UNSAFE.sub('_', host)}.json")
        problems: list[str] = []
        try:
            told = read_troubles(self.here.read(path))
        except FileAccessError as error:
            told = {}
            problems.append(f"not known what was told before: {host}: {error}")
        unrecorded = ""
        for channel in self.channels(hooks):
            before = told.get(channel.name, {})
            after = troubles_now(diagnosis["checks"], before, now)
            message = message_of(host, diagnosis, before, after, now)
            if message is None:
                continue
            try:
                refused = channel.tell(message)
            except NotDelivered as error:
                problems.append(f"not delivered: {host}: {error}")
                continue
            if refused:
                problems.append(f"not delivered: {host}: {refused}")
            self.report.notice(f"told by {channel.name}: {message.title}")
            told[channel.name] = after
            try:
                self.here.write(path, as_file(told), 0o600)
                unrecorded = ""
            except FileAccessError as error:
                unrecorded = f"not recorded, so the next run tells it again: {host}: {error}"
        return [*problems, *([unrecorded] if unrecorded else [])]


def run_doctor_and_tell(choice: Choice, options: RunOptions, settings: AlertSettings) -> Outcome:
    """Walk the chain of each stack as `run_doctor` does, and tell people what changed.

    Returns:
        The diagnoses. Its exit code is 0 where people know all of it, however the stacks are: a timer watches whether
        they were told.

    Raises:
        SettingsError: there is no way to tell anybody; nothing was looked at.
    """
    hooks = {one.name: one.hooks for one in choice.select()} if choice.names_hosts else {}
    report = Report()
    teller = Teller(settings, TOLD, LocalHost(), report)
    if not any(teller.channels(folder) for folder in hooks.values() or [HOOKS]):
        raise SettingsError(
            f"--tell: there is nobody to tell; set {WEBHOOK}, or {SMTP} and {MAIL_TO}, in .env, or put a program "
            f"{HOOK} into the folder of hooks ({next(iter(hooks.values()), HOOKS)})"
        )
    outcome = diagnosed(choice, options)
    now = datetime.now(UTC)
    problems: list[str] = []
    for one in outcome.results:
        problems += teller.tell(one.host, diagnosis_of(one), hooks.get(one.host, HOOKS), now)
    return with_problems(outcome, problems)


def diagnosed(choice: Choice, options: RunOptions) -> Outcome:
    """See `run_doctor`. An error that leaves this machine without a diagnosis is its result, as it is of a host."""
    try:
        return run_doctor(choice, options)
    except LabelrigError as error:
        if choice.names_hosts:
            raise
        report = Report()
        report.info(f"error: {error}")
        result = HostResult(THIS_MACHINE, report, str(error), error.exit_code, 0.0)
        return Outcome([result], failed_line(result), error.exit_code)


def diagnosis_of(result: HostResult) -> Mapping[str, Any]:
    """The diagnosis of one host; where there is none, the error that ended it, as the broken link `DOCTOR`."""
    found = result.report.facts.get("doctor")
    if isinstance(found, Mapping):
        return found
    seen = result.error or "it ended without a diagnosis"
    check = {"id": DOCTOR, "result": "broken", "seen": seen, "fix": "run `./inv doctor` by hand"}
    return {"checks": [check], "verdict": seen}


def with_problems(outcome: Outcome, problems: Sequence[str]) -> Outcome:
    """The outcome with what went wrong with the telling: its exit code is 1 then, else 0."""
    if not problems:
        return replace(outcome, exit_code=0)
    return replace(outcome, text="\n".join([outcome.text, "", *problems]), exit_code=1)
