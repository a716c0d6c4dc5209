"""`./inv database.move --host`: the work of a host's stack moves to the other kind of database, as a release."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace

from core.errors import LabelrigError, RolledBack, SettingsError
from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from core.results import recap
from hosts.local import LocalHost
from infra.config.host_settings import HostSettings
from infra.config.stack_settings import Database
from infra.database.command import MoveContext, move_work
from infra.database.here import check_stack
from infra.database.move import Moved
from infra.deploy.deployment import Deployment
from infra.deploy.recovery import site_of_release
from infra.fleet.choice import Choice, Outcome, failed_line
from infra.fleet.parallel import exit_code_of, on_each, reports_for
from infra.fleet.run import RunOptions, audit_event
from infra.fleet.target import base_folder, own_images
from infra.releases.audit import AuditLog
from infra.releases.lock import HostLock
from infra.releases.store import ReleaseActive
from infra.roles.images.build import ImageSet
from infra.roles.images.role import resolve_images, shipped_images_role
from infra.roles.images.tags import DB, SERVICES
from infra.roles.stack.image_folders import read_folders
from infra.roles.stack.render import RenderedFile
from infra.roles.stack.secrets import SecretsMade
from infra.stack.site import Site


def run_move(choice: Choice, options: RunOptions, to: Database, *, replace_target: bool) -> Outcome:
    """Move the work of each host's stack."""
    hosts = choice.select()
    for host_settings in hosts:
        if host_settings.database != to:
            raise SettingsError(
                f"{host_settings.name}: its `database` in the inventory is {host_settings.database}; "
                f"set it to {to} first, so that the next deploy goes on where the work is"
            )

    def work(host_settings: HostSettings, report: Report) -> None:
        owner = options.owner()
        with closing(options.connect(host_settings, owner.id, report)) as host:
            deployment = Deployment(host, host_settings, options.commit, owner.who)
            began = time.monotonic()
            with HostLock(host, base_folder(host_settings), owner, report).held(options.lock_wait):
                log = AuditLog(host, deployment.base, report)
                try:
                    moved = move_on_host(deployment, to, report, replace_target=replace_target)
                except LabelrigError as error:
                    result = "rolled-back" if isinstance(error, RolledBack) else "failed"
                    log.append(audit_event(options, owner, report, deployment.release_id, result, began, error))
                    raise
                log.append(audit_event(options, owner, report, deployment.release_id, "ok", began, None))
                report.facts["moved"] = told(moved)

    results = on_each(hosts, reports_for(hosts), work, parallel=1, fail_fast=True, barrier=True)
    lines = [failed_line(one) if one.error else f"{one.host}: {one.report.facts['moved']}" for one in results]
    return Outcome(results, "\n".join([*lines, recap(results)]), exit_code_of(results))


def move_on_host(deployment: Deployment, to: Database, report: Report, *, replace_target: bool) -> Moved:
    """Move the work of one host's stack. The lock is held.

    Raises:
        SettingsError: there is no stack, or it works on that kind already.
        RolledBack, LabelrigError: see `infra.database.move.move_database`.
    """
    current = deployment.releases.current()
    if current is None or current.manifest is None or current.gate != "passed":
        raise SettingsError(f"{deployment.host.name}: there is no release that passed its gate; `./inv deploy` first")
    if current.manifest.database == to:
        raise SettingsError(f"{deployment.host.name}: the stack works on {to} already; nothing was changed")
    site = site_of_release(deployment, current)
    with report.stage("prepare"):
        wanted = site.settings.model_copy(update={"database": "postgres"})
        converge([SecretsMade(deployment.host, site.env_file, wanted)], report)
        own = own_images(deployment.host_settings)
        origin = resolve_images(
            LocalHost(), deployment.host, REPOSITORY, site.settings, report,
            way=deployment.host_settings.images, services=(DB, *SERVICES), own=own,
        )  # fmt: skip
        converge(shipped_images_role(LocalHost(), deployment.host, origin, report), report)
    settings = site.reload().model_copy(update={"database": current.manifest.database})
    site = replace(site, settings=settings)

    folders = read_folders(deployment.host, site.files.folders)

    def save_choice(on: Site, files: list[RenderedFile], images: ImageSet, model: str) -> None:
        facts = deployment.facts(on, images, model, folders)
        converge([ReleaseActive(deployment.releases, files, facts)], report)

    moved = move_work(
        MoveContext(site, origin.images, folders, save_choice, check_stack), to, report, replace_target=replace_target
    )
    deployment.release = deployment.releases.current()
    deployment.passed(replace(site, settings=settings.model_copy(update={"database": to})))
    return moved


def told(moved: Moved) -> str:
    """What was moved and what was kept, for people."""
    aside = f"; what {moved.to} held before is {moved.put_aside}" if moved.put_aside else ""
    return (
        f"{moved.rows} rows in {moved.tables} tables are in {moved.to} now; the old database is {moved.source}, "
        f"a safety copy {moved.safety_copy}{aside}"
    )
