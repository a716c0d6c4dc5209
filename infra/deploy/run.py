"""One deploy on one host: lock, hooks, stages, gate, and what follows from how it went."""

from __future__ import annotations

from contextlib import suppress

from core.errors import LabelrigError, RolledBack, SudoRefused
from core.operation import Applier, Previewer
from core.report import Report
from infra.config.host_settings import HostSettings
from infra.deploy.deployment import STAGES, Deployment
from infra.deploy.hooking import run_own_hook
from infra.deploy.prune import prune
from infra.deploy.recovery import restore_previous
from infra.fleet.run import RunOptions
from infra.fleet.session import causes_named, session


def plan_host(options: RunOptions, host_settings: HostSettings, report: Report, *, deploys_next: bool = False) -> None:
    """Show what a deploy would change. Changes nothing.

    Args:
        deploys_next: a deploy follows: where the host is held by another run, that is said before anything is planned.

    Raises:
        LockHeld: a deploy follows, and would be refused.
        LabelrigError: a deploy would fail too, or the host cannot be read.
    """
    with session(options, host_settings, report) as one:
        if deploys_next:
            with suppress(SudoRefused):  # one of the problems that preflight lists
                one.lock.refuse_held(options.lock_wait)
        with report.steps(STAGES):
            Deployment.of(one).run(Previewer(report))


def deploy_host(options: RunOptions, host_settings: HostSettings, report: Report) -> None:
    """Deploy to one host.

    Raises:
        LockHeld: another run holds the host; nothing was changed.
        RolledBack: the release failed its gate, and the one before it serves again.
        LabelrigError: something failed; the same command goes on from there.
    """
    with session(options, host_settings, report, lock=True) as one:
        deployment = Deployment.of(one)
        deployment.still_ours = one.lock.ensure
        try:
            run_own_hook(one, deployment, "pre-deploy")
        except LabelrigError as error:
            one.record("refused", error)
            raise
        try:
            _deploy(deployment, report, host_settings)
        except LabelrigError as error:
            ended = restore_previous(deployment, error, report)
            one.release_id = deployment.release_id
            one.record("rolled-back" if isinstance(ended, RolledBack) else "failed", ended)
            run_own_hook(one, deployment, "on-failure", ended)
            raise ended from None
        one.release_id = deployment.release_id
        one.record("ok")
        run_own_hook(one, deployment, "post-deploy")


def _deploy(deployment: Deployment, report: Report, host_settings: HostSettings) -> None:
    with causes_named(deployment.host):
        with report.steps(STAGES):
            deployment.run(Applier(report))
        prune(deployment, host_settings.keep_releases, report)
