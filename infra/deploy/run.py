"""One deploy on one host: lock, hooks, stages, gate, and what follows from how it went."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import requests
from docker.errors import DockerException

from core.errors import HostError, LabelrigError, RolledBack
from core.operation import Applier, Previewer
from core.report import Report
from hosts.local import LocalHost
from hosts.ssh import SshHost
from infra.config.host_settings import HostSettings
from infra.config.settings import Settings
from infra.deploy.deployment import Deployment
from infra.deploy.prune import prune
from infra.deploy.recovery import put_back
from infra.fleet.commit import Commit
from infra.fleet.target import base_folder, connect_to
from infra.releases.audit import AuditEvent, AuditLog
from infra.releases.hooks import HookName, HookValues, run_hook
from infra.releases.lock import HostLock
from infra.releases.lock_owner import Owner, this_run


@dataclass(frozen=True)
class Wishes:
    """What a command line says beside the hosts.

    Attributes:
        command: its name, for lock and log.
        settings: of `.env`: the passwords of SSH and sudo.
        commit: what is deployed.
        accept_new_host_key: record the key of a host that is not known yet.
        lock_wait: seconds to wait for another run.
        environment: of this process: who we are, and which CI run this is.
    """

    command: str
    settings: Settings
    commit: Commit
    accept_new_host_key: bool = False
    lock_wait: float = 0.0
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def owner(self) -> Owner:
        """Who this run is on a host; a new id with each call."""
        return this_run(
            f"./inv {self.command}", self.commit.digest, environment=self.environment, now=lambda: datetime.now(UTC)
        )

    def connect(self, wish: HostSettings, run_id: str, report: Report) -> SshHost:
        """The host; see `connect_to`."""
        return connect_to(wish, self.settings, run_id, report.notice, accept_new_host_key=self.accept_new_host_key)


def plan_host(wishes: Wishes, wish: HostSettings, report: Report) -> None:
    """Show what a deploy would change. Changes nothing.

    Raises:
        LabelrigError: a deploy would fail too, or the host cannot be asked.
    """
    owner = wishes.owner()
    host = wishes.connect(wish, owner.id, report)
    try:
        Deployment(host, wish, wishes.commit, owner.who).run(Previewer(report))
    finally:
        host.close()


def deploy_host(wishes: Wishes, wish: HostSettings, report: Report) -> None:
    """Deploy to one host.

    Raises:
        LockHeld: another run holds the host; nothing was changed.
        RolledBack: the release failed its gate, and the one before it serves again.
        LabelrigError: something failed; the same command goes on from there.
    """
    owner = wishes.owner()
    host = wishes.connect(wish, owner.id, report)
    deployment = Deployment(host, wish, wishes.commit, owner.who)
    run = _Run(wishes, wish, deployment, report)
    began = time.monotonic()
    try:
        lock = HostLock(host, base_folder(wish), owner, report)
        with lock.held(wishes.lock_wait):
            deployment.still_ours = lock.ensure
            try:
                run.hook("pre-deploy")
            except LabelrigError as error:
                run.ended(owner, "refused", began, error)
                raise
            try:
                _deploy(deployment, report, wish)
            except LabelrigError as error:
                ended = put_back(deployment, error, report)
                run.ended(owner, "rolled-back" if isinstance(ended, RolledBack) else "failed", began, ended)
                run.hook("on-failure", ended)
                raise ended from None
            run.ended(owner, "ok", began, None)
            run.hook("post-deploy")
    finally:
        host.close()


def _deploy(deployment: Deployment, report: Report, wish: HostSettings) -> None:
    try:
        deployment.run(Applier(report))
        prune(deployment, wish.keep_releases, report)
    except (DockerException, requests.RequestException) as error:
        raise HostError(f"{deployment.host.name}: the docker engine stopped answering: {error}") from error


@dataclass(frozen=True)
class _Run:
    """What is told to others about one run."""

    wishes: Wishes
    wish: HostSettings
    deployment: Deployment
    report: Report

    def hook(self, name: HookName, error: LabelrigError | None = None) -> None:
        """Run a hook of the lab's, if there is one."""
        release = self.deployment.release
        results = {"pre-deploy": "", "post-deploy": "ok", "on-failure": "failed"}
        values = HookValues(
            host=self.wish.name,
            address=self.wish.address,
            project=self.wish.project,
            command=self.wishes.command,
            commit=self.wishes.commit.digest,
            release=str(release.id) if release is not None else "",
            result="rolled-back" if isinstance(error, RolledBack) else results[name],
            error=str(error) if error is not None else "",
            url=self.deployment.summary.how_to_open if self.deployment.summary is not None else "",
        )
        run_hook(name, self.wish.hooks, values, LocalHost(), self.report)

    def ended(self, owner: Owner, result: str, began: float, error: LabelrigError | None) -> None:
        """Write the line of the audit log."""
        event = audit_event(self.wishes, self.deployment, owner, self.report, result, began, error)
        AuditLog(self.deployment.host, self.deployment.base, self.report).append(event)


def audit_event(
    wishes: Wishes,
    deployment: Deployment,
    owner: Owner,
    report: Report,
    result: str,
    began: float,
    error: LabelrigError | None,
) -> AuditEvent:
    """What the audit log says about a run. `began` is of `time.monotonic`."""
    return AuditEvent.model_validate(
        {
            "who": owner.who,
            "where": owner.ci_run or owner.machine.name,
            "command": owner.command,
            "commit": wishes.commit.digest,
            "dirty": wishes.commit.dirty,
            "release": str(deployment.release.id) if deployment.release is not None else None,
            "result": result,
            "exit_code": error.exit_code if error is not None else 0,
            "seconds": round(time.monotonic() - began, 1),
            "changes": report.changed,
            "error": str(error) if error is not None else None,
        }
    )
