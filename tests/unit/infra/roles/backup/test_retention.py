"""Which snapshots count as backups, which go, and what another machine's run in the same repository may bring about."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.roles.backup.inside import fetching, media, reading, restic, retention, saving
from infra.roles.backup.inside.request import BEFORE_RESTORE
from infra.roles.backup.inside.restic import Failed
from tests.unit.infra.roles.backup.inside_bench import InsideBench, fake_program


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InsideBench:
    monkeypatch.setattr(restic, "PROCESS_NUMBERS", 1)
    return InsideBench.make(tmp_path / "root", fake_program(tmp_path), os.getuid())


def ids(bench: InsideBench) -> list[str]:
    return [row["id"] for row in reading.snapshots(bench.request, bench.restic)]


def unchecked(bench: InsideBench) -> list[dict[str, Any]]:
    return retention.listed(bench.request, bench.restic, retention.UNCHECKED)


def test_failed_snapshots_are_no_backups(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """restic keeps what it made where it could not read a file: never the newest, gone with the next run."""
    good = bench.backup(monkeypatch)["snapshot"]
    (bench.places.repository / "fails-backup").write_text("3")
    with pytest.raises(Failed, match="restic backup ended with exit code 3"):
        bench.backup(monkeypatch, known=True)
    assert len(unchecked(bench)) == 3
    assert ids(bench) == [good]
    assert reading.verify(bench.places, bench.request, bench.restic) == {"snapshots": 1, "newest": good}
    again = bench.backup(monkeypatch, known=True)["snapshot"]
    assert ids(bench) == [good, again]
    assert unchecked(bench) == []


def test_killed_before_the_check_is_no_backup(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> list[str]:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(saving, "changed_since", die)
        with pytest.raises(Killed):
            bench.backup(monkeypatch)
    assert (ids(bench), len(unchecked(bench))) == ([], 1)
    saving.prepare(bench.places, bench.request, bench.restic)
    assert unchecked(bench) == []


def test_unchecked_of_another_machine_stay(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be those of a run that goes on."""
    (bench.places.repository / "fails-backup").write_text("3")
    with pytest.raises(Failed):
        bench.backup(monkeypatch, machine="gpu02")
    bench.backup(monkeypatch)
    assert len(unchecked(bench)) == 3


def older(bench: InsideBench, made: str, days: Sequence[float]) -> list[str]:
    """Copies of a snapshot that are so many days old, in the repository of the stand-in. Returns their ids."""
    names = []
    folder = bench.places.repository / "snapshots"
    (source,) = folder.glob(f"{made}*")
    facts = json.loads((source / "facts.json").read_text())
    for day in days:
        name = uuid.uuid4().hex
        shutil.copytree(source, folder / name)
        moment = datetime.now(UTC).replace(hour=12) - timedelta(days=day)
        new = {"id": name, "short_id": name[:8], "time": moment.isoformat()}
        (folder / name / "facts.json").write_text(json.dumps(facts | new))
        names.append(name[:8])
    shutil.rmtree(source)
    return names


def test_daily_weekly_monthly_stay(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten days with a backup each the last seven stay, of a day with two the later; another machine's all stay."""
    others = older(bench, bench.backup(monkeypatch, machine="gpu02")["snapshot"], [400] * 5)
    own = older(bench, bench.backup(monkeypatch, known=True)["snapshot"], [1, 2, 3, 3.1, 4, 5, 6, 7, 8, 9])
    newest = bench.backup(monkeypatch, keep="7d 0w 0m", known=True)["snapshot"]
    assert set(ids(bench)) == {newest, *own[:3], *own[4:7], *others}


def test_way_back_stays_for_a_month(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Backups of before a restore go by their own rule, take no place of others; no nightly run removes them."""
    made = bench.backup(monkeypatch, reason=BEFORE_RESTORE)["snapshot"]
    before = older(bench, made, [0.1, 0.2, 0.3, 29, 31, 500])
    night = older(bench, bench.backup(monkeypatch, known=True)["snapshot"], [1])
    newest = bench.backup(monkeypatch, keep="1d 0w 0m", known=True)["snapshot"]
    assert set(ids(bench)) == {*before[:4], *night, newest}


def test_old_ways_back_stay_too(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last three, however old."""
    before = older(bench, bench.backup(monkeypatch, reason=BEFORE_RESTORE)["snapshot"], [100, 200, 300, 400])
    newest = bench.backup(monkeypatch, known=True)["snapshot"]
    assert set(ids(bench)) == {*before[:3], newest}


@pytest.fixture
def lock(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock of another machine's run, which goes with the second pause."""
    path = bench.places.repository / "locks/abc"
    path.parent.mkdir()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) % 2 == 0:
            path.unlink()

    monkeypatch.setattr("infra.roles.backup.inside.restic.time.sleep", pause)
    return path


@pytest.mark.parametrize("exclusive", [False, True])
def test_another_run_is_waited_for(
    bench: InsideBench, monkeypatch: pytest.MonkeyPatch, lock: Path, exclusive: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the snapshot only for one that has the repository for itself, else with making it a backup."""
    real = media.list_media

    def lock_before(*arguments: Any) -> Any:
        lock.write_text(json.dumps({"exclusive": exclusive}))
        return real(*arguments)

    monkeypatch.setattr(saving, "list_media", lock_before)
    made = bench.backup(monkeypatch)
    assert ids(bench) == [made["snapshot"]]
    assert f"waiting with `{'backup' if exclusive else 'tag'}`" in capfd.readouterr().err


def test_readers_wait_too(bench: InsideBench, monkeypatch: pytest.MonkeyPatch, lock: Path) -> None:
    """A person who restores does not fail because another machine removes old backups just now."""
    made = bench.backup(monkeypatch)["snapshot"]
    reads: list[Callable[[], object]] = [
        lambda: ids(bench),
        lambda: bench.manifest(made),
        lambda: reading.verify(bench.places, bench.request, bench.restic),
        lambda: fetching.fetch(bench.places, bench.request, bench.restic, made),
    ]
    for read in reads:
        lock.write_text(json.dumps({"exclusive": True}))
        read()
        assert not lock.exists()


def test_backup_counts_where_old_ones_cannot_go(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run keeps the repository: that is said beside the backup, and the staging volume is emptied."""
    monkeypatch.setattr(restic, "TURN_SECONDS", -1.0)
    path = bench.places.repository / "locks/abc"
    real = retention.count_as_backup

    def lock_after(*arguments: Any) -> str:
        name = real(*arguments)
        path.parent.mkdir()
        path.write_text('{"exclusive": true}')
        return name

    monkeypatch.setattr(saving, "count_as_backup", lock_after)
    made = bench.backup(monkeypatch)
    assert made["not_pruned"].startswith("restic forget ended with exit code 1: Fatal: unable to create lock")
    path.unlink()
    assert ids(bench) == [made["snapshot"]]
    assert [one.name for one in bench.places.staging.iterdir()] == ["cache"]
