"""Tasks that change hosts over SSH: plan, deploy, rollback; and what was done: releases, audit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from commands.base import (
    LOCK_WAIT_HELP,
    confirm,
    expected_errors_in_words,
    host_task,
    number,
    out,
    pairs,
    run_options,
)

if TYPE_CHECKING:
    from infra.fleet.choice import Choice, Outcome

PLAN_HELP = {
    "data": "folder with images on the host (overrides the inventory)",
    "model": "auto, demo, tiny, small, base-plus or large (overrides the inventory)",
    "set": "KEY=VALUE: a setting of the inventory, for this run; may be given several times",
    "accept_new_host_key": "record the SSH key of a host that is not known yet; a changed key is refused all the same",
    "parallel": "how many hosts at once (default: 4)",
}
DEPLOY_HELP = {
    **PLAN_HELP,
    "yes": "do not ask after the plan",
    "lock_wait": LOCK_WAIT_HELP,
    "fail_fast": "start no further hosts after one has failed",
}


@host_task(PLAN_HELP, ["set"], results=("json", "junit"))
def plan(
    choice: Choice,
    set: list[str],
    *,
    data: str | None = None,
    model: str | None = None,
    accept_new_host_key: bool = False,
    parallel: str | None = None,
) -> Outcome:
    """Show what `deploy` would change on hosts, with diffs; nothing is written."""
    from infra.deploy.command import run_plan

    choice = _adjusted(choice, set, data, model, parallel)
    return run_plan(choice, run_options("plan", accept_new_host_key=accept_new_host_key))


@host_task(DEPLOY_HELP, ["set"], results=("json", "junit"))
def deploy(
    choice: Choice,
    set: list[str],
    *,
    data: str | None = None,
    model: str | None = None,
    yes: bool = False,
    lock_wait: str | None = None,
    accept_new_host_key: bool = False,
    parallel: str | None = None,
    fail_fast: bool = False,
) -> Outcome:
    """Deploy Label Studio with SAM2 to hosts and prove it with a click; a release that fails is rolled back."""
    from infra.deploy.command import run_deploy

    choice = replace(_adjusted(choice, set, data, model, parallel), fail_fast=fail_fast)
    options = run_options("deploy", accept_new_host_key=accept_new_host_key, lock_wait=lock_wait)
    return run_deploy(choice, options, confirm=None if yes else confirm)


def _adjusted(choice: Choice, given: list[str], data: str | None, model: str | None, parallel: str | None) -> Choice:
    """The choice with what a command line sets for its hosts, over the inventory."""
    own = (("data", data), ("model", model))
    overrides = (*pairs(given), *((key, value) for key, value in own if value is not None))
    at_once = number("--parallel", parallel)
    return replace(choice, overrides=overrides, parallel=choice.parallel if at_once is None else at_once)


@host_task(
    {
        "release": "id of the release (default: the last one before the current that passed its gate)",
        "yes": "do not ask",
        "lock_wait": LOCK_WAIT_HELP,
    }
)
def rollback(choice: Choice, release: str = "", *, yes: bool = False, lock_wait: str | None = None) -> Outcome:
    """Go back to an earlier release, after a check that everything it needs still exists."""
    from infra.deploy.rollback_command import run_rollback

    options = run_options("rollback", lock_wait=lock_wait)
    return run_rollback(choice, options, release or None, confirm=None if yes else confirm)


@host_task()
def releases(choice: Choice) -> Outcome:
    """List the releases on hosts, the newest first, with the result of each one's gate."""
    from infra.deploy.rollback_command import list_releases

    return list_releases(choice, run_options("releases"))


@host_task({"last": "how many lines (default: 20)"})
def audit(choice: Choice, *, last: str | None = None) -> Outcome:
    """Show who changed hosts, when, with what, and how it went."""
    from infra.deploy.rollback_command import list_audit

    lines = number("--last", last)
    return list_audit(choice, run_options("audit"), 20 if lines is None else lines)


@task(help={"key": "a setting of the inventory or of .env (default: all)"})
@expected_errors_in_words
def docs(_context: Context, key: str = "") -> None:
    """Explain a setting: what it is for, its kind, its default."""
    from infra.config.docs import explain

    out(explain(key))
