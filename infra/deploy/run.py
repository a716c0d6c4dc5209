"""One deploy on one host: lock, hooks, stages, gate, and what follows from how it went."""

from __future__ import annotations

import time
from dataclasses import dataclass

import requests
from docker.errors import DockerException

from core.errors import HostError, LabelrigError, RolledBack
from core.operation import Applier, Previewer
from core.report import Report
from hosts.local import LocalHost
from infra.config.host_settings import HostSettings
from infra.deploy.deployment import STAGES, Deployment
from infra.deploy.prune import prune
from infra.deploy.recovery import put_back
from infra.fleet.run import RunOptions, audit_event
from infra.fleet.target import base_folder
from infra.releases.audit import AuditLog
from infra.releases.hooks import HookName, HookValues, run_hook
from infra.releases.lock import HostLock
from infra.releases.lock_owner import Owner


def plan_host(options: RunOptions, host_settings: HostSettings, report: Report) -> None:
    """Show what a deploy would change. Changes nothing.

    Raises:
        LabelrigError: a deploy would fail too, or the host cannot be asked.
    """
    owner = options.owner()
    host = options.connect(host_settings, owner.id, report)
    try:
        with report.steps(STAGES):
            Deployment(host, host_settings, options.commit, owner.who).run(Previewer(report))
    finally:
        host.close()


def deploy_host(options: RunOptions, host_settings: HostSettings, report: Report) -> None:
    """Deploy to one host.

    Raises:
        LockHeld: another run holds the host; nothing was changed.
        RolledBack: the release failed its gate, and the one before it serves again.
        LabelrigError: something failed; the same command goes on from there.
    """
    owner = options.owner()
    host = options.connect(host_settings, owner.id, report)
    deployment = Deployment(host, host_settings, options.commit, owner.who)
    run = _Run(options, host_settings, deployment, report)
    began = time.monotonic()
    try:
        lock = HostLock(host, base_folder(host_settings), owner, report)
        with lock.held(options.lock_wait):
            deployment.still_ours = lock.ensure
            try:
                run.hook("pre-deploy")
            except LabelrigError as error:
                run.ended(owner, "refused", began, error)
                raise
            try:
                _deploy(deployment, report, host_settings)
            except LabelrigError as error:
                ended = put_back(deployment, error, report)
                run.ended(owner, "rolled-back" if isinstance(ended, RolledBack) else "failed", began, ended)
                run.hook("on-failure", ended)
                raise ended from None
            run.ended(owner, "ok", began, None)
            run.hook("post-deploy")
    finally:
        host.close()


def _deploy(deployment: Deployment, report: Report, host_settings: HostSettings) -> None:
    try:
        with report.steps(STAGES):
            deployment.run(Applier(report))
        prune(deployment, host_settings.keep_releases, report)
    except (DockerException, requests.RequestException) as error:
        raise HostError(f"{deployment.host.name}: the docker engine stopped answering: {error}") from error


@dataclass(frozen=True)
class _Run:
    """What is told to others about one run."""

    options: RunOptions
    host_settings: HostSettings
    deployment: Deployment
    report: Report

    def hook(self, name: HookName, error: LabelrigError | None = None) -> None:
        """Run a hook of the lab's, if there is one."""
        release = self.deployment.release
        results = {"pre-deploy": "", "post-deploy": "ok", "on-failure": "failed"}
        values = HookValues(
            host=self.host_settings.name,
            address=self.host_settings.address,
            project=self.host_settings.project,
            command=self.options.command,
            commit=self.options.commit.digest,
            release=str(release.id) if release is not None else "",
            result="rolled-back" if isinstance(error, RolledBack) else results[name],
            error=str(error) if error is not None else "",
            url=self.deployment.summary.how_to_open if self.deployment.summary is not None else "",
        )
        run_hook(name, self.host_settings.hooks, values, LocalHost(), self.report)

    def ended(self, owner: Owner, result: str, began: float, error: LabelrigError | None) -> None:
        """Write the line of the audit log."""
        event = audit_event(self.options, owner, self.report, self.deployment.release_id, result, began, error)
        AuditLog(self.deployment.host, self.deployment.base, self.report).append(event)
