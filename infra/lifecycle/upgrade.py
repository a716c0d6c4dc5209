"""`./inv upgrade`: a new version on the data, or, where it fails its gate, the old version with the old data.

A deploy puts the old release back as well, and leaves it the data that the new one has migrated. Here the data are set
aside while nothing writes, and people see the maintenance page until the gate has passed, so that nothing that they
saved is lost by going back. `Upgrading` says how far it came; a run that was killed is repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from core.errors import ConnectFailed, ConnectionLost, LabelrigError, RolledBack, SettingsError
from core.report import Report
from core.text import shortened
from infra.database.containers import DB
from infra.lifecycle.old_data import STOP_TIMEOUT, OldData
from infra.lifecycle.restore import Machine
from infra.lifecycle.script import script_of
from infra.lifecycle.upgrade_changes import Changes, changes_of, old_data_of, refuse_without_room
from infra.lifecycle.upgraded import STAMP, Upgraded, read_upgraded, write_upgraded
from infra.roles.backup.inside.request import BEFORE_UPGRADE
from infra.roles.images.build import ImageSet
from infra.stack.maintenance import MaintenancePass, begin_maintenance, end_maintenance, new_pass
from infra.stack.restoring import refuse_half_restored
from infra.stack.site import Site
from infra.stack.upgrading import Upgrading, read_upgrading, remove_upgrading, write_upgrading


class UpgradedMachine(Machine, Protocol):
    """The machine whose stack is upgraded."""

    def use_pass(self, passing: MaintenancePass) -> None:
        """Get through to Label Studio while people see the maintenance page."""

    def keep_version(self) -> str:
        """Make sure that what serves now can serve again. Returns its name, where it has one.

        Raises:
            LabelrigError: it cannot. Nothing was changed.
        """

    def version_back(self, name: str) -> None:
        """Let that version serve again, on what is in place, and see that it answers.

        Raises:
            LabelrigError: it does not.
        """

    def forget_version(self) -> None:
        """Keep it no longer than other old versions."""


@dataclass(frozen=True)
class UpgradeRequest:
    """What a command line says.

    Attributes:
        confirm: asks a person; None: no question.
        backs_up: the state before is backed up into the repository first.
    """

    confirm: Callable[[str], None] | None = None
    backs_up: bool = True


def upgrade(machine: UpgradedMachine, request: UpgradeRequest, report: Report) -> str:
    """Upgrade a stack; returns what a person needs to know.

    Raises:
        SettingsError, PreflightError: nothing was changed.
        RolledBack: the new version failed; the old one serves again with the data of before.
        LabelrigError: it failed; the text says what serves.
    """
    site = machine.site
    site.refuse_missing()
    refuse_half_restored(site)
    begun = read_upgrading(site)
    if begun is not None and begun.phase == "back":
        raise _back(machine, begun, report)
    if begun is not None and begun.phase == "served":
        return _done(machine, begun, old_data_of(site, begun.stamp, begun.postgres, report), report)
    if begun is None and request.backs_up:
        _refuse_without_repository(site)
    machine.prepare()
    with report.stage("images"):
        images = machine.images(site.image_services)
        report.ok("the images of the new version are there", [])
    changes = None
    if begun is None:
        changes = _show(machine, images, report)
        if not changes.any:
            return f"{site.host.name}: nothing to upgrade: {changes.lines()[0]}"
        if request.confirm is not None:
            request.confirm(question(site, changes))
        begun = _begun(machine, changes, request, report)
    went = _forward(machine, images, begun, report)
    report.facts["upgraded"] = {"backup": begun.backup, **(changes.facts() if changes is not None else {})}
    return went


def question(site: Site, changes: Changes) -> str:
    """What a person agrees to."""
    lines = "\n".join(f"  - {line}" for line in changes.lines())
    return (
        f"This upgrades the stack {site.settings.project} on {site.host.name}:\n{lines}\n"
        "People see a maintenance page meanwhile. Where the new version fails its gate, the old one serves again with "
        "the data of before."
    )


def _refuse_without_repository(site: Site) -> None:
    if site.settings.backup_repository is None:
        where = "LABELRIG_BACKUP_REPOSITORY in .env" if site.host.is_local else "`backup_repository` in the inventory"
        raise SettingsError(
            f"{site.host.name}: an upgrade begins with a backup, and {where} does not say where to (docs/backup.md); "
            "--without-backup relies on the copy of the database that is kept beside it; nothing was changed"
        )


def _show(machine: UpgradedMachine, images: ImageSet, report: Report) -> Changes:
    with report.stage("compare"):
        changes = changes_of(machine.site, images, report)
        report.ok("; ".join(changes.lines()), [])
        if changes.any:
            old = old_data_of(machine.site, "", changes.postgres, report)
            refuse_without_room(old, machine.site.host.name)
    return changes


def _begun(machine: UpgradedMachine, changes: Changes, request: UpgradeRequest, report: Report) -> Upgrading:
    site, backup = machine.site, ""
    if request.backs_up:
        with report.stage("backup of the present state"):
            backup = str(script_of(site, report).run("run", BEFORE_UPGRADE)["snapshot"])
            report.ok(f"the present state is backup {backup}", [f"made the backup {backup}"])
    machine.still_ours()
    stamp = datetime.now(UTC).strftime(STAMP)
    mark = Upgrading(stamp, "keeping", machine.keep_version(), backup, new_pass(), changes.postgres)
    write_upgrading(site, mark)
    return mark


def _forward(machine: UpgradedMachine, images: ImageSet, mark: Upgrading, report: Report) -> str:
    passing = MaintenancePass(mark.passing)
    machine.use_pass(passing)
    old = old_data_of(machine.site, mark.stamp, mark.postgres, report, images)
    try:
        if mark.phase == "keeping":
            with report.stage("old data"):
                begin_maintenance(machine.site, passing)
                _stop(machine.site, report)
                old.keep()
                report.ok("the data of before are kept", [f"kept the data of before: {old.place}"])
            mark = replace(mark, phase="forward")
            write_upgrading(machine.site, mark)
        machine.bring_up()
    except (ConnectFailed, ConnectionLost):
        raise  # no one is there to report to; the mark says how to go on
    except LabelrigError as error:
        mark = replace(mark, phase="back", cause=shortened(str(error)))
        write_upgrading(machine.site, mark)
        raise _back(machine, mark, report, error) from None
    return _done(machine, mark, old, report)


def _done(machine: UpgradedMachine, mark: Upgrading, old: OldData, report: Report) -> str:
    site = machine.site
    with report.stage("end"):
        # From here on people save: a repetition must not go back to the data of before.
        write_upgrading(site, replace(mark, phase="served"))
        end_maintenance(site)
        kept = [one for one in read_upgraded(site) if one.stamp != mark.stamp]
        write_upgraded(site, [*kept, Upgraded(mark.stamp, mark.postgres, mark.backup)])
        remove_upgrading(site)
        machine.forget_version()
        report.ok("people work on the new version", ["ended the maintenance"])
    restore = f"`./inv restore {mark.backup}{site.host_option}`"
    way_back = f"; {restore} with the old labelrig is the way back" if mark.backup else ""
    return (
        f"upgraded. The data of before are {old.place}, until a backup was verified and `./inv prune` was run{way_back}"
    )


def _back(
    machine: UpgradedMachine, mark: Upgrading, report: Report, error: LabelrigError | None = None
) -> LabelrigError:
    """Put the old data and the old version back. Returns the error to end with."""
    cause = str(error) if error is not None else f"the upgrade had failed: {mark.cause}"
    site = machine.site
    with report.stage("back"):
        report.changing("put the old version and the data of before back")
        try:
            machine.use_pass(MaintenancePass(mark.passing))
            _stop(site, report)
            old_data_of(site, mark.stamp, mark.postgres, report).put_back()
            end_maintenance(site)
            machine.version_back(mark.previous)
        except LabelrigError as second:
            again = f"./inv upgrade{site.host_option}"
            return LabelrigError(
                f"{cause}\nThe old version could not be put back: {second}\n"
                f"Nothing is lost; repair what is named above, then `{again}` goes on putting it back."
            )
        remove_upgrading(machine.site)
        report.ok("the old version serves with the data of before", ["put the old version and its data back"])
    return RolledBack(f"{cause}\nThe upgrade failed; the old version serves again with the data of before.")


def _stop(site: Site, report: Report) -> None:
    """Remove the containers that use the data; the proxy stays, and shows the page."""
    services = [one for one in site.services if one not in (DB, "proxy")]
    report.changing("stop Label Studio and SAM2")
    site.compose.run("rm", "--stop", "--force", *services, timeout=STOP_TIMEOUT, on_line=report.progress)
