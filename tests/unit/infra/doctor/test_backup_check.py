"""The doctor's link of the backup, and the row of `status`, in their states."""

from __future__ import annotations

import time

import pytest

from infra.doctor.backup_checks import check_backup
from infra.doctor.diagnosis import Verdict
from infra.doctor.status import read_backup
from infra.roles.backup.result import BEGUN, GOES_ON, encode_run
from tests.unit.infra.doctor.doctor_bench import DoctorBench

HOUR = 3600.0
GOOD = {"snapshot": "abc12345", "bytes": 5 << 20}


@pytest.fixture
def bench() -> DoctorBench:
    made = DoctorBench()
    made.settings = made.settings.model_copy(update={"backup_repository": "/NAS/backup"})
    return made


def ran(bench: DoctorBench, name: str, hours: float, answer: dict[str, object]) -> None:
    """What the script wrote so long ago."""
    at = time.time() - hours * HOUR
    bench.host.files[f"{bench.site().state}/backup/{name}.json"] = encode_run(at - 60, at, answer)


def test_without_repository_all_is_well(bench: DoctorBench) -> None:
    bench.settings = bench.settings.model_copy(update={"backup_repository": None})
    assert bench.ask(check_backup).result is Verdict.OK


def test_none_yet(bench: DoctorBench) -> None:
    found = bench.ask(check_backup)
    assert (found.result, found.seen, found.fix) == (Verdict.WARNING, "no backup was made yet", "`./inv backup`")
    assert read_backup(bench.site()).text == "none yet"


def test_fresh_one_with_a_drill(bench: DoctorBench) -> None:
    ran(bench, "last-backup", 5, GOOD)
    assert bench.ask(check_backup).seen.startswith("abc12345, 5 h old, 5 MiB; no drill was done yet: `./inv restore")
    for name in ("last-drill", "good-drill"):
        ran(bench, name, 72, {"click": "yes"})
    found = bench.ask(check_backup)
    assert (found.result, found.seen) == (Verdict.OK, "abc12345, 5 h old, 5 MiB; a drill passed 3 days ago")
    shown = read_backup(bench.site())
    assert (shown.ok, shown.hours, shown.drill_ok, shown.drill_hours) == (True, 5.0, True, 72.0)
    assert shown.text == "abc12345 made 5 h ago; drill passed 72 h ago"


def test_old_ones_that_stay(bench: DoctorBench) -> None:
    """A good backup all the same, in a repository that grows."""
    ran(bench, "last-backup", 5, GOOD | {"not_pruned": "restic forget ended with exit code 1"})
    found = bench.ask(check_backup)
    assert (found.result, found.fix) == (Verdict.WARNING, "`./inv backup`")
    assert found.seen.endswith("; old backups could not be removed: restic forget ended with exit code 1")


def test_old_one(bench: DoctorBench) -> None:
    ran(bench, "last-backup", 49, GOOD)
    found = bench.ask(check_backup)
    assert (found.result, found.seen) == (Verdict.WARNING, "abc12345, 2 days old, 5 MiB")
    assert found.fix is not None
    assert "systemctl list-timers" in found.fix


def test_failed_one_names_the_last_good(bench: DoctorBench) -> None:
    ran(bench, "last-backup", 1, {"problem": "the disk is full"})
    ran(bench, "good-backup", 25, GOOD)
    found = bench.ask(check_backup)
    assert found.result is Verdict.WARNING
    assert found.seen == "the last backup failed: the disk is full; the last good one is 25 h old"
    assert read_backup(bench.site()).text == "failed 1 h ago: the disk is full"


def test_drill_that_goes_on_is_no_fault(bench: DoctorBench) -> None:
    """Where it was cut off, what was written at its begin is one some hours later."""
    ran(bench, "last-backup", 1, GOOD)
    ran(bench, "good-drill", 72, {"click": "yes"})
    ran(bench, "last-drill", 1, {"problem": BEGUN, GOES_ON: True})
    assert bench.ask(check_backup).result is Verdict.OK
    assert read_backup(bench.site()).text.endswith("drill begun 1 h ago")
    ran(bench, "last-drill", 7, {"problem": BEGUN, GOES_ON: True})
    found = bench.ask(check_backup)
    assert (found.result, found.fix) == (Verdict.WARNING, "`./inv restore --drill`")
    assert found.seen.endswith(f"the last drill failed 7 h ago: {BEGUN}")
    assert read_backup(bench.site()).text.endswith("drill failed 7 h ago")


@pytest.mark.parametrize(
    ("name", "words", "fix"),
    [
        ("last-verify", "the last verification failed 2 h ago: damaged", "`./inv backup.verify`"),
        ("last-drill", "the last drill failed 2 h ago: damaged", "`./inv restore --drill`"),
    ],
)
def test_failed_proof_is_a_warning(bench: DoctorBench, name: str, words: str, fix: str) -> None:
    ran(bench, "last-backup", 1, GOOD)
    ran(bench, name, 2, {"problem": "damaged"})
    found = bench.ask(check_backup)
    assert found.result is Verdict.WARNING
    assert found.seen.endswith(words)
    assert found.fix == fix
