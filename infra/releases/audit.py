"""The audit log on the host: a JSON line when a run begins to change it, and one with how it ended.

A run that was killed, or lost its host, writes no end: the run that takes its lock over does, with `died`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import LabelrigError
from core.report import Report
from hosts.base import Host
from infra.releases.scripts import run_script

ERROR_LENGTH = 300
TORN_ALLOWANCE = 10  # lines read beyond those asked for, as some may be cut off
LINES_OF_A_RUN = 3  # began, died, and its own end where it was alive after all
AuditResult = Literal["began", "ok", "failed", "rolled-back", "refused", "stopped", "died"]


class AuditEvent(BaseModel):
    """What one run did. No field for free text but the error's first line, which never holds a secret.

    Attributes:
        run: the id of the run, the same in its lines; empty in lines of earlier versions.
        result: `began` until it ends; `stopped` by hand; `died` where it did not write its end itself.
        exit_code: None where the run has none, or it is not known.
        seconds: that it took; None where that is not known.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    at: str = ""
    run: str = ""
    who: str
    where: str
    command: str
    commit: str = ""
    dirty: bool = False
    release: str | None = None
    result: AuditResult
    exit_code: int | None = None
    seconds: float | None = None
    changes: int = 0
    error: str | None = None


class AuditLog:
    """The audit log of one project on one host."""

    def __init__(
        self,
        host: Host,
        base: str,
        report: Report,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._host = host
        self._path = f"{base}/audit.jsonl"
        self._report = report
        self._now = now

    def append(self, event: AuditEvent) -> None:
        """Add a line with the present time. A log that cannot be written is a notice: the run itself is done."""
        line = event.model_copy(
            update={
                "at": self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "error": first_line(event.error),
            }
        )
        try:
            run_script(self._host, "audit", "append", self._path, line.model_dump_json())
        except LabelrigError as error:
            self._report.notice(
                f"{self._host.name}: this run is not in the audit log {self._path}: {first_line(str(error))}"
            )

    def entries(self, last: int) -> list[AuditEvent]:
        """Return how the last runs stand, one entry each, oldest first. Lines that a crash cut off are left out."""
        count = LINES_OF_A_RUN * last + TORN_ALLOWANCE
        text = run_script(self._host, "audit", "last", self._path, str(count)).stdout
        runs = latest(event for line in text.splitlines() if (event := _parse(line)) is not None)
        return runs[len(runs) - min(last, len(runs)) :]


def latest(events: Iterable[AuditEvent]) -> list[AuditEvent]:
    """The last line of each run, in the order in which those were written; a run that wrote its end did not die."""
    found: dict[str, AuditEvent] = {}
    for number, event in enumerate(events):
        key = event.run or f"line {number}"
        if event.result == "died" and key in found and found[key].result != "began":
            continue
        found.pop(key, None)
        found[key] = event
    return list(found.values())


def first_line(text: str | None) -> str | None:
    """Return the first line, cut to what a log line holds."""
    lines = (text or "").strip().splitlines()
    return lines[0][:ERROR_LENGTH] if lines else None


def _parse(line: str) -> AuditEvent | None:
    try:
        return AuditEvent.model_validate_json(line)
    except ValidationError:
        return None
