"""`./inv restore`: what it does on one machine, in order; `here.py` and `there.py` say how a stack is brought up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from core.errors import LabelrigError, SettingsError
from core.operation import Operation, converge
from core.report import Report
from infra.config.dotenv import parse_env_bytes, update_env_file
from infra.lifecycle.script import BackupScript
from infra.lifecycle.snapshot import (
    Snapshot,
    missing_images,
    old_secrets,
    refuse_later_version,
    refuse_other_kind,
    refuse_other_user,
)
from infra.lifecycle.switch import Aside, Switch, merged_settings
from infra.roles.backup.files import FOLDER, FOLDERS_BROUGHT
from infra.roles.backup.inside.request import BEFORE_RESTORE
from infra.roles.backup.role import backup_place, backup_role
from infra.roles.images.build import ImageSet
from infra.roles.images.tags import BACKUP, DB, LABEL_STUDIO, SERVICES
from infra.roles.stack.container_user import ContainerUserChosen
from infra.roles.stack.image_folders import ImageFolder, read_folders, render_folders, with_folders
from infra.stack.database_choice import database_of
from infra.stack.restoring import begun_restore
from infra.stack.site import Site, with_secrets
from infra.stack.upgrading import is_half_upgraded

LOOKING = "backup-look"  # the folder of the script that finds the backup
NOT_YET = "none"  # in place of an image that is decided when the backup is known


class Machine(Protocol):
    """The machine whose stack is restored: how it gets what the stages of `up` and `deploy` bring."""

    @property
    def site(self) -> Site:
        """The stack, as the settings say now; with the secrets that there are."""

    @property
    def snapshots_of(self) -> str:
        """The name of the stack in snapshots."""

    @property
    def throw_away(self) -> bool:
        """Whether it is gone afterwards: then nobody repairs what did not come up."""

    @property
    def keeps_choices(self) -> bool:
        """Whether its file with secrets also holds what was chosen about the stack."""

    def still_ours(self) -> None:
        """Raises: LockHeld: the lock of the machine was taken away from this run."""

    def prepare(self) -> None:
        """Preflight, and a Docker engine that runs."""

    def images(self, services: Sequence[str]) -> ImageSet:
        """Bring the images of some services there."""

    def choose(self, choices: Mapping[str, str]) -> None:
        """Take settings of the backup for this run, where the machine says nothing else."""

    def bring_up(self) -> None:
        """Bring the stack up on what is in place, and prove it with a click."""


@dataclass(frozen=True)
class RestoreRequest:
    """What a command line says.

    Attributes:
        snapshot: the beginning of an id; empty: the newest, or the one whose restore was cut off.
        confirm: asks a person; None: no question.
        keeps_present: the present state is backed up first.
    """

    snapshot: str = ""
    confirm: Callable[[str], None] | None = None
    keeps_present: bool = True


def restore(machine: Machine, request: RestoreRequest, report: Report) -> str:
    """Restore a backup; returns what a person needs to know.

    Raises:
        SettingsError, PreflightError: nothing was changed.
        LabelrigError: it failed; the text says whether anything was changed, and what serves.
    """
    site = machine.site
    refuse_without_password(site)
    machine.prepare()
    with report.stage("backup tool"):
        tool = machine.images((BACKUP,))
        converge([ContainerUserChosen(site.host, site.env_file, site.settings, site.files.env)], report)
        site = machine.site
    with report.stage("choose"):
        begun = begun_restore(site, request.snapshot)
        snapshot = choose(machine, request.snapshot or (begun.snapshot if begun is not None else ""), tool, report)
        machine.choose(snapshot.choices({}))
        site = machine.site
        refuse_other_kind(snapshot, site.settings.database, site.host.name, here=site.host.is_local)
        refuse_other_user(snapshot, site.settings.username, site.host.name)
        report.ok(snapshot.sentence(), [])
    with report.stage("images"):
        services = (*((DB,) if snapshot.kind == "postgres" else ()), *SERVICES, BACKUP)
        images = machine.images(services)
        site = with_restored(machine.site, snapshot)
        folders = known_folders(site, snapshot)
        for sentence in moved_folders(folders, snapshot):
            report.notice(sentence)
        refuse_later_version(snapshot, site.host, images.tags[LABEL_STUDIO], site.settings.uid or 0)
    for sentence in [
        *missing_images(snapshot, site.host),
        *old_secrets(snapshot, present_settings(site), site.host_option),
    ]:
        report.notice(sentence)
    if request.confirm is not None:
        request.confirm(question(site, snapshot))
    script = write_script(machine, site, images.tags, folders, report)
    before = begun.before if begun is not None else ""
    if is_half_upgraded(site):
        report.notice("an upgrade was cut off, and what it left is not backed up; the data of before it are kept")
    elif request.keeps_present and begun is None and _has_stack(site):
        with report.stage("backup of the present state"):
            before = str(script.run("run", BEFORE_RESTORE)["snapshot"])
            report.ok(f"the present state is backup {before}", [f"made the backup {before}"])
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    switch = Switch(site, images, script, snapshot, report, stamp, machine.still_ours)
    with report.stage("restore"):
        switch.beside()
        aside = switch.exchange(before, lambda: write_settings(machine, site, snapshot, folders))
    try:
        machine.bring_up()
    except LabelrigError as error:
        if machine.throw_away:
            raise
        again = "./inv up" if site.host.is_local else f"./inv deploy{site.host_option}"
        way_back = f"; `{_restore_of(before, site)}` brings back the state before" if before else ""
        raise LabelrigError(
            f"{error}\nThe backup {snapshot.id} is in place and whole, and the stack did not come up on it: repair "
            f"what is named above, then `{again}`{way_back}"
        ) from None
    report.facts["restored"] = {"snapshot": snapshot.id, "before": before, "manifest": dict(snapshot.manifest)}
    return _ending(site, snapshot, aside, before)


def refuse_without_password(site: Site) -> None:
    """Raises: SettingsError: no repository or no password is known: a new password would open nothing."""
    settings, name = site.settings, site.host.name
    where = ".env" if site.host.is_local else "infra/inventory.yaml"
    if settings.backup_repository is None:
        raise SettingsError(f"{name}: `backup_repository` in {where} does not say where the backups are")
    if settings.backup_password is None and settings.backup_password_file is None:
        raise SettingsError(
            f"{name}: the password of the backups is not known; put it into a file and name that file in {where} "
            "(`backup_password_file`, LABELRIG_BACKUP_PASSWORD_FILE)"
        )


def choose(machine: Machine, wanted: str, tool: ImageSet, report: Report) -> Snapshot:
    """The backup that is meant, by a script of its own: until a person has agreed, that of the stack stays as it is.

    Raises:
        LabelrigError: there is no such backup, or the repository cannot be read.
    """
    site = machine.site
    script = write_script(machine, site, {**tool.tags, LABEL_STUDIO: NOT_YET}, [], report, LOOKING)
    try:
        snapshot = Snapshot.of(script.run("show", *([wanted] if wanted else [])))
    finally:
        site.host.run("rm", "-rf", script.folder, as_root=not site.host.is_local)
    if snapshot.machine:
        report.notice(f"the backup {snapshot.id} is not of {site.host.name}: the machine {snapshot.machine} made it")
    return snapshot


def write_script(
    machine: Machine,
    site: Site,
    images: Mapping[str, str],
    folders: Sequence[ImageFolder],
    report: Report,
    name: str = FOLDER,
) -> BackupScript:
    """Write the files of the backup beside the stack, or where it will be; the timer comes with the stack.

    Args:
        name: of their folder.
    """
    where = {"state": site.state, "stack": site.stack_folder, "secrets": site.env_file}
    place = backup_place(site.host, **where, project=machine.snapshots_of, name=name)
    first, *_ = backup_role(site.host, place, site.settings, images, folders, report)
    files: list[Operation] = [first]
    converge(files, report)
    return BackupScript(site.host, site.state, report, name)


def present_settings(site: Site) -> dict[str, str]:
    """The lines of the machine's file with settings and secrets."""
    content = site.host.read(site.env_file, as_root=not site.host.is_local)
    return {} if content is None else parse_env_bytes(content, site.env_file)


def with_restored(site: Site, snapshot: Snapshot) -> Site:
    """The stack with the secrets that it will have."""
    return replace(site, settings=with_secrets(site.settings, snapshot.secrets(present_settings(site))))


def known_folders(site: Site, snapshot: Snapshot) -> list[ImageFolder]:
    """The folders that are connected here, and those of the backup."""
    return with_folders(read_folders(site.host, site.files.folders), snapshot.folders())


def moved_folders(folders: Sequence[ImageFolder], snapshot: Snapshot) -> list[str]:
    """The folders of the backup whose name leads elsewhere here, a sentence a folder."""
    paths = {one.name: one.path for one in folders}
    return [
        f"the image folder {one.name} was {one.path}, and is {paths[one.name]} here: the tasks of the backup show the "
        "images of the latter"
        for one in snapshot.folders()
        if paths[one.name] != one.path
    ]


def write_settings(machine: Machine, site: Site, snapshot: Snapshot, folders: Sequence[ImageFolder]) -> None:
    """Make the secrets and choices of the backup the machine's, and remember its image folders."""
    if lines := merged_settings(snapshot, present_settings(site), choices=machine.keeps_choices):
        update_env_file(site.host, site.env_file, lines)
    site.host.write(f"{site.state}/{FOLDERS_BROUGHT}", render_folders(folders), as_root=not site.host.is_local)


def question(site: Site, snapshot: Snapshot) -> str:
    """What a person agrees to."""
    if not _has_stack(site):
        project = site.settings.project
        return f"On {site.host.name} there is no stack {project} yet. This makes it from {snapshot.sentence()}."
    return (
        f"This replaces every project, annotation and account of the stack {site.settings.project} on {site.host.name} "
        f"by {snapshot.sentence()}. Label Studio is down meanwhile; what was there stays, put aside."
    )


def _has_stack(site: Site) -> bool:
    return database_of(site) is not None


def _restore_of(backup: str, site: Site) -> str:
    return f"./inv restore {backup}{site.host_option}"


def _ending(site: Site, snapshot: Snapshot, aside: Aside, before: str) -> str:
    kept = [words for words in (aside.database, aside.media) if words]
    lines = [f"restored: {snapshot.sentence()}"]
    lines += [f"the state before: `{_restore_of(before, site)}`"] if before else []
    lines += [f"put aside, delete it when you need the room: {', '.join(kept)}"] if kept else []
    return "\n".join(lines)
