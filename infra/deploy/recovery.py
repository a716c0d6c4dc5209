"""Going back to a release that served before: by hand, or because a new one failed its gate."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Unpack

from core.errors import (
    ConnectFailed,
    ConnectionLost,
    LabelrigError,
    LabelStudioError,
    PreflightError,
    RolledBack,
    Unfinished,
    WaitTimeout,
)
from core.operation import converge
from core.report import Report
from hosts.base import Exec, Result, RunArguments
from hosts.looking import is_folder
from infra.database.state import DatabaseState, database_state
from infra.deploy.deployment import Deployment
from infra.fleet.target import site_of, site_of_release
from infra.releases.manifest import Release, newest_passed
from infra.releases.rollback_check import check_rollback
from infra.releases.store import Found, Releases
from infra.roles.docker.client import EngineState, engine_client, engine_state
from infra.roles.images.registry import present
from infra.roles.project.gate import backend_facts
from infra.roles.project.replicas import until_one_serves
from infra.roles.stack.ray import REPLICAS
from infra.roles.stack.render import RAY, STACK_ENV, parse_stack_env
from infra.stack.site import EXEC_TIMEOUT, Site
from infra.stack.stages import containers_running, reached, stand_in, volumes_ready
from infra.stack.unfinished import refuse_unfinished
from labelstudio.session import token_works


def restore_previous(deployment: Deployment, cause: LabelrigError, report: Report) -> LabelrigError:
    """After a failure: where the current release never passed its gate, let the one before it serve again.

    Returns:
        The error to end with: RolledBack, or `cause` where nothing was put back, with the reason.
    """
    if isinstance(cause, ConnectFailed | ConnectionLost | PreflightError | Unfinished):
        return cause  # no one to report to, or nothing was changed
    releases = deployment.releases
    try:
        found = releases.read()
        failed = found.current
        if failed is None or failed.gate == "passed":
            return cause  # what serves was proven once: another release would not mend this
        if failed.gate != "failed":
            releases.mark(failed.id, "failed")
    except LabelrigError as error:
        return LabelrigError(f"{cause}\nWhether another release must be put back cannot be found out: {error}")
    target = newest_passed(found.releases)
    if target is None:
        return type(cause)(f"{cause}\nThere is no release before {failed.id} to go back to.")
    with report.stage("rollback"):
        report.changing(f"go back from {failed.id} to {target.id}")
        try:
            _check(deployment, found, target)
            serve(deployment, releases, target, report)
        except LabelrigError as error:
            return LabelrigError(f"{cause}\nRelease {target.id} could not be put back: {error}")
        report.ok(f"release {target.id} serves", [f"go back to {target.id}"])
    return RolledBack(f"{cause}\nRelease {failed.id} failed; release {target.id} serves again.")


@dataclass(frozen=True)
class Way:
    """Where a rollback leads on one host. `before`: the release that serves; None: none does."""

    before: Release | None
    target: Release


def find_way(deployment: Deployment, wanted: str | None, report: Report) -> Way:
    """Find the release to go back to, and see that it can serve. Changes nothing.

    Args:
        wanted: its id; None: the last one before the current that passed its gate.

    Raises:
        LabelrigError: something that the release needs is gone, or the database has moved on.
    """
    refuse_unfinished(site_of(deployment.host, deployment.host_settings))
    with report.stage("check"):
        found = deployment.releases.read()
        target = _check(deployment, found, wanted)
        report.ok(f"release {target.id} can serve", [])
    return Way(found.current, target)


def roll_back(deployment: Deployment, wanted: str | None, report: Report) -> Release:
    """Go back on request, on a host that serves by itself.

    Raises:
        LabelrigError: something that the release needs is gone, or the database has moved on. Nothing was changed.
        RolledBack: the release does not serve any more; the one that served before does again.
    """
    releases = deployment.releases
    way = find_way(deployment, wanted, report)
    with report.stage("rollback"):
        report.changing(f"go to {way.target.id}")
        try:
            serve(deployment, releases, way.target, report)
        except LabelrigError as error:
            if way.before is None:
                raise
            try:
                serve(deployment, releases, way.before, report)
            except LabelrigError as again:
                raise LabelrigError(f"{error}\nRelease {way.before.id} does not serve either: {again}") from None
            raise RolledBack(f"{error}\nRelease {way.before.id} serves again.") from None
        report.ok(f"release {way.target.id} serves", [f"go to {way.target.id}"])
    return way.target


def serve(
    deployment: Deployment, releases: Releases, target: Release, report: Report, *, upgrading: bool = False
) -> None:
    """Make a release current and bring its containers up.

    Args:
        upgrading: see `refuse_unfinished`.

    Raises:
        Unfinished: a restore or an upgrade was cut off; nothing was changed.
        LabelrigError: they do not become healthy, or do not answer.
    """
    site = site_of_release(deployment.host, deployment.host_settings, target)
    refuse_unfinished(site, upgrading=upgrading)
    releases.activate(target.id)
    with closing(engine_client(deployment.host)) as engine:
        converge(
            [volumes_ready(site, lambda: engine, report), containers_running(site, lambda: engine, report)], report
        )
    if site.files.is_worker:
        return  # Label Studio is on another host
    backend_facts(site.exec_in_backend)
    if replicas_of(deployment, target) != 0:  # else the first replica is a worker's
        end_stand_in(deployment, report)
    key = site.settings.api_key
    with reached(site) as url:
        if key is None or not token_works(url, key.get_secret_value()):
            raise LabelStudioError(f"{deployment.host.name}: Label Studio of {target.id} does not take our token")


def replicas_of(deployment: Deployment, release: Release) -> int | None:
    """How many replicas of the model a release has on this host of a group; None: it serves by itself.

    Raises:
        LabelrigError: its files do not say.
    """
    if RAY not in release.files:
        return None
    values = parse_stack_env(deployment.releases.read_file(release, STACK_ENV).content)
    try:
        return int(values[REPLICAS])
    except (KeyError, ValueError):
        raise LabelrigError(f"{deployment.host.name}: {STACK_ENV} of {release.id} has no {REPLICAS}") from None


def end_stand_in_last(deployment: Deployment, report: Report) -> None:
    """`end_stand_in` after the workers of a group, where the head holds no replica that could answer before.

    Raises:
        LabelrigError: the host does not say whether there is one.
    """
    current = deployment.releases.current()
    if current is not None and replicas_of(deployment, current) == 0:
        end_stand_in(deployment, report)


def end_stand_in(deployment: Deployment, report: Report) -> None:
    """Let the stand-in of a head go, where there is one, as soon as a replica answers; without one it stays.

    Raises:
        LabelrigError: the host does not say whether there is one.
    """
    site = site_of_release(deployment.host, deployment.host_settings, deployment.releases.current())
    if site.part != "head" or engine_state(deployment.host) is not EngineState.ANSWERS:
        return
    with closing(engine_client(deployment.host)) as engine:
        meanwhile = stand_in(site, lambda: engine, report)
        if not meanwhile.is_there():
            return
        try:
            until_one_serves(site.exec_in_backend, report)
        except WaitTimeout as error:
            report.notice(f"{error}: the stand-in goes on answering clicks, until the next `deploy` removes it")
            return
        meanwhile.end()
        report.ok("clicks answered by replicas", ["stop the stand-in"])


def database_now(deployment: Deployment, current: Release | None) -> DatabaseState | None:
    """The state of the database in use; asked in a container of its own where Label Studio does not run."""
    if current is None:
        return None
    site = site_of_release(deployment.host, deployment.host_settings, current)
    service = "db" if site.settings.database == "postgres" else "label-studio"
    asked: Sequence[Exec] = (site.exec_in(service), *([] if service == "db" else [_one_shot(site, service)]))
    for ask in asked:
        try:
            return database_state(site.settings.database, ask)
        except ConnectionLost:
            raise
        except LabelrigError:
            continue
    return None


def _check(deployment: Deployment, found: Found, wanted: Release | str | None) -> Release:
    def images(ids: Sequence[str]) -> Collection[str]:
        with closing(engine_client(deployment.host)) as engine:
            return present(ids, engine)

    def folders(paths: Sequence[str]) -> Collection[str]:
        return [path for path in paths if is_folder(deployment.host, path)]

    is_worker = deployment.host_settings.is_worker
    return check_rollback(
        deployment.host.name,
        found,
        str(wanted.id) if isinstance(wanted, Release) else wanted,
        images_present=images,
        folders_present=folders,
        database_now=None if is_worker else database_now(deployment, found.current),
        database=not is_worker,
    )


def _one_shot(site: Site, service: str) -> Exec:
    """Run a command in a container of its own with the service's volumes, and remove it."""

    def run(*argv: str, **arguments: Unpack[RunArguments]) -> Result:
        arguments.setdefault("timeout", EXEC_TIMEOUT)
        flags = ("--rm", "--no-TTY", "--no-deps", "--entrypoint", argv[0])
        return site.compose.run("run", *flags, service, *argv[1:], **arguments)

    return run
