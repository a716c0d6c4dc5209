"""The audit log on the host: one JSON line for each run that changed it, or was refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import LabelrigError
from core.report import Report
from hosts.base import Host
from infra.releases.scripts import run_script

ERROR_LENGTH = 300
TORN_ALLOWANCE = 10  # lines read beyond those asked for, as some may be cut off


class AuditEvent(BaseModel):
    """What one run did. No field for free text but the error's first line, which never holds a secret."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    at: str = ""
    who: str
    where: str
    command: str
    commit: str = ""
    dirty: bool = False
    release: str | None = None
    result: Literal["ok", "failed", "rolled-back", "refused"]
    exit_code: int
    seconds: float
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
        """Return the last entries, oldest first. Lines that a crash cut off are left out."""
        text = run_script(self._host, "audit", "last", self._path, str(last + TORN_ALLOWANCE)).stdout
        events = [event for line in text.splitlines() if (event := _parse(line)) is not None]
        return events[len(events) - min(last, len(events)) :]


def first_line(text: str | None) -> str | None:
    """Return the first line, cut to what a log line holds."""
    lines = (text or "").strip().splitlines()
    return lines[0][:ERROR_LENGTH] if lines else None


def _parse(line: str) -> AuditEvent | None:
    try:
        return AuditEvent.model_validate_json(line)
    except ValidationError:
        return None
