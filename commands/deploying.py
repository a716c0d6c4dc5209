"""Tasks that change hosts over SSH: plan, deploy, rollback; and what was done: releases, audit."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from commands.base import (
    HOST_HELP,
    choose,
    confirm,
    expected_errors_in_words,
    finish,
    number,
    out,
    pairs,
    result_file,
    run_options,
)

RUN_HELP = {
    **HOST_HELP,
    "data": "folder with images on the host (over the inventory)",
    "model": "auto, demo, tiny, small, base-plus or large (over the inventory)",
    "set": "KEY=VALUE: any other setting of the inventory, for this run; may be given several times",
    "accept_new_host_key": "record the SSH key of a host that is not known yet; a changed key is refused all the same",
    "parallel": "how many hosts at once (default: 4)",
    "json": "print the result as JSON on stdout",
    "junit": "also write the result as JUnit XML into this file",
}
MANY = ["host", "group", "set"]


@task(iterable=MANY, help=RUN_HELP)
@expected_errors_in_words
def plan(
    _context: Context,
    host: list[str],
    group: list[str],
    set: list[str],
    limit: str | None = None,
    inventory: str | None = None,
    data: str | None = None,
    model: str | None = None,
    accept_new_host_key: bool = False,
    parallel: str | None = None,
    json: bool = False,
    junit: str | None = None,
) -> None:
    """Show what `deploy` would change on hosts, with diffs; nothing is written."""
    from infra.deploy.command import run_plan

    overrides = [*pairs(set), ("data", data), ("model", model)]
    at_once = number("--parallel", parallel)
    choice = choose(host, group, limit, inventory, overrides=overrides, parallel=at_once)
    result_file("--junit", junit)
    finish(run_plan(choice, run_options("plan", accept_new_host_key=accept_new_host_key)), json=json, junit=junit)


@task(
    iterable=MANY,
    help={
        **RUN_HELP,
        "yes": "do not ask after the plan",
        "lock_wait": "how long to wait when another run holds the host, such as 90s or 30m (default: not at all)",
        "fail_fast": "do not begin with further hosts after one has failed",
    },
)
@expected_errors_in_words
def deploy(
    _context: Context,
    host: list[str],
    group: list[str],
    set: list[str],
    limit: str | None = None,
    inventory: str | None = None,
    data: str | None = None,
    model: str | None = None,
    yes: bool = False,
    lock_wait: str | None = None,
    accept_new_host_key: bool = False,
    parallel: str | None = None,
    fail_fast: bool = False,
    json: bool = False,
    junit: str | None = None,
) -> None:
    """Deploy Label Studio with SAM2 to hosts and prove it with a click; a release that fails is rolled back."""
    from infra.deploy.command import run_deploy

    overrides = [*pairs(set), ("data", data), ("model", model)]
    at_once = number("--parallel", parallel)
    choice = choose(host, group, limit, inventory, overrides=overrides, parallel=at_once, fail_fast=fail_fast)
    result_file("--junit", junit)
    options = run_options("deploy", accept_new_host_key=accept_new_host_key, lock_wait=lock_wait)
    finish(run_deploy(choice, options, confirm=None if yes else confirm), json=json, junit=junit)


@task(
    iterable=["host", "group"],
    help={
        **HOST_HELP,
        "release": "id of the release (default: the last one before the current that passed its gate)",
        "yes": "do not ask",
        "lock_wait": "how long to wait when another run holds the host, such as 90s or 30m",
        "json": "print the result as JSON on stdout",
    },
)
@expected_errors_in_words
def rollback(
    _context: Context,
    host: list[str],
    group: list[str],
    release: str = "",
    limit: str | None = None,
    inventory: str | None = None,
    yes: bool = False,
    lock_wait: str | None = None,
    json: bool = False,
) -> None:
    """Go back to an earlier release, after a check that everything it needs still exists."""
    from infra.deploy.rollback_command import run_rollback

    choice = choose(host, group, limit, inventory)
    options = run_options("rollback", lock_wait=lock_wait)
    finish(run_rollback(choice, options, release or None, confirm=None if yes else confirm), json=json)


@task(iterable=["host", "group"], help={**HOST_HELP, "json": "print the result as JSON on stdout"})
@expected_errors_in_words
def releases(
    _context: Context,
    host: list[str],
    group: list[str],
    limit: str | None = None,
    inventory: str | None = None,
    json: bool = False,
) -> None:
    """List the releases on hosts, the newest first, with the result of each one's gate."""
    from infra.deploy.rollback_command import list_releases

    outcome = list_releases(choose(host, group, limit, inventory), run_options("releases"))
    finish(outcome, json=json)


@task(
    iterable=["host", "group"],
    help={**HOST_HELP, "last": "how many lines (default: 20)", "json": "print the entries as JSON on stdout"},
)
@expected_errors_in_words
def audit(
    _context: Context,
    host: list[str],
    group: list[str],
    limit: str | None = None,
    inventory: str | None = None,
    last: str | None = None,
    json: bool = False,
) -> None:
    """Show who changed hosts, when, with what, and how it went."""
    from infra.deploy.rollback_command import list_audit

    lines = number("--last", last)
    outcome = list_audit(choose(host, group, limit, inventory), run_options("audit"), 20 if lines is None else lines)
    finish(outcome, json=json)


@task(help={"key": "a setting of the inventory or of .env (default: all)"})
@expected_errors_in_words
def docs(_context: Context, key: str = "") -> None:
    """Explain a setting: what it is for, its kind, its default."""
    from infra.config.docs import explain

    out(explain(key))
