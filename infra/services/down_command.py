"""`./inv down`: stop stacks and keep everything; with `--purge` remove all that is theirs, after a question."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from core.operation import converge
from core.results import HostResult, recap
from infra.config.value_types import NO_SCHEDULE
from infra.deploy.prune import remove_unneeded_images
from infra.fleet.choice import Choice, Outcome
from infra.fleet.on_hosts import on_hosts, on_this_machine
from infra.fleet.parallel import exit_code_of
from infra.fleet.run import RunOptions
from infra.fleet.session import Session
from infra.fleet.target import demo_folder
from infra.lifecycle.database_server import FOLDER as RESTORE_FOLDER
from infra.lifecycle.drill_remains import STATE as DRILL_FOLDER
from infra.lifecycle.drill_remains import DrillRemains
from infra.lifecycle.restore import LOOKING
from infra.lifecycle.upgraded import FILE as UPGRADED
from infra.releases.scripts import run_script
from infra.roles.backup.files import FOLDER as BACKUP_FOLDER
from infra.roles.backup.files import FOLDERS_BROUGHT, RESTORING, UPGRADING
from infra.roles.backup.timer import BackupTimer
from infra.roles.images.remove import remove_images
from infra.roles.notes.role import FILE as NOTES
from infra.roles.project.group_hosts import MARK as OUT_OF_SERVICE
from infra.roles.stack.secrets import ROTATION
from infra.stack.down import belongings, take_down
from infra.stack.site import SECRETS_FILE
from labelstudio.password_record import NAME as PASSWORD_RECORD

# What a deploy, a move of the database and a rotation of secrets leave in a stack's folder on a host. The audit log
# stays there, and what labelrig did not put there.
IN_BASE = (
    *("current", "releases", SECRETS_FILE, PASSWORD_RECORD, NOTES, "move"),
    *(BACKUP_FOLDER, RESTORING, UPGRADING, UPGRADED, RESTORE_FOLDER, LOOKING, FOLDERS_BROUGHT, DRILL_FOLDER),
    *("volumes.yaml", "volumes.env", "fetch.yaml", "fetch.env"),
    *(ROTATION, OUT_OF_SERVICE),
)
PURGE_TIMEOUT = 300.0

Ask = Callable[[str, str | None], None]  # what is said; the word to type, None where `yes` will do


def run_down(choice: Choice, options: RunOptions, *, purge: bool, ask: Ask | None) -> Outcome:
    """Stop each stack; with `purge` remove it.

    Args:
        purge: remove the volumes, the images that nothing else needs, and the stack's files. There is no way back.
        ask: asks a person, and raises where the answer is no; None asks nothing.
    """
    if ask is not None and (purge or choice.names_hosts):
        looked = _on_each(choice, options, look if purge else _nothing)
        if exit_code := exit_code_of(looked):
            return Outcome(looked, recap(looked), exit_code)
        ask(*_question(looked, purge=purge))
    done = _on_each(choice, options, lambda one: down(one, purge=purge), changes=True)
    if not choice.names_hosts:
        return Outcome(done, done[0].report.recap(), 0, alone=True)
    return Outcome(done, recap(done), exit_code_of(done))


def down(one: Session, *, purge: bool) -> None:
    """Stop one stack; with `purge` remove it.

    Raises:
        LabelrigError: the engine does not answer, or refuses.
    """
    with one.report.stage("down"):
        site = one.site_to_diagnose()
        take_down(site, one.report, volumes=purge)
        if not purge:
            return
        drill = DrillRemains(site)
        if drill.are_there():
            drill.remove()
            one.report.ok("drill removed", [f"removed what a drill left: {drill.project}"])
        if one.host.is_local:
            one.report.ok("images removed", _removed(remove_images(one.host, one.site.settings.project)))
            if Path(one.site.state).exists():
                shutil.rmtree(one.site.state)
                one.report.ok("state folder removed", [f"removed {one.site.state}"])
            return
        timer = BackupTimer(one.host, one.site.settings.project, "", NO_SCHEDULE)
        converge([timer], one.report)
        _remove_files(one)
        one.report.ok("images removed", _removed(remove_unneeded_images(one.host, one.host_settings.root)))


def look(one: Session) -> None:
    """Note what a purge would remove, in the facts of the report."""
    site = one.site_to_diagnose()
    found = belongings(site)
    lines = [
        f"  {len(found.containers)} containers, and these volumes:",
        *(f"    {one}" for one in found.volume_lines()),
    ]
    if (drill := DrillRemains(site)).are_there():
        lines.append(f"  what a drill left that was cut off, or goes on: {drill.project}")
    lines.append("  the images that nothing else needs, and the stack's files in " + site.state)
    if site.settings.backup_password is not None and not one.host.is_local:
        lines.append("  the password of its backups (LABELRIG_BACKUP_PASSWORD): without a copy they cannot be read")
    one.report.facts |= {"project": site.settings.project, "lines": lines}


def _nothing(one: Session) -> None:
    one.report.facts |= {"project": one.site_to_diagnose().settings.project, "lines": []}


def _question(looked: Sequence[HostResult], *, purge: bool) -> tuple[str, str | None]:
    """What is asked, and the word to type."""
    stacks = [f"`{one.report.facts['project']}` on {one.host}" for one in looked]
    if not purge:
        stops = f"This stops {', '.join(stacks)} for everybody."
        return f"{stops} Nothing is removed; `./inv restart` starts it again.", None
    lines: list[str] = []
    for stack, one in zip(stacks, looked, strict=True):
        found = one.report.facts["lines"]
        assert isinstance(found, list)  # noqa: S101 - written above
        lines += [f"This removes {stack} with every project, annotation and account in it, for good:", *found]
    names = dict.fromkeys(str(one.report.facts["project"]) for one in looked)
    return "\n".join([*lines, "Folders with images of your own are not touched."]), " ".join(names)


def _on_each(
    choice: Choice, options: RunOptions, work: Callable[[Session], None], *, changes: bool = False
) -> list[HostResult]:
    if choice.names_hosts:
        return on_hosts(choice, options, work, lock=changes, audit=changes)
    return [on_this_machine(options, work)]


def _remove_files(one: Session) -> None:
    demo = str(Path(demo_folder(one.host_settings)).parent)
    done = run_script(one.host, "purge", one.base, demo, *IN_BASE, timeout=PURGE_TIMEOUT)
    one.report.ok("files removed", _removed(done.stdout.splitlines()))


def _removed(names: Sequence[str]) -> list[str]:
    return [f"removed {name}" for name in names]
