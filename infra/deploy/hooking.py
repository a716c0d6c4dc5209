"""The hooks of a deploy, with what they get to know of it."""

from __future__ import annotations

from core.errors import LabelrigError, RolledBack
from hosts.local import LocalHost
from infra.deploy.deployment import Deployment
from infra.fleet.session import Session
from infra.releases.hooks import HookName, HookValues, run_hook


def run_own_hook(one: Session, deployment: Deployment, name: HookName, error: LabelrigError | None = None) -> None:
    """Run a hook of the lab for one host, if there is one.

    Raises:
        HookFailed: it failed, and stops what was to come.
    """
    results = {"pre-deploy": "", "post-deploy": "ok", "on-failure": "failed"}
    values = HookValues(
        host=one.host_settings.name,
        address=one.host_settings.address,
        project=one.host_settings.project,
        command=one.options.command,
        commit=one.options.commit.digest,
        release=deployment.release_id or "",
        result="rolled-back" if isinstance(error, RolledBack) else results[name],
        error=str(error) if error is not None else "",
        url=deployment.summary.how_to_open if deployment.summary is not None else "",
    )
    run_hook(name, one.host_settings.hooks, values, LocalHost(), one.report)
