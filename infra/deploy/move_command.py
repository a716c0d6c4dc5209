"""`./inv database.move`: the work of a stack moves to the other kind of database; on a host as a release."""

from __future__ import annotations

from dataclasses import replace

from core.errors import SettingsError
from core.operation import Operation, converge
from core.report import Report
from core.repository import REPOSITORY
from core.results import HostResult, recap
from hosts.local import LocalHost
from infra.config.settings import Settings
from infra.config.stack_settings import Database
from infra.database.command import MoveContext, move_work
from infra.database.here import check_stack, move_here
from infra.database.move import Moved
from infra.deploy.deployment import Deployment
from infra.fleet.choice import Choice, Outcome, fact_lines
from infra.fleet.on_hosts import THIS_MACHINE, on_hosts
from infra.fleet.parallel import exit_code_of
from infra.fleet.run import RunOptions
from infra.fleet.session import Session
from infra.fleet.target import own_images, refuse_alone, site_of_release
from infra.releases.store import ReleaseActive
from infra.roles.images.build import ImageSet
from infra.roles.images.role import resolve_images, shipped_images_role
from infra.roles.images.tags import DB, SERVICES
from infra.roles.stack.container_user import ContainerUserChosen
from infra.roles.stack.image_folders import read_folders
from infra.roles.stack.render import RenderedFile
from infra.roles.stack.secrets import SecretsMade
from infra.stack.kept_secrets import kept_secrets
from infra.stack.site import Site, with_backup
from infra.stack.unfinished import refuse_unfinished


def run_move(choice: Choice, options: RunOptions, to: Database, *, replace_target: bool) -> Outcome:
    """Move the work of each host's stack."""
    for host_settings in choice.select():
        if host_settings.database != to:
            raise SettingsError(
                f"{host_settings.name}: its `database` in the inventory is {host_settings.database}; "
                f"set it to {to} first, so that the next deploy goes on where the work is"
            )

    def work(one: Session) -> None:
        deployment = Deployment.of(one)
        refuse_alone(one.host_settings)
        try:
            moved = move_on_host(deployment, to, one.report, replace_target=replace_target)
        finally:
            one.release_id = deployment.release_id
        one.report.facts["moved"] = summary_of(moved)

    results = on_hosts(choice, options, work, lock=True, audit=True, parallel=1, first_alone=True)
    text = "\n".join([*fact_lines(results, "moved"), recap(results)])
    return Outcome(results, text, exit_code_of(results))


def move_on_this_machine(settings: Settings, to: Database, *, replace_target: bool) -> Outcome:
    """Move the work of this machine's stack; see `move_here`."""
    report = Report()
    summary = summary_of(move_here(settings, to, report, replace_target=replace_target))
    report.facts["moved"] = summary
    result = HostResult(THIS_MACHINE, report, None, 0, 0.0)
    return Outcome([result], f"{summary}\n\n{report.recap()}", 0, alone=True)


def move_on_host(deployment: Deployment, to: Database, report: Report, *, replace_target: bool) -> Moved:
    """Move the work of one host's stack. The lock is held.

    Raises:
        SettingsError: there is no stack, it works on that kind already, or it is of a version without the proxy.
        RolledBack, LabelrigError: see `infra.database.move.move_database`.
    """
    current = deployment.releases.current()
    if current is None or current.manifest is None or current.gate != "passed":
        raise SettingsError(f"{deployment.host.name}: there is no release that passed its gate; `./inv deploy` first")
    if current.manifest.database == to:
        raise SettingsError(f"{deployment.host.name}: the stack works on {to} already; nothing was changed")
    site = site_of_release(deployment.host, deployment.host_settings, current)
    if not site.proxy:
        raise SettingsError(
            f"{deployment.host.name}: the stack is of a version without the proxy; `./inv deploy` first"
        )
    refuse_unfinished(site)
    with report.stage("prepare"):
        wanted = site.settings.model_copy(update={"database": "postgres"})
        operations: list[Operation] = [
            SecretsMade(deployment.host, site.env_file, wanted, kept_secrets(site)),
            ContainerUserChosen(deployment.host, site.env_file, site.settings, site.files.env),
        ]
        converge(operations, report)
        own = own_images(deployment.host_settings)
        origin = resolve_images(
            LocalHost(), deployment.host, REPOSITORY, site.settings, report,
            way=deployment.host_settings.images, services=with_backup((DB, *SERVICES), site.settings), own=own,
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


def summary_of(moved: Moved) -> str:
    """What was moved and what was kept, for people."""
    aside = f"; what {moved.to} held before is {moved.put_aside}" if moved.put_aside else ""
    return (
        f"{moved.rows} rows in {moved.tables} tables are in {moved.to} now; the old database is {moved.source}, "
        f"a safety copy {moved.safety_copy}{aside}"
    )
