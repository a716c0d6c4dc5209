"""`./inv doctor --tell`: the diagnosis, and people told where something changed since they last were."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import SettingsError
from core.report import Report
from core.repository import REPOSITORY
from core.results import HostResult
from hosts.base import Host
from hosts.local import LocalHost
from infra.alerts.changes import as_file, message_of, read_troubles, troubles_now
from infra.alerts.channels import HOOK, Channel, NotDelivered, channels_of
from infra.config.alert_settings import MAIL_TO, SMTP, WEBHOOK, AlertSettings
from infra.config.host_settings import HostSettings
from infra.doctor.command import run_doctor
from infra.fleet.choice import Choice, Outcome
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

        Returns:
            What was not delivered, a sentence each.
        """
        path = str(self.folder / f"{UNSAFE.sub('_', host)}.json")
        told = read_troubles(self.here.read(path))
        problems: list[str] = []
        for channel in self.channels(hooks):
            before = told.get(channel.name, {})
            after = troubles_now(diagnosis["checks"], before, now)
            message = message_of(host, diagnosis, before, after, now)
            if message is None:
                continue
            try:
                channel.tell(message)
            except NotDelivered as error:
                problems.append(f"{host}: {error}")
                continue
            self.report.notice(f"told by {channel.name}: {message.title}")
            told[channel.name] = after
            self.here.write(path, as_file(told), 0o600)
        return problems


def run_doctor_and_tell(choice: Choice, options: RunOptions, settings: AlertSettings) -> Outcome:
    """Walk the chain of each stack as `run_doctor` does, and tell people what changed.

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
    outcome = run_doctor(choice, options)
    now = datetime.now(UTC)
    problems: list[str] = []
    for one in outcome.results:
        problems += teller.tell(one.host, diagnosis_of(one), hooks.get(one.host, HOOKS), now)
    return with_problems(outcome, problems)


def diagnosis_of(result: HostResult) -> Mapping[str, Any]:
    """The diagnosis of one host; where there is none, the error that ended it, as a broken link `doctor`."""
    found = result.report.facts.get("doctor")
    if isinstance(found, Mapping):
        return found
    seen = result.error or "it ended without a diagnosis"
    check = {"id": "doctor", "result": "broken", "seen": seen, "fix": "run `./inv doctor` by hand"}
    return {"checks": [check], "verdict": seen}


def with_problems(outcome: Outcome, problems: Sequence[str]) -> Outcome:
    """The outcome with what was not delivered; its exit code is then never 0."""
    if not problems:
        return outcome
    text = "\n".join([outcome.text, "", *(f"not delivered: {one}" for one in problems)])
    return replace(outcome, text=text, exit_code=outcome.exit_code or 1)
