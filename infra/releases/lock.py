"""The deploy lock of a project on its host: one run at a time, or a person who reserves it.

The scripts in `host_scripts/lock.sh` make each step atomic on the host; here is decided who waits and who is dead.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from core.errors import ConnectFailed, LabelrigError, LockHeld, SudoRefused, WaitTimeout
from core.report import Report
from core.waiting import Clock, wait_for
from hosts.base import Host
from infra.releases.leftovers import wait_for_leftovers
from infra.releases.lock_owner import LockInfo, Machine, Owner, parse_owner, proven_alive, this_machine, why_dead
from infra.releases.scripts import run_script

BEAT_SECONDS = 15.0
POLL_SECONDS = 2.0
PATIENCE_SECONDS = 20.0  # who waits and has not asked for so long has left the line
CANNOT_WRITE = 74
GUARD_BUSY = 75


@dataclass(frozen=True)
class Answer:
    """The answer of the script. `info` is the lock that is there, ours or another's."""

    state: str
    info: LockInfo | None
    broke: str | None


class HostLock:
    """The lock of one project on one host, as its would-be owner sees it."""

    def __init__(
        self,
        host: Host,
        base: str,
        owner: Owner,
        report: Report,
        *,
        machine: Machine | None = None,
        clock: Clock = time,
        beat: float = BEAT_SECONDS,
        poll: float = POLL_SECONDS,
        died: Callable[[Owner, str], None] = lambda _owner, _why: None,
    ) -> None:
        """Keep what is needed; nothing is asked yet.

        Args:
            died: gets the owner of a run whose lock was taken over or released in its place, and why.
        """
        self._host = host
        self._base = base
        self._owner = owner
        self._report = report
        self._machine = machine or this_machine()
        self._clock = clock
        self._beat = beat
        self._poll = poll
        self._died = died
        self._broken: list[str] = []
        self._lost: str | None = None

    @contextlib.contextmanager
    def held(self, wait: float = 0.0) -> Iterator[None]:
        """Hold the lock while the context lasts. The lock of a dead run is taken over, with what it left running.

        Args:
            wait: seconds to wait for another run; 0 means not at all.

        Raises:
            LockHeld: another run holds it and does not end in time, or a person does. Nothing was changed.
        """
        ended = threading.Event()
        beating = threading.Thread(target=self._beat_until, args=(ended,), daemon=True, name="labelrig lock")
        self._acquire(self._owner, wait)
        try:
            beating.start()
            for run_id in self._broken:
                wait_for_leftovers(self._host, run_id, self._report, clock=self._clock)
            yield
        finally:
            ended.set()
            if beating.is_alive():
                beating.join()
            self._give_back()

    def take(self, message: str) -> None:
        """Take it for a person, until that person releases it.

        Raises:
            LockHeld: it is held already.
        """
        self._acquire(self._owner.model_copy(update={"kind": "person", "message": message}))
        for run_id in self._broken:
            wait_for_leftovers(self._host, run_id, self._report, clock=self._clock)

    def refuse_held(self, wait: float) -> None:
        """Find out whether a run that asks for it now is refused. Changes nothing: it may be taken a moment later.

        Args:
            wait: seconds that the run would wait for another run.

        Raises:
            LockHeld: it would be.
        """
        info = self.status()
        if info is not None and why_dead(info, self._machine) is None and _refuses(info, wait):
            raise self._refused(info)

    def status(self) -> LockInfo | None:
        """Return who holds it, or None. Changes nothing on the host."""
        return self._ask("look").info

    def release(self, *, own: bool = False, force: bool = False) -> LockInfo | None:
        """Remove the lock of this CI run, or of this person on this machine.

        Args:
            own: leave another's lock alone without an error: for the step that a CI job always ends with.
            force: remove it, whoever holds it.

        Returns:
            The lock that was removed; None where there was none to remove.

        Raises:
            LockHeld: it is another's, or its run still goes on.
        """
        info = self.status()
        if info is None:
            return None
        if not force:
            mine = info.owner is not None and info.owner.is_own(self._owner)
            if not mine and own:
                self._report.notice(f"{self._host.name}: left alone: the lock is held by {info.describe()}")
                return None
            if not mine:
                raise LockHeld(
                    f"{self._host.name}: the lock is not yours but held by {info.describe()}; nothing was changed; "
                    "`--force` removes it all the same"
                )
            if info.owner is not None and info.owner.kind == "run" and proven_alive(info, self._machine):
                raise LockHeld(
                    f"{self._host.name}: the run that holds the lock still goes on: {info.describe()}; nothing was "
                    "changed; stop it, or `--force` removes the lock under its feet"
                )
        if self._ask("remove", info.id).state != "removed":
            raise LockHeld(f"{self._host.name}: the lock went to another owner just now; look again")
        self._ended_for(info, why_dead(info, self._machine) or f"{self._owner.who} released its lock")
        return info

    def ensure(self) -> None:
        """Ask the host whether the lock is still ours: before a step that must not happen twice at once.

        Raises:
            LabelrigError: it was taken away: by force, or because this machine was silent for too long.
        """
        if self._lost is None:
            answer = self._ask("beat", self._owner.id)
            if answer.state == "ours":
                return
            self._lost = _lost_to(answer)
        raise LabelrigError(
            f"{self._host.name}: this run no longer holds the lock ({self._lost}), so it stops here; what was done "
            "stays, and the same command goes on from there"
        )

    def _acquire(self, owner: Owner, wait: float = 0.0) -> None:
        try:
            self._wait_for_turn(owner, wait)
        except (ConnectFailed, SudoRefused):
            raise  # no question got there
        except BaseException:
            self._give_back()  # our place in line, or a lock whose answer was lost
            raise

    def _wait_for_turn(self, owner: Owner, wait: float) -> None:
        holder = "no run; others wait in front"

        def attempt() -> bool | None:
            nonlocal holder
            answer = self._attempt(owner, wait)
            if answer.state == "taken":
                return True
            if answer.info is not None:
                holder = answer.info.describe()
                if _refuses(answer.info, wait):
                    raise self._refused(answer.info)
            return None

        try:
            wait_for(
                f"the lock of {self._host.name}",
                attempt,
                timeout=wait,
                pause=self._poll,
                show=self._report.progress,
                doing=lambda: f"held by {holder}",
                clock=self._clock,
            )
        except WaitTimeout as error:
            raise LockHeld(
                f"{self._host.name}: {error}; it is held by {holder}; nothing was changed; wait longer with "
                "`--lock-wait SECONDS`"
            ) from None

    def _attempt(self, owner: Owner, wait: float) -> Answer:
        """Try once; where a dead run is in the way, once more over its body."""
        answer = self._take(owner, wait)
        if answer.state != "held" or answer.info is None:
            return answer
        dead = answer.info
        reason = why_dead(dead, self._machine)
        if reason is None:
            return answer
        before = (dead.id, *dead.owner.broke) if dead.owner is not None else ()
        answer = self._take(owner.model_copy(update={"broke": before}), wait, dead)
        if answer.broke is not None:
            self._broken.extend(before)
            self._report.notice(f"{self._host.name}: took over a dead lock ({reason}) of {dead.describe()}")
            self._ended_for(dead, reason)
        return answer

    def _ended_for(self, info: LockInfo, why: str) -> None:
        if info.owner is not None and info.owner.kind == "run":
            self._died(info.owner, why)

    def _take(self, owner: Owner, wait: float, dead: LockInfo | None = None) -> Answer:
        patience = max(PATIENCE_SECONDS, 5 * self._poll) if wait > 0 else 0.0
        broken = (dead.id, dead.beat) if dead is not None else ()
        return self._ask("take", owner.id, owner.model_dump_json(), f"{patience * 100:.0f}", *broken)

    def _refused(self, info: LockInfo) -> LockHeld:
        person = info.owner is not None and info.owner.kind == "person"
        next_step = (
            "only a person gives it back: ask, then `./inv lock.release` (`--force` for another's)"
            if person
            else "wait for it with `--lock-wait SECONDS`, or look with `./inv lock.status`"
        )
        return LockHeld(f"{self._host.name}: the lock is held by {info.describe()}; nothing was changed; {next_step}")

    def _beat_until(self, ended: threading.Event) -> None:
        while not ended.wait(self._beat):
            try:
                answer = self._ask("beat", self._owner.id)
            except LabelrigError:
                continue  # the work itself meets the same trouble and says so
            if answer.state != "ours":
                self._lost = _lost_to(answer)
                self._report.notice(f"{self._host.name}: this run lost the lock ({self._lost})")
                return

    def _give_back(self) -> None:
        """Remove it if it is ours, and our place in line; the error that ends a run is not hidden by this one."""
        try:
            self._ask("remove", self._owner.id)
        except LabelrigError as error:
            self._report.notice(
                f"{self._host.name}: the lock could not be given back, a later run takes it over: "
                f"{str(error).splitlines()[0]}"
            )

    def _ask(self, verb: str, *arguments: str) -> Answer:
        result = run_script(self._host, "lock", verb, self._base, *arguments, ok=(0, CANNOT_WRITE, GUARD_BUSY))
        if result.exit_code == GUARD_BUSY:
            raise LabelrigError(
                f"{self._host.name}: {self._base} was busy with the lock of another run for half a minute; "
                "is its disk overloaded?"
            )
        if result.exit_code == CANNOT_WRITE:
            raise LabelrigError(
                f"{self._host.name}: the lock cannot be written in {self._base} "
                f"({(result.stderr.splitlines() or ['no reason given'])[-1].strip()}); nothing was changed; "
                "make room there, or choose another `root`"
            )
        return parse_answer(result.stdout.splitlines())


def parse_answer(lines: Sequence[str]) -> Answer:
    """Read what the script printed."""
    values = dict(line.partition(" ")[::2] for line in lines)
    info = None
    if "id" in values:
        info = LockInfo(
            id=values["id"],
            owner=parse_owner(values["owner"]),
            abandoned=not values["owner"],
            beat=values["beat"],
            quiet=int(values["quiet"]) / 100,
            age=float(values["made"]),
        )
    return Answer(values["state"], info, values.get("broke"))


def _refuses(info: LockInfo, wait: float) -> bool:
    """A person's lock is not waited for."""
    return wait <= 0 or (info.owner is not None and info.owner.kind == "person")


def _lost_to(answer: Answer) -> str:
    return f"it is held by {answer.info.describe()}" if answer.info is not None else "it was removed"
