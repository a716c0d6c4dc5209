"""Going back: what is put back and what is not, with true releases in a folder of this machine."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.errors import (
    ConnectFailed,
    ConnectionLost,
    HostError,
    LabelrigError,
    PreflightError,
    ProofFailed,
    RolledBack,
    SudoRefused,
    Unfinished,
)
from core.operation import Applier
from core.report import Report
from infra.database.state import DatabaseState
from infra.deploy import recovery
from infra.deploy.deployment import Deployment
from infra.deploy.host_check import HostCheck
from infra.deploy.recovery import restore_previous, roll_back
from infra.fleet.target import site_of_release
from infra.releases.manifest import Gate, Release
from infra.releases.store import Releases
from infra.roles.stack.render import RenderedFile
from tests.unit.infra.deploy_bench import Engine, LabHost, deployment, quiet, shown
from tests.unit.infra.releases.release_bench import FACTS, NOW, SQLITE, files

CAUSE = ProofFailed("the click did not come back")
IMAGES = {"sha256:s1": ["labelrig/sam2:1"]}


class NoEngine(Exception):
    """The containers would be brought up now."""


class Bench:
    """A host with releases, the containers of which are brought up by writing down which."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.deployment = deployment(root)
        self.engine = Engine(IMAGES)
        self.database: DatabaseState | None = SQLITE
        self.serves: list[str] = []
        self.broken: dict[str, LabelrigError] = {}
        self.now = NOW
        self.really_serve = recovery.serve
        monkeypatch.setattr(recovery, "engine_client", self.engine)
        monkeypatch.setattr(recovery, "volumes_ready", self._no_engine)
        monkeypatch.setattr(HostCheck, "run", lambda *_: None)
        monkeypatch.setattr(recovery, "database_now", lambda _deployment, _current: self.database)
        monkeypatch.setattr(recovery, "serve", self._serve)

    @property
    def releases(self) -> Releases:
        return Releases(self.deployment.host, self.deployment.base, lambda: self.now)

    def release(self, gate: Gate, *, state: DatabaseState | None = SQLITE, **facts: object) -> str:
        """Write one, a minute after the last, and make it current."""
        self.now = self.now.astimezone(UTC) + timedelta(minutes=1)
        told = FACTS.model_copy(update={"folders": (), **facts})
        made = self.releases.write(files(), told)
        self.releases.activate(made.id)
        if gate != "pending":
            self.releases.mark(made.id, gate, database_state=state)
        return str(made.id)

    def gates(self) -> list[str]:
        return [one.gate for one in self.releases.read().releases]

    def current(self) -> str:
        return str(self.releases.read().current_id)

    def _no_engine(self, *_: object) -> None:
        raise NoEngine

    def _serve(self, _deployment: Deployment, releases: Releases, target: Release, _report: Report) -> None:
        self.serves.append(str(target.id))
        if str(target.id) in self.broken:
            raise self.broken[str(target.id)]
        releases.activate(target.id)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def ended(bench: Bench, cause: LabelrigError = CAUSE) -> LabelrigError:
    return restore_previous(bench.deployment, cause, quiet())


def test_release_that_failed_its_gate_makes_way(bench: Bench) -> None:
    """A release that failed its gate makes way for the last that passed."""
    bench.release("passed")
    good = bench.release("passed")
    bench.release("failed")
    bad = bench.release("pending")
    report = quiet()
    error = restore_previous(bench.deployment, CAUSE, report)
    assert type(error) is RolledBack
    assert error.exit_code == 5
    assert str(error) == f"the click did not come back\nRelease {bad} failed; release {good} serves again."
    assert bench.serves == [good]
    assert bench.current() == good
    assert bench.gates() == ["passed", "passed", "failed", "failed"]
    (stage,) = report.stages
    assert (stage.name, stage.changed, stage.failed) == ("rollback", [f"go back to {good}"], False)
    assert f"~ go back from {bad} to {good}" in shown(report)
    assert bench.engine.closed == 1


@pytest.mark.parametrize("lost", [ConnectionLost("gpu01: gone"), ConnectFailed("gpu01: no answer")])
def test_nobody_is_there_to_be_told_when_the_connection_is_lost(bench: Bench, lost: HostError) -> None:
    bench.release("passed")
    bench.release("pending")
    bench.deployment.host.close()  # from now on to ask is a fault
    assert ended(bench, lost) is lost
    assert bench.serves == []


MARKS = {"restoring": "restore", "upgrading": "upgrade"}


def half(bench: Bench, mark: str) -> None:
    """A restore or an upgrade was cut off on the host."""
    (Path(bench.deployment.base) / f"{mark}.json").write_text("{}")


@pytest.mark.parametrize("mark", MARKS)
def test_deploy_that_is_refused_starts_no_other_release(bench: Bench, mark: str) -> None:
    """On half of two states the older release would be as wrong, and people would work on it."""
    bench.release("passed")
    left = bench.release("pending")
    half(bench, mark)
    with pytest.raises(Unfinished, match=rf"`\./inv {MARKS[mark]} --host gpu01`") as caught:
        bench.deployment.run(Applier(quiet()))
    assert ended(bench, caught.value) is caught.value
    assert (bench.gates(), bench.serves, bench.current()) == (["passed", "pending"], [], left)


@pytest.mark.parametrize("mark", MARKS)
def test_no_release_serves_half_of_two_states(bench: Bench, mark: str) -> None:
    """Neither by hand nor after another failure; only the upgrade itself may go back with its own mark there."""
    old, new = bench.release("passed"), bench.release("passed")
    half(bench, mark)
    with pytest.raises(Unfinished):
        roll_back(bench.deployment, None, quiet())
    assert bench.serves == []
    target = bench.releases.read().get(old)
    assert target is not None
    with pytest.raises(Unfinished):
        bench.really_serve(bench.deployment, bench.releases, target, quiet())
    assert bench.current() == new
    with pytest.raises(Unfinished) if mark == "restoring" else pytest.raises(NoEngine):
        bench.really_serve(bench.deployment, bench.releases, target, quiet(), upgrading=True)


def test_failed_preflight_changes_nothing_after_killed_run(bench: Bench) -> None:
    """A preflight that fails changes nothing, also where a killed run left its release."""
    bench.release("passed")
    left = bench.release("pending")
    refused = PreflightError(["the disk is full"])
    assert ended(bench, refused) is refused
    assert bench.gates() == ["passed", "pending"]
    assert (bench.serves, bench.current()) == ([], left)


@pytest.mark.parametrize("there_are", [0, 1])
def test_what_was_proven_once_is_left_alone(bench: Bench, there_are: int) -> None:
    for _ in range(there_are):
        bench.release("passed")
        bench.release("passed")
    assert ended(bench) is CAUSE
    assert bench.serves == []
    assert "failed" not in bench.gates()


def test_error_names_a_missing_release_and_keeps_its_kind(bench: Bench) -> None:
    """Without a release to go back to, the error says so and keeps its kind."""
    first = bench.release("pending")
    error = ended(bench)
    assert type(error) is ProofFailed
    assert str(error) == f"the click did not come back\nThere is no release before {first} to go back to."
    assert bench.gates() == ["failed"]
    assert bench.serves == []


def test_the_database_has_moved_on(bench: Bench) -> None:
    good = bench.release("passed")
    bad = bench.release("pending")
    bench.database = dataclasses.replace(SQLITE, migrations_count=403, migrations_digest="e" * 64)
    report = quiet()
    error = restore_previous(bench.deployment, CAUSE, report)
    assert type(error) is LabelrigError
    assert error.exit_code == 1
    assert str(error).startswith(f"the click did not come back\nRelease {good} could not be put back: gpu01: cannot")
    assert "3 migrations newer than its own" in str(error)
    assert bench.serves == []
    assert bench.current() == bad
    assert bench.gates() == ["passed", "failed"]


def test_a_database_that_cannot_be_read_is_not_risked(bench: Bench) -> None:
    bench.release("passed")
    bench.release("pending")
    bench.database = None
    assert "the database cannot be read now" in str(ended(bench))
    assert bench.serves == []


def test_an_image_or_a_folder_that_is_gone_stands_in_the_way(bench: Bench, tmp_path: Path) -> None:
    there, gone = tmp_path / "there", tmp_path / "gone"
    there.mkdir()
    bench.release("passed", folders=(str(there), str(gone)))
    bench.release("pending")
    bench.engine.tags.clear()
    said = str(ended(bench))
    assert "its image of sam2 is not on the host any more (labelrig/sam2:1, sha256:s1)" in said
    assert f"its image folder {gone} is not there" in said
    assert str(there) not in said
    assert bench.serves == []


def test_moved_tag_is_not_an_image_of_the_release(bench: Bench) -> None:
    """A tag that names another image now is not an image of the release."""
    bench.release("passed")
    bench.release("pending")
    bench.engine.tags = {"sha256:other": ["labelrig/sam2:1"]}
    assert "its image of sam2 is not on the host any more" in str(ended(bench))


def test_a_damaged_release_is_not_put_back(bench: Bench) -> None:
    good = bench.release("passed")
    bench.release("pending")
    (Path(bench.deployment.base) / "releases" / good / "compose.yaml").write_text("changed by hand\n")
    assert "its files are not what they were: compose.yaml" in str(ended(bench))
    assert bench.serves == []


def test_the_earlier_release_does_not_come_up(bench: Bench) -> None:
    good = bench.release("passed")
    bench.release("pending")
    bench.broken[good] = HostError("label-studio: exited")
    report = quiet()
    error = restore_previous(bench.deployment, CAUSE, report)
    assert type(error) is LabelrigError
    assert str(error) == f"{CAUSE}\nRelease {good} could not be put back: label-studio: exited"
    assert [stage.changed for stage in report.stages] == [[]]


def test_trouble_while_reading_does_not_hide_the_cause(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.release("passed")
    bench.release("pending")

    def refuse(_releases: Releases) -> None:
        raise SudoRefused("gpu01: ana may not become root")

    monkeypatch.setattr(Releases, "read", refuse)
    assert str(ended(bench)) == (
        f"{CAUSE}\nWhether another release must be put back cannot be found out: gpu01: ana may not become root"
    )
    assert bench.serves == []


def test_a_release_without_a_readable_manifest_makes_way_too(bench: Bench) -> None:
    good = bench.release("passed")
    bad = bench.release("pending")
    (Path(bench.deployment.base) / "releases" / bad / "release.json").write_text("{")
    error = ended(bench)
    assert type(error) is RolledBack
    assert bench.serves == [good]


def test_earlier_failed_release_makes_way_now(bench: Bench) -> None:
    """One that failed before and could not make way does so now."""
    good = bench.release("passed")
    bench.release("failed")
    assert type(ended(bench)) is RolledBack
    assert bench.serves == [good]


def test_by_hand_means_last_that_passed_before_current(bench: Bench) -> None:
    """By hand, the last that passed before the current one is meant."""
    good = bench.release("passed")
    bench.release("failed")
    bench.release("passed")
    report = quiet()
    assert str(roll_back(bench.deployment, None, report).id) == good
    assert bench.current() == good
    assert [(stage.name, stage.ok, stage.changed) for stage in report.stages] == [
        ("check", [f"release {good} can serve"], []),
        ("rollback", [], [f"go to {good}"]),
    ]


@pytest.mark.parametrize("which", ["current", "failed", "unknown"])
def test_by_hand_touches_nothing_where_something_is_in_the_way(bench: Bench, which: str) -> None:
    """By hand, nothing is touched where something stands in the way."""
    bench.release("passed")
    failed = bench.release("failed")
    current = bench.release("passed")
    wanted = {"current": current, "failed": failed, "unknown": "20200101T000000Z-0000000"}[which]
    texts = {"current": "it is the one that serves now", "failed": "it never passed its gate", "unknown": "no release"}
    with pytest.raises(LabelrigError, match=texts[which]) as caught:
        roll_back(bench.deployment, wanted, quiet())
    assert type(caught.value) is LabelrigError
    assert "nothing was changed" in str(caught.value)
    assert (bench.serves, bench.current()) == ([], current)


def test_by_hand_skips_a_release_that_cannot_serve(bench: Bench) -> None:
    """By hand, a release that does not serve any more gives way to the one before."""
    old = bench.release("passed")
    new = bench.release("passed")
    bench.broken[old] = HostError("sam2: exited")
    with pytest.raises(RolledBack) as caught:
        roll_back(bench.deployment, old, quiet())
    assert str(caught.value) == f"sam2: exited\nRelease {new} serves again."
    assert bench.serves == [old, new]
    assert bench.gates() == ["passed", "passed"]


def test_by_hand_when_neither_serves_both_reasons_are_told(bench: Bench) -> None:
    old = bench.release("passed")
    new = bench.release("passed")
    bench.broken = {old: HostError("sam2: exited"), new: HostError("no engine answers")}
    with pytest.raises(LabelrigError) as caught:
        roll_back(bench.deployment, old, quiet())
    assert str(caught.value) == f"sam2: exited\nRelease {new} does not serve either: no engine answers"
    assert caught.value.exit_code == 1


def test_release_keeps_its_own_database_and_gpu(tmp_path: Path) -> None:
    """A release has its own database, gpu and proxy, whatever the inventory says; older ones have no proxy."""
    host = LabHost()
    one = deployment(tmp_path, host, database="sqlite", gpu="off")
    releases = Releases(host, one.base, lambda: datetime(2025, 3, 1, tzinfo=UTC))
    plain = releases.write(files(), FACTS)
    more = [
        *files(),
        *(RenderedFile(f"/x/{name}", b"{}\n", 0o644) for name in ("postgres.yaml", "gpu.yaml", "proxy.yaml")),
    ]
    full = releases.write(more, FACTS.model_copy(update={"database": "postgres"}))
    site = site_of_release(one.host, one.host_settings, plain)
    assert (site.settings.database, site.gpu, site.services) == ("sqlite", False, ("sam2", "label-studio"))
    site = site_of_release(one.host, one.host_settings, full)
    assert (site.settings.database, site.gpu, site.services) == (
        "postgres",
        True,
        ("db", "sam2", "label-studio", "proxy"),
    )
    assert [Path(path).name for path in site.files.compose] == [
        "compose.yaml",
        "postgres.yaml",
        "gpu.yaml",
        "proxy.yaml",
        "machine.yaml",
    ]
    assert {str(Path(path).parent) for path in site.files.compose} == {f"{tmp_path}/labelrig/current"}
