"""What one run is beside its hosts: its options, who runs it, and its line in the audit log."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from core.errors import INTERRUPTED, LabelrigError
from core.report import Report
from infra.bundle.reading import Bundle
from infra.config.host_settings import HostSettings
from infra.config.settings import LoginSecrets, Settings
from infra.fleet.commit import Commit
from infra.fleet.target import connect_to
from infra.releases.audit import AuditEvent, AuditResult
from infra.releases.lock_owner import Owner, this_run

if TYPE_CHECKING:
    from hosts.ssh import SshHost


@dataclass(frozen=True)
class RunOptions:
    """What a command line says beside the hosts.

    Attributes:
        command: its name, for lock and log.
        settings: of `.env`, for the stack of this machine.
        commit: what is deployed.
        accept_new_host_key: record the key of a host that is not known yet.
        lock_wait: seconds to wait for another run.
        secrets: of `.env`: the passwords of SSH and sudo.
        environment: of this process: who we are, and which CI run this is.
        bundle: everything that a host lacks comes from this file, which was verified; None: from the network.
    """

    command: str
    settings: Settings
    commit: Commit
    accept_new_host_key: bool = False
    lock_wait: float = 0.0
    secrets: LoginSecrets = field(default_factory=LoginSecrets)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    bundle: Bundle | None = None

    def owner(self) -> Owner:
        """Who this run is on a host; a new id with each call."""
        return this_run(
            f"./inv {self.command}", self.commit.digest, environment=self.environment, now=lambda: datetime.now(UTC)
        )

    def connect(self, host_settings: HostSettings, run_id: str, report: Report) -> SshHost:
        """The host; see `connect_to`."""
        return connect_to(
            host_settings, self.secrets, run_id, report.notice, accept_new_host_key=self.accept_new_host_key
        )


def audit_event(
    options: RunOptions,
    owner: Owner,
    report: Report,
    release: str | None,
    result: AuditResult,
    began: float,
    error: BaseException | None,
) -> AuditEvent:
    """What the audit log says about a run. `began` is of `time.monotonic`."""
    event = _event_of(owner, result).model_copy(update={"dirty": options.commit.dirty})
    if result == "began":
        return event
    code, text = _ending(error)
    seconds = round(time.monotonic() - began, 1)
    ended = {"release": release, "exit_code": code, "seconds": seconds, "changes": report.changed, "error": text}
    return event.model_copy(update=ended)


def death_event(owner: Owner, why: str) -> AuditEvent:
    """What the audit log says about a run that could not write its end itself."""
    return _event_of(owner, "died").model_copy(update={"error": why})


def _event_of(owner: Owner, result: AuditResult) -> AuditEvent:
    return AuditEvent(
        run=owner.id,
        who=owner.who,
        where=owner.ci_run or owner.machine.name,
        command=owner.command,
        commit=owner.commit,
        result=result,
    )


def _ending(error: BaseException | None) -> tuple[int, str | None]:
    """Exit code and text. Of an unexpected error the kind only: its text may hold anything."""
    if error is None:
        return 0, None
    if isinstance(error, LabelrigError):
        return error.exit_code, str(error)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "stopped by hand"
    return 1, f"an error that was not expected: {type(error).__name__}"
