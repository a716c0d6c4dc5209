"""Moving Label Studio's work from SQLite to PostgreSQL and back, on a stack that runs.

Label Studio is stopped, a safety copy is made, everything is copied beside the target's place and compared, and only
then the stack is switched over and must pass its gate; else it goes back. The source is not written to, and nothing
is ever deleted: see `sides`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from core.errors import LabelrigError, RolledBack
from core.report import Report
from hosts.base import Host
from infra.database.containers import Containers
from infra.database.sides import Kind, Side, refuse_unless_free, sides
from infra.database.transfer import MARK, REFUSED
from infra.roles.docker.compose import Compose
from labelstudio.program import program
from labelstudio.session import OWN_PYTHON

TRANSFER_TIMEOUT = 4 * 3600.0


class Done(NamedTuple):
    """What was copied and reads back the same: tables that have rows, and rows."""

    tables: int
    rows: int


@dataclass(frozen=True)
class Moved:
    """What a move did.

    Attributes:
        to: the kind of database in use now.
        safety_copy: where the copy of the source is, in words.
        source: where the source is, in words; it is as it was.
        put_aside: where what the target held before is now, in words; None where it held nothing.
        tables: how many tables had rows.
        rows: how many rows were copied, and read back the same.
    """

    to: Kind
    safety_copy: str
    source: str
    put_aside: str | None
    tables: int
    rows: int


def move_database(
    host: Host,
    compose: Compose,
    project: str,
    to: Kind,
    report: Report,
    *,
    switch: Callable[[Kind], None],
    gate: Callable[[], None],
    replace: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Moved:
    """Move everything to the other kind of database.

    Args:
        host: the machine of the stack.
        compose: compose with the files of the stack *and* `postgres.yaml`, whichever way it goes: while the work moves
            both databases are needed.
        project: the compose project.
        to: the target database. The caller has checked that it is not there.
        report: gets what happens.
        switch: has the stack work on a kind of database: first writes the choice down where the next run reads it, so
            that a run that is killed after it goes on with the same database; then renders, starts, and waits until
            healthy. Called once with `to`, and with the other kind to go back.
        gate: raises a LabelrigError when the stack does not do its work after the switch.
        replace: put work aside that the target holds already.
        now: the time, for the names of what is kept.

    Raises:
        RolledBack: the stack did not start or pass its gate on the target, and runs on the source again.
        LabelrigError: the work could not be copied, and the stack runs on the source as before; or it does not run.
    """
    containers = Containers(host, compose, project)
    source, target = sides(containers, to)
    stamp = now().strftime("%Y%m%dT%H%M%SZ")
    with report.stage("look at both databases"):
        containers.end_left_over()
        containers.start_db(report)
        work = source.work()
        if work is None:
            raise LabelrigError(f"{source.title} holds no tables of Label Studio: there is nothing to move")
        refuse_unless_free(target, replace=replace)
        report.ok(f"{work.projects} projects and {work.tasks} tasks in {source.title}", [])
    with report.stage("copy"), _back_to(source, switch, report):
        report.changing("stop Label Studio")
        containers.stop_label_studio()
        source.mark(spare=False)
        report.changing(f"make a safety copy of {source.title}")
        safety_copy = source.safety_copy(stamp)
        report.changing(f"copy everything to {target.title} and compare")
        room = target.make_room()
        done = _transfer(containers, source, target, room, report)
        report.ok(f"{done.rows} rows in {done.tables} tables are the same in {target.title}", ["copied"])
    put_aside: str | None = None
    with report.stage("switch"):
        try:
            put_aside = target.adopt(stamp)
            source.mark(spare=True)
            switch(to)
            gate()
        except BaseException as error:
            _go_back(source, switch, report, error)
            source.mark(spare=False)
            if not isinstance(error, LabelrigError):
                raise
            raise RolledBack(
                f"Label Studio did not do its work on {target.title}, and runs on {source.title} again, as before: "
                f"{error}"
            ) from error
        target.mark(spare=False)
        report.ok(f"Label Studio works on {target.title}", [f"switched to {target.title}"])
    return Moved(
        to=to,
        safety_copy=safety_copy,
        source=f"{source.place} ({source.title})",
        put_aside=put_aside,
        tables=done.tables,
        rows=done.rows,
    )


@contextlib.contextmanager
def _back_to(source: Side, switch: Callable[[Kind], None], report: Report) -> Iterator[None]:
    """Have the stack run on the source again when the work inside does not succeed."""
    try:
        yield
    except BaseException as error:
        _go_back(source, switch, report, error)
        raise


def _go_back(source: Side, switch: Callable[[Kind], None], report: Report, error: BaseException) -> None:
    report.changing(f"start Label Studio on {source.title} again")
    try:
        switch(source.kind)
    except LabelrigError as second:
        raise LabelrigError(
            f"{error}\n  and Label Studio does not start on {source.title} again: {second}\n"
            f"  Nothing is lost: everything is in {source.place} ({source.title}). "
            "Repair what is named above and start the stack again"
        ) from error


def _transfer(containers: Containers, source: Side, target: Side, room: str, report: Report) -> Done:
    result = containers.in_label_studio(
        *OWN_PYTHON,
        ok=(0, REFUSED),
        timeout=TRANSFER_TIMEOUT,
        stdin=program(["comparing", "transfer"], source.kind, source.place, target.kind, room),
        on_line=lambda line: report.progress(_for_people(line)),
    )
    said: dict[str, Any] = {}
    for line in result.stdout.splitlines():
        if line.startswith(MARK):
            said |= json.loads(line.removeprefix(MARK))
    if "problem" in said:
        raise LabelrigError(f"the work was not copied to {target.title}: {said['problem']}")
    if "tables" not in said or "rows" not in said:
        raise LabelrigError(f"the copy to {target.title} ended without its counts; nothing was switched")
    return Done(int(said["tables"]), int(said["rows"]))


def _for_people(line: str) -> str:
    if not line.startswith(MARK):
        return line
    facts = json.loads(line.removeprefix(MARK))
    return f"copied {facts['done']} of {facts['of']} rows of {facts['table']}" if "done" in facts else ""
