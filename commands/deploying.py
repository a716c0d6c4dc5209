"""Tasks that change hosts over SSH: plan, deploy, rollback; bundles for those without a network; releases, audit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from commands.base import (
    LOCK_WAIT_HELP,
    confirm,
    expected_errors_in_words,
    host_task,
    local_settings,
    number,
    pairs,
    run_options,
)
from commands.base import out as show

if TYPE_CHECKING:
    from infra.fleet.choice import Choice, Outcome

PLAN_HELP = {
    "data": "folder with images on the host (overrides the inventory)",
    "model": "auto, demo, tiny, small, base-plus or large (overrides the inventory)",
    "set": "KEY=VALUE: a setting of the inventory, for this run; may be given several times",
    "accept_new_host_key": "record the SSH key of a host that is not known yet; a changed key is refused all the same",
    "parallel": "how many hosts at once (default: 4)",
    "bundle": "take everything that a host lacks from this file of `./inv bundle.create`, and use no network",
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
    bundle: str | None = None,
) -> Outcome:
    """Show what `deploy` would change on hosts, with diffs; nothing is written."""
    from infra.deploy.command import run_plan

    choice = _adjusted(choice, set, data, model, parallel)
    return run_plan(choice, run_options("plan", accept_new_host_key=accept_new_host_key, bundle=bundle))


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
    bundle: str | None = None,
    fail_fast: bool = False,
) -> Outcome:
    """Deploy Label Studio with SAM2 to hosts and prove it with a click; a release that fails is rolled back."""
    from infra.deploy.command import run_deploy

    choice = replace(_adjusted(choice, set, data, model, parallel), fail_fast=fail_fast)
    options = run_options("deploy", accept_new_host_key=accept_new_host_key, lock_wait=lock_wait, bundle=bundle)
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


@task(
    help={
        "for_": "the system of the hosts: debian12, debian13, ubuntu22.04 or ubuntu24.04",
        "model": "tiny, small, base-plus or large: take its weights along; may be given several times (default: tiny; "
        "demo takes none, the demo model is in an image)",
        "nvidia": "take NVIDIA's container toolkit along, for hosts with a GPU",
        "serve": "take the image for several GPU hosts along, for groups with `serve`",
        "out": "the file (default: labelrig-SYSTEM.tar in this folder)",
        "json": "print the result as JSON on stdout",
    },
    iterable=["model"],
)
@expected_errors_in_words
def create(
    _context: Context, for_: str, model: list[str], nvidia: bool = False, serve: bool = False,
    out: str | None = None, json: bool = False,
) -> None:  # fmt: skip
    """Make one file with all that a host without a network needs; a run that broke off goes on where it was."""
    from core.report import Report
    from core.repository import REPOSITORY
    from hosts.local import LocalHost
    from infra.bundling.create import STAGES, Wanted, create_bundle
    from infra.bundling.systems import target_system
    from infra.bundling.weights import named_models
    from infra.fleet.commit import read_commit

    system = target_system(for_)
    path = Path(out or f"labelrig-{for_}.tar").expanduser().absolute()
    wanted = Wanted(system, named_models(model or ["tiny"]), nvidia, path, serve)
    here, report = LocalHost(), Report()
    with report.steps(STAGES):
        text = create_bundle(wanted, local_settings(), here, REPOSITORY, read_commit(here, REPOSITORY), report)
    show(report.as_json() if json else text)


@task(help={"path": "the file", "json": "print the result as JSON on stdout"})
@expected_errors_in_words
def verify(_context: Context, path: str, json: bool = False) -> None:
    """Read every byte of a bundle, compare it with its checksums, and say what the file holds."""
    from core.report import Report
    from core.repository import REPOSITORY
    from infra.bundling.create import describe
    from infra.roles.images.bundled import usable_bundle

    report = Report()
    bundle = usable_bundle(Path(path).expanduser().absolute(), REPOSITORY, report)
    facts, text = describe(bundle.path)
    report.facts |= facts
    show(report.as_json() if json else text)


@task(help={"key": "a setting of the inventory or of .env (default: all)"})
@expected_errors_in_words
def docs(_context: Context, key: str = "") -> None:
    """Explain a setting: what it is for, its kind, its default."""
    from infra.config.docs import explain

    show(explain(key))
