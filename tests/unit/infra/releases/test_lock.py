"""The lock as every host must keep it. Only `host` and `base` say which host: the bodies speak to it alone."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import pytest

from core.errors import ConnectFailed, ConnectionLost, LabelrigError, LockHeld
from core.report import Report
from hosts.base import Host, Result
from hosts.local import LocalHost
from infra.releases.lock import HostLock
from infra.releases.scripts import run_script
from tests.unit.infra.releases.lock_bench import alice, bob, ended_process, entries, leave, lock


@pytest.fixture
def host() -> Host:
    return LocalHost()


@pytest.fixture
def base(tmp_path: Path) -> str:
    return str(tmp_path / "srv" / "rig")


class TestHeld:
    def test_it_is_there_while_the_context_lasts_and_leaves_nothing(self, host: Host, base: str) -> None:
        owner = alice()
        with lock(host, base, owner).held():
            info = lock(host, base).status()
            assert info is not None
            assert info.owner == owner
            assert 0 <= info.quiet < 10
            assert host.run("stat", "-c", "%a", base, f"{base}/lock", as_root=True).stdout.split() == ["750", "700"]
        assert lock(host, base).status() is None
        assert entries(host, base) == []

    def test_it_is_given_back_when_the_work_fails(self, host: Host, base: str) -> None:
        with pytest.raises(ZeroDivisionError), lock(host, base).held():
            _ = 1 / 0
        assert lock(host, base).status() is None

    def test_a_second_run_is_refused_at_once_and_told_by_whom(self, host: Host, base: str) -> None:
        first = lock(host, base, bob(ci_run="GitHub run lab/rig/7/1"))
        with (
            first.held(),
            pytest.raises(
                LockHeld,
                match=rf"^{host.name}: the lock is held by bob@laptop \(`deploy` of commit 607e07e, "
                r"GitHub run lab/rig/7/1, process 77 there\) since 2025-03-01T10:00:00Z, last sign of life \d s ago; "
                r"nothing was changed; wait for it with `--lock-wait SECONDS`, or look with `\./inv lock\.status`$",
            ),
            lock(host, base).held(),
        ):
            pytest.fail("two runs hold the lock")
        assert entries(host, base) == []

    def test_a_second_run_waits_for_the_first(self, host: Host, base: str) -> None:
        order: list[str] = []
        waits = threading.Event()
        report = Report(io.StringIO())

        def second() -> None:
            waits.set()
            with HostLock(host, base, alice(), report, poll=0.05).held(wait=30):
                order.append("second")

        thread = threading.Thread(target=second)
        with lock(host, base).held():
            thread.start()
            waits.wait(10)
            time.sleep(0.3)
            order.append("first")
        thread.join(30)
        assert order == ["first", "second"]
        # The line stays as an empty folder: who comes next stands in it again.
        assert entries(host, base) == [".lock-queue"]
        assert entries(host, f"{base}/.lock-queue") == []

    def test_waiting_ends_at_the_deadline(self, host: Host, base: str) -> None:
        with (
            lock(host, base, bob()).held(),
            pytest.raises(LockHeld, match=r"waited \d s for the lock of .*; it is held by bob@laptop .*wait longer"),
            lock(host, base).held(wait=0.2),
        ):
            pytest.fail("two runs hold the lock")
        assert entries(host, f"{base}/.lock-queue") == []

    def test_a_lock_whose_answer_was_lost_is_given_back(self, host: Host, base: str) -> None:
        with pytest.raises(ConnectionLost), lock(Forgetful(host), base).held():
            pytest.fail("held without an answer")
        assert lock(host, base).status() is None

    def test_taking_it_twice_with_one_id_is_taking_it_once(self, host: Host, base: str) -> None:
        owner = alice()
        leave(host, base, owner)
        with lock(host, base, owner).held():
            pass
        assert lock(host, base).status() is None

    def test_a_host_that_is_not_reached_is_asked_once(self, base: str) -> None:
        class Away(LocalHost):
            asked = 0

            def run(self, *argv: str, **_options: object) -> Result:
                self.asked += 1
                raise ConnectFailed("away")

        away = Away()
        with pytest.raises(ConnectFailed), lock(away, base).held():
            pytest.fail("held without a connection")
        assert away.asked == 1


class Forgetful(LocalHost):
    """A host whose first answer does not arrive."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._first = True

    def run(self, *argv: str, **options: object) -> Result:
        result = self._host.run(*argv, **options)  # type: ignore[arg-type]
        if self._first:
            self._first = False
            raise ConnectionLost("gone")
        return result


class TestHeartbeat:
    def test_it_goes_on_while_the_work_does(self, host: Host, base: str) -> None:
        with lock(host, base, beat=0.05).held():
            first = lock(host, base).status()
            time.sleep(0.4)
            second = lock(host, base).status()
        assert first is not None
        assert second is not None
        assert first.beat != second.beat

    def test_a_lost_lock_is_seen_and_never_taken_from_its_new_owner(self, host: Host, base: str) -> None:
        other = bob()
        mine = lock(host, base)
        with mine.held():
            mine.ensure()
            lock(host, base).release(force=True)
            leave(host, base, other)
            with pytest.raises(LabelrigError, match=r"no longer holds the lock \(it is held by bob@.*stops here"):
                mine.ensure()
        info = lock(host, base).status()
        assert info is not None
        assert info.id == other.id

    def test_a_lost_lock_is_said_while_the_work_goes_on(self, host: Host, base: str) -> None:
        report = Report(io.StringIO())
        mine = HostLock(host, base, alice(), report, beat=0.05)
        with mine.held():
            lock(host, base).release(force=True)
            deadline = time.monotonic() + 10
            while not report.notices and time.monotonic() < deadline:
                time.sleep(0.01)
            with pytest.raises(LabelrigError, match=r"no longer holds the lock \(it was removed\)"):
                mine.ensure()
        assert report.notices == [f"{host.name}: this run lost the lock (it was removed)"]

    def test_silent_host_ends_neither_work_nor_thread(self, host: Host, base: str) -> None:
        """A host that does not answer ends neither the work nor the thread."""

        class Flaky(LocalHost):
            broken = False

            def run(self, *argv: str, **options: object) -> Result:
                if self.broken:
                    raise ConnectionLost("gone for a moment")
                return host.run(*argv, **options)  # type: ignore[arg-type]

        flaky = Flaky()
        with lock(flaky, base, beat=0.02).held():
            flaky.broken = True
            time.sleep(0.2)
            flaky.broken = False
            first = lock(host, base).status()
            time.sleep(0.3)
            second = lock(host, base).status()
        assert first is not None
        assert second is not None
        assert first.beat != second.beat


class TestPerson:
    def test_nobody_waits_for_it_and_nobody_breaks_it(self, host: Host, base: str) -> None:
        lock(host, base, bob()).take("moving the\nNAS")
        refusal = (
            r'the lock is held by bob@laptop in person since 2025-03-01T10:00:00Z, who says "moving the NAS"; nothing '
            r"was changed; only a person gives it back: ask, then `\./inv lock\.release` \(`--force` for another's\)$"
        )
        age = "read -r boot at <$1; printf '%s %s\\n' $boot $((at - 9000000)) >$1"
        host.run("sh", "-c", age, "sh", f"{base}/lock/heartbeat", as_root=True)
        with pytest.raises(LockHeld, match=refusal), lock(host, base).held(wait=60):
            pytest.fail("a person's lock was ignored")
        with pytest.raises(LockHeld, match=refusal):
            lock(host, base).take("me too")

    def test_a_person_gives_it_back_from_a_later_process(self, host: Host, base: str) -> None:
        lock(host, base, alice(pid=ended_process())).take("maintenance")
        released = lock(host, base, alice()).release()
        assert released is not None
        assert released.describe().startswith("alice@desk in person")
        assert lock(host, base).status() is None


class TestRelease:
    def test_there_is_nothing_to_release(self, host: Host, base: str) -> None:
        assert lock(host, base).release() is None
        assert host.run("test", "-e", base, ok=(0, 1), as_root=True).exit_code == 1

    def test_anothers_lock_needs_force(self, host: Host, base: str) -> None:
        leave(host, base, bob())
        with pytest.raises(LockHeld, match=r"the lock is not yours but held by bob@laptop .*`--force` removes it"):
            lock(host, base).release()
        released = lock(host, base).release(force=True)
        assert released is not None
        assert released.owner is not None
        assert released.owner.who == "bob@laptop"
        assert entries(host, base) == []

    def test_last_step_of_ci_job_removes_only_its_own_lock(self, host: Host, base: str) -> None:
        """The last step of a ci job removes its own and leaves anothers."""
        run, next_run = "GitHub run lab/rig/7/1", "GitHub run lab/rig/8/1"
        leave(host, base, bob(ci_run=run))
        other = HostLock(host, base, bob(ci_run=next_run), Report(io.StringIO()))
        assert other.release(own=True) is None
        assert lock(host, base).status() is not None
        assert lock(host, base, alice(ci_run=run)).release(own=True) is not None
        assert lock(host, base).status() is None

    def test_a_run_that_still_goes_on_needs_force(self, host: Host, base: str) -> None:
        with lock(host, base).held():
            with pytest.raises(LockHeld, match=r"the run that holds the lock still goes on: alice@desk"):
                lock(host, base).release()
            assert lock(host, base).status() is not None


def test_waiting_is_in_the_order_of_arrival(host: Host, base: str) -> None:
    first, second, third = (alice(id=name) for name in ("c", "b", "a"))
    take = ("lock", "take", base)
    states = []
    for owner in (first, second, third):
        states.append(run_script(host, *take, owner.id, owner.model_dump_json(), "9000").stdout.split()[1])
        time.sleep(0.02)
    assert states == ["taken", "held", "held"]
    run_script(host, "lock", "remove", base, "c")
    assert run_script(host, *take, "a", third.model_dump_json(), "9000").stdout == "state queued\n"
    assert run_script(host, *take, "b", second.model_dump_json(), "9000").stdout.startswith("state taken\n")


def test_who_stopped_asking_holds_nobody_up(host: Host, base: str) -> None:
    first, gone, third = (alice(id=name) for name in ("x", "gone", "z"))
    take = ("lock", "take", base)
    for owner in (first, gone):
        run_script(host, *take, owner.id, owner.model_dump_json(), "9000")
    run_script(host, "lock", "remove", base, "x")
    assert run_script(host, *take, "z", third.model_dump_json(), "9000").stdout == "state queued\n"
    time.sleep(0.3)
    assert run_script(host, *take, "z", third.model_dump_json(), "20").stdout.startswith("state taken\n")


def test_a_free_lock_with_a_line_in_front_names_no_holder(host: Host, base: str) -> None:
    first, second = alice(id="x"), alice(id="second")
    for owner in (first, second):
        run_script(host, "lock", "take", base, owner.id, owner.model_dump_json(), "9000")
    run_script(host, "lock", "remove", base, "x")
    third = HostLock(host, base, alice(id="third"), Report(io.StringIO()), poll=0.05)
    with pytest.raises(LockHeld, match=r"; it is held by no run; others wait in front; nothing"), third.held(wait=0.1):
        pytest.fail("held out of turn")


def test_a_base_that_cannot_be_made_is_one_clear_sentence(host: Host, base: str) -> None:
    host.run("mkdir", "-p", base, as_root=True)
    host.run("touch", f"{base}/file", as_root=True)
    with (
        pytest.raises(LabelrigError, match=r"the lock cannot be written in .*/file/rig \(.*\); nothing was changed"),
        lock(host, f"{base}/file/rig").held(),
    ):
        pytest.fail("held in a folder that is a file")
