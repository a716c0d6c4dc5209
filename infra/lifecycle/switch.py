"""The data of a backup beside those of a stack, compared, and then in their place: only renames stand between the two.

The mark in the stack's folder stands from before the first rename until after the last. A run that is killed in between
leaves nothing that serves, and the next restore begins anew: whatever it finds in a place it puts aside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from core.errors import ConnectFailed, ConnectionLost, LabelrigError
from core.report import Report
from infra.database.containers import DB, Containers
from infra.database.sides import PostgresSide
from infra.lifecycle.database_server import separate_server
from infra.lifecycle.script import BackupScript
from infra.lifecycle.snapshot import Snapshot, counts, different_tables
from infra.roles.images.build import ImageSet
from infra.stack.maintenance import end_maintenance
from infra.stack.restoring import Restoring, remove_restoring
from infra.stack.site import Site
from infra.stack.upgrading import is_half_upgraded, remove_upgrading

STOP_TIMEOUT = 240.0
DUMP = "/staging/fetched/staging/database"


@dataclass(frozen=True)
class Aside:
    """What was in the places before, in words; empty where nothing was."""

    database: str
    media: str


@dataclass(frozen=True)
class Switch:
    """One backup on its way into one stack.

    Attributes:
        site: the stack, with the secrets that it will have.
        images: with those of the backup, and of the database server where it has one.
        script: of the stack's backup.
        snapshot: the backup.
        report: gets what happens.
        stamp: the moment, for the names of what is put aside.
        still_ours: raises where another run has taken the machine's lock.
    """

    site: Site
    images: ImageSet
    script: BackupScript
    snapshot: Snapshot
    report: Report
    stamp: str
    still_ours: Callable[[], None]

    def beside(self) -> None:
        """Bring everything beside its place, and compare it with the manifest, file by file and table by table.

        Raises:
            LabelrigError: it is not what the manifest says. What serves was not touched, and what was fetched is gone.
        """
        with ExitStack() as failing:
            failing.push(_on_failure(self._drop))
            self._beside(failing)

    def _beside(self, failing: ExitStack) -> None:
        """See `beside`; what is pushed on `failing` is done where it fails."""
        self.report.changing(f"fetch the backup {self.snapshot.id} and compare each file")
        self.script.run("fetch", self.snapshot.id)
        if self.snapshot.kind == "sqlite":
            place = str(self.script.run("beside")["place"])
        else:
            self.report.changing("load the dump into an empty database beside the one in use")
            side = PostgresSide(self._containers())
            failing.push(_on_failure(side.drop_room))
            place = side.make_room()
            self.script.run("dump", "load", f"{DUMP}/{self.snapshot.manifest['database']['file']}", place)
        self.report.changing("compare each table")
        found = self.script.run("dump", "look", place)["tables"]
        if problems := different_tables(self.snapshot.tables, found):
            raise LabelrigError(
                f"{self.site.host.name}: the restored database is not the one of the backup: {counts(problems)}; "
                "what serves was not touched"
            )
        rows, tables = sum(map(self.snapshot.rows, self.snapshot.tables)), len(self.snapshot.tables)
        self.report.ok(f"{rows} rows in {tables} tables, and every file, are those of the backup", [])

    def exchange(self, before: str, write_settings: Callable[[], None]) -> Aside:
        """Stop what serves and put everything into its place.

        Args:
            before: the backup of the state before.
            write_settings: writes the secrets and choices of the backup where the machine keeps its own.

        Raises:
            LockHeld: another run works on the stack. What serves was not touched.
            LabelrigError: it failed in the middle; says that the stack is stopped, and what finishes it.
        """
        self.still_ours()
        mark = Restoring(self.snapshot.id, before, self.stamp)
        self.script.run("mark", mark.text())  # under the lock of backups: none is on its way, and none begins
        try:
            return self._exchange(write_settings)
        except LabelrigError as error:
            text = (
                f"{error}\nThe stack is stopped, and the backup {mark.snapshot} is partly in place; nothing is lost. "
                f"`./inv restore{self.site.host_option}` again finishes it"
            )
            kind = type(error) if isinstance(error, ConnectFailed | ConnectionLost) else LabelrigError
            raise kind(text) from error

    def _exchange(self, write_settings: Callable[[], None]) -> Aside:
        self.report.changing("stop the containers that use the data")
        self._stop()
        if self.snapshot.kind == "sqlite":
            database = str(self.script.run("dump", "adopt", self.stamp)["aside"])
        else:
            side = PostgresSide(self._containers())
            database = side.adopt(self.stamp) or ""
            side.mark(spare=False)
        media = str(self.script.run("adopt", self.stamp)["aside"])
        write_settings()
        if is_half_upgraded(self.site):  # what it was about is gone
            end_maintenance(self.site)
            remove_upgrading(self.site)
        try:
            self._drop()
        except (ConnectFailed, ConnectionLost):
            raise
        except LabelrigError as error:
            self.report.notice(f"what was fetched stays until the next restore: {error}")
        remove_restoring(self.site)
        self.report.ok("everything is in its place", [f"put the backup {self.snapshot.id} in place"])
        return Aside(database, media)

    def _drop(self) -> None:
        """Remove what was brought beside."""
        self.script.run("drop")

    def _stop(self) -> None:
        """Remove every container but the database server's: none of them comes back by itself, also not at a reboot."""
        site = self.site
        if site.host.read(site.files.env, as_root=not site.host.is_local) is None:
            return
        services = [one for one in site.services if one != DB]
        site.compose.run("rm", "--stop", "--force", *services, timeout=STOP_TIMEOUT, on_line=self.report.progress)

    def _containers(self) -> Containers:
        """The database server of the stack, running: the one that is there, else one on files of its own."""
        site = self.site
        if site.host.read(site.files.env, as_root=not site.host.is_local) is None:
            return separate_server(site, self.images, self.report)
        containers = Containers(site.host, site.compose, site.settings.project)
        containers.start_db(self.report)
        return containers


def _on_failure(body: Callable[[], object]) -> Callable[[object, BaseException | None, object], bool]:
    """For an `ExitStack`: do something where its body fails. Not over a lost connection: the next restore does it."""

    def leave(_kind: object, error: BaseException | None, _trace: object) -> bool:
        if error is not None and not isinstance(error, ConnectFailed | ConnectionLost):
            with suppress(LabelrigError):
                body()
        return False

    return leave


def merged_settings(snapshot: Snapshot, present: Mapping[str, str], *, choices: bool) -> dict[str, str]:
    """The lines that a machine's file with secrets gets from a backup.

    Args:
        present: those that it has.
        choices: the file also holds what was chosen about the stack.
    """
    found = {**(snapshot.choices(present) if choices else {}), **snapshot.secrets(present)}
    return {name: value for name, value in found.items() if present.get(name) != value}
