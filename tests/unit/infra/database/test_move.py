"""The order of a move, and what is done when something in it fails: on fakes of the two databases."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from core.errors import CommandFailed, LabelrigError, RolledBack
from core.report import Report
from hosts.base import Result
from infra.database import move as move_module
from infra.database.move import Moved, move_database
from infra.database.sides import Kind, PostgresSide, Side, SqliteSide, Work, refuse_unless_free, sides
from infra.roles.docker.compose import Compose
from tests.fakes import FakeHost

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
COPIED = 'labelrig-move {"tables": 3, "rows": 17, "digest": "d"}\n'


@dataclass
class FakeSide:
    """A database in memory that writes down what is done to it."""

    kind: Kind
    log: list[str]
    holds: Work | None
    title: str = ""
    place: str = "its place"

    def __post_init__(self) -> None:
        self.title = {"sqlite": "SQLite", "postgres": "PostgreSQL"}[self.kind]

    def work(self) -> Work | None:
        return self.holds

    def mark(self, spare: bool) -> None:
        self.log.append(f"{self.kind} {'spare' if spare else 'in use'}")

    def safety_copy(self, stamp: str) -> str:
        self.log.append(f"copy of {self.kind}")
        return f"the copy of {stamp}"

    def make_room(self) -> str:
        self.log.append(f"room in {self.kind}")
        return "room"

    def adopt(self, stamp: str) -> str | None:
        self.log.append(f"adopt in {self.kind}")
        return f"before {stamp}" if self.holds is not None else None


@dataclass
class FakeContainers:
    """Containers that only write down what they are asked for; a transfer answers `transfer`."""

    log: list[str]
    transfer: Result | Exception = field(default_factory=lambda: Result((), 0, COPIED, ""))

    def end_left_over(self) -> None:
        self.log.append("end left over")

    def start_db(self, _report: Report) -> None:
        self.log.append("start db")

    def stop_label_studio(self) -> None:
        self.log.append("stop")

    def in_label_studio(self, *_argv: str, on_line: Callable[[str], None], **_options: object) -> Result:
        self.log.append("transfer")
        if isinstance(self.transfer, Exception):
            raise self.transfer
        for line in self.transfer.stdout.splitlines():
            on_line(line)
        return self.transfer


@dataclass
class Bench:
    """A move from SQLite to PostgreSQL with everything around it faked."""

    monkeypatch: pytest.MonkeyPatch
    log: list[str] = field(default_factory=list)
    source: Work | None = field(default_factory=lambda: Work(1, 2, spare=False))
    target: Work | None = None
    transfer: Result | Exception | None = None
    gate_error: BaseException | None = None
    switch_errors: dict[Kind, Exception] = field(default_factory=dict)

    def run(self, *, replace: bool = False) -> Moved:
        containers = FakeContainers(self.log)
        if self.transfer is not None:
            containers.transfer = self.transfer
        pair: tuple[Side, Side] = (
            FakeSide("sqlite", self.log, self.source),
            FakeSide("postgres", self.log, self.target),
        )
        self.monkeypatch.setattr(move_module, "Containers", lambda *_args: containers)
        self.monkeypatch.setattr(move_module, "sides", lambda *_args: pair)
        return move_database(
            FakeHost(),
            Compose(FakeHost(), "rig", [], ""),
            "rig",
            "postgres",
            Report(io.StringIO()),
            switch=self.switch,
            gate=self.gate,
            replace=replace,
            now=lambda: NOW,
        )

    def switch(self, kind: Kind) -> None:
        self.log.append(f"switch to {kind}")
        if kind in self.switch_errors:
            raise self.switch_errors[kind]

    def gate(self) -> None:
        self.log.append("gate")
        if self.gate_error is not None:
            raise self.gate_error


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


COPYING = [
    "end left over",
    "start db",
    "stop",
    "sqlite in use",
    "copy of sqlite",
    "room in postgres",
    "transfer",
]


def test_everything_is_copied_before_anything_is_switched(bench: Bench) -> None:
    moved = bench.run()
    assert bench.log == [
        *COPYING,
        "adopt in postgres",
        "sqlite spare",
        "switch to postgres",
        "gate",
        "postgres in use",
    ]
    assert moved == Moved("postgres", "the copy of 20260102T030405Z", "its place (SQLite)", None, 3, 17)


def test_puts_foreign_work_aside_only_when_asked_to(bench: Bench) -> None:
    """Work that no move put there is not put aside without being asked to."""
    bench.target = Work(2, 30, spare=False)
    with pytest.raises(LabelrigError, match=r"^PostgreSQL already holds 2 projects and 30 tasks, .* nothing was chan"):
        bench.run()
    assert bench.log == COPYING[:2]
    assert bench.run(replace=True).put_aside == "before 20260102T030405Z"


@pytest.mark.parametrize("there", [None, Work(0, 0, spare=False), Work(2, 30, spare=True)])
def test_an_empty_or_spare_target_is_free(bench: Bench, there: Work | None) -> None:
    refuse_unless_free(FakeSide("postgres", [], there), replace=False)


def test_a_source_without_tables_is_not_moved(bench: Bench) -> None:
    bench.source = None
    with pytest.raises(LabelrigError, match=r"^SQLite holds no tables of Label Studio: there is nothing to move$"):
        bench.run()
    assert "stop" not in bench.log


def test_a_copy_that_is_refused_leaves_everything_as_it_was(bench: Bench) -> None:
    bench.transfer = Result((), 3, 'x\nlabelrig-move {"problem": "the row 7 is not taken"}\n', "")
    with pytest.raises(LabelrigError, match=r"^the work was not copied to PostgreSQL: the row 7 is not taken$"):
        bench.run()
    assert bench.log == [*COPYING, "switch to sqlite"]


@pytest.mark.parametrize(
    ("transfer", "expected"),
    [
        (CommandFailed("host: exit code 137"), "exit code 137"),
        (Result((), 0, "nothing of ours\n", ""), "ended without its counts"),
    ],
)
def test_a_copy_that_breaks_off_leaves_everything_as_it_was(
    bench: Bench, transfer: Result | Exception, expected: str
) -> None:
    bench.transfer = transfer
    with pytest.raises(LabelrigError, match=expected):
        bench.run()
    assert bench.log == [*COPYING, "switch to sqlite"]


def test_a_stack_that_fails_its_gate_goes_back(bench: Bench) -> None:
    bench.gate_error = LabelrigError("no mask came back")
    with pytest.raises(RolledBack, match=r"and runs on SQLite again, as before: no mask came back$") as caught:
        bench.run()
    assert caught.value.exit_code == 5
    assert bench.log[-4:] == ["switch to postgres", "gate", "switch to sqlite", "sqlite in use"]
    assert "postgres in use" not in bench.log


def test_somebody_who_stops_it_gets_the_stack_as_it_was(bench: Bench) -> None:
    bench.gate_error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    assert bench.log[-2:] == ["switch to sqlite", "sqlite in use"]


def test_reports_both_failures_and_where_the_work_is(bench: Bench) -> None:
    """When the way back fails too, both are reported, and where the work is."""
    bench.gate_error = LabelrigError("no mask came back")
    bench.switch_errors = {"sqlite": LabelrigError("the port is taken")}
    with pytest.raises(LabelrigError) as caught:
        bench.run()
    message = str(caught.value)
    assert message.startswith(
        "no mask came back\n  and Label Studio does not start on SQLite again: the port is taken\n"
    )
    assert "everything is in its place (SQLite)" in message


@dataclass
class Recorded:
    """Containers whose answers are given, and which keep what they were sent."""

    answers: list[str | CommandFailed]
    sent: list[str] = field(default_factory=list)
    project: str = "rig"

    def in_db(self, *argv: str, stdin: bytes | None = None, **_options: object) -> Result:
        self.sent.append((stdin or b"").decode() or " ".join(argv))
        return self._answer(argv)

    def in_label_studio(self, *argv: str, stdin: bytes | None = None, **_options: object) -> Result:
        self.sent.append((stdin or b"").decode())
        return self._answer(argv)

    def _answer(self, argv: tuple[str, ...]) -> Result:
        answer = self.answers.pop(0)
        if isinstance(answer, CommandFailed):
            raise answer
        return Result(argv, 0, answer, "")


def test_replaces_server_database_in_one_transaction() -> None:
    """The server's database is replaced by renaming in one transaction."""
    containers = Recorded(["85\n", ""])
    aside = PostgresSide(containers).adopt("20260102T030405Z")  # type: ignore[arg-type]
    assert aside == "the database labelstudio_before_20260102t030405z of the server"
    assert containers.sent[1] == (
        "BEGIN;\n"
        "ALTER DATABASE labelstudio RENAME TO labelstudio_before_20260102t030405z;\n"
        "ALTER DATABASE labelstudio_moving RENAME TO labelstudio;\n"
        "COMMENT ON DATABASE labelstudio IS 'labelrig: not in use';\n"
        "COMMIT;\n"
    )


def test_a_database_without_tables_is_not_kept() -> None:
    containers = Recorded(["0\n", ""])
    assert PostgresSide(containers).adopt("20260102T030405Z") is None  # type: ignore[arg-type]
    assert containers.sent[1].endswith("COMMIT;\nDROP DATABASE IF EXISTS labelstudio_empty WITH (FORCE);\n")


def test_damaged_server_database_is_put_aside() -> None:
    """Whether it is empty is read in the catalogue, never by counting; one that cannot be opened may hold work."""
    containers = Recorded([CommandFailed("psql: invalid page in block 0 of relation base/16385/1259"), ""])
    aside = PostgresSide(containers).adopt("20260102T030405Z")  # type: ignore[arg-type]
    assert aside == "the database labelstudio_before_20260102t030405z of the server"
    assert "FROM pg_class" in containers.sent[0]
    assert "DROP" not in containers.sent[1]


def test_file_answers_in_json_and_names_its_volume() -> None:
    """The file answers in json and its places are named with their volume."""
    containers = Recorded(["=> a log line of somebody\n[4, 5, true]\n", "null\n", json.dumps("/x/safety/a") + "\n"])
    side = SqliteSide(containers)  # type: ignore[arg-type]
    assert side.work() == Work(4, 5, spare=True)
    assert side.adopt("s") is None
    assert side.safety_copy("s") == "/x/safety/a in the volume rig_label-studio-data"


@pytest.mark.parametrize(("to", "kinds"), [("postgres", ("sqlite", "postgres")), ("sqlite", ("postgres", "sqlite"))])
def test_a_move_goes_from_the_other_kind(to: Kind, kinds: tuple[Kind, Kind]) -> None:
    source, target = sides(Recorded([]), to)  # type: ignore[arg-type]
    assert (source.kind, target.kind) == kinds
