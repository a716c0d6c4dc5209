"""How the last backup, verification and drill of a stack went, as the script wrote it down."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hosts.base import Host

What = Literal["backup", "verify", "drill"]
DAY = 86400.0
OLD = 2 * DAY  # a backup that is made every day
OLD_DRILL = 35 * DAY
GOES_ON = "goes_on"  # in an answer that was written at the begin
BEGUN = "it was begun and has not ended: it goes on, or was cut off"
LONGEST = 6 * 3600.0  # after which what goes on was cut off


@dataclass(frozen=True)
class LastRun:
    """How one of them went.

    Attributes:
        ok: it did what it should.
        ended: when it ended, in seconds since 1970.
        seconds: how long it took.
        answer: what it said: `snapshot`, `bytes`, ... or `problem`.
    """

    ok: bool
    ended: float
    seconds: float
    answer: Mapping[str, Any]

    def hours(self, now: Callable[[], float] = time.time) -> float:
        """How long ago it ended."""
        return max(0.0, now() - self.ended) / 3600

    def may_go_on(self, now: Callable[[], float] = time.time) -> bool:
        """Whether it was begun a short time ago and has not ended."""
        return bool(self.answer.get(GOES_ON)) and now() - self.ended < LONGEST

    @property
    def problem(self) -> str:
        """Why it failed; empty where it did not."""
        return str(self.answer.get("problem", ""))


def read_run(host: Host, folder: str, what: What, *, good: bool = False) -> LastRun | None:
    """The last run, or the last one that went well; None where there was none.

    Args:
        folder: of the backup on the host; see `BackupPlace.folder`.
    """
    content = host.read(f"{folder}/{'good' if good else 'last'}-{what}.json", as_root=not host.is_local)
    return None if content is None else parse_run(content)


def parse_run(content: bytes) -> LastRun | None:
    """Read what the script wrote; None where it is something else."""
    try:
        found = json.loads(content)
        began, ended = float(found["began"]), float(found["ended"])
        return LastRun(found["ok"] is True, ended, ended - began, dict(found["answer"]))
    except (ValueError, KeyError, TypeError):
        return None


def encode_run(began: float, ended: float, answer: Mapping[str, Any]) -> bytes:
    """What `parse_run` reads."""
    facts = {"began": int(began), "ended": int(ended), "ok": "problem" not in answer, "answer": dict(answer)}
    return (json.dumps(facts) + "\n").encode()
