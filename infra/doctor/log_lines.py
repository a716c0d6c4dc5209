"""Lines of container logs: which of them a person wants to see."""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

LINE = re.compile(r"^(\S+)-\d+ +\| (\d{4}-\d\d-\d\dT\S+Z) ?(.*)$")
HEALTH_CHECK = re.compile(r'"(?:GET|HEAD) /health[ /?]')
ERASE_LINE = "\x1b[2K"  # compose 2.26 begins each line with it, whatever the colour options are
# Label Studio's logger has two handlers: each line comes twice, its copy within a few lines.
COPY_WITHIN_LINES = 4
COPY_WITHIN = timedelta(seconds=1)


@dataclass(frozen=True)
class LogLine:
    """One line as compose prints it: `sam2-1  | 2026-03-01T10:00:00.000000000Z text`.

    Attributes:
        service: which wrote it; empty for a line of compose's own.
        time: of the engine, in a form of fixed width that sorts; empty for a line of compose's own.
        text: what the service wrote.
        shown: all of it.
    """

    service: str
    time: str
    text: str
    shown: str

    @property
    def moment(self) -> datetime:
        """The time to the microsecond."""
        return datetime.fromisoformat(self.time[:26].rstrip("Z")).replace(tzinfo=UTC)


def read_line(line: str) -> LogLine:
    """Take a line of `docker compose logs --timestamps` apart."""
    line = line.removeprefix(ERASE_LINE)
    found = LINE.match(line)
    return LogLine(found[1], found[2], found[3], line) if found is not None else LogLine("", "", "", line)


class WantedLines:
    """Leaves out health checks, and the copies of lines that a service writes twice."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[LogLine]] = {}
        self._dropped: dict[str, bool] = {}

    def wants(self, line: LogLine) -> bool:
        """Whether to show a line; to be called with each line in order."""
        if not line.service:
            return True
        recent = self._recent.setdefault(line.service, deque(maxlen=COPY_WITHIN_LINES))
        # Lines of a traceback may be alike: an indented one is a copy only below a copy.
        may_be_copy = not line.text.startswith((" ", "\t")) or self._dropped.get(line.service, False)
        copy = may_be_copy and any(line.text == one.text and line.moment - one.moment <= COPY_WITHIN for one in recent)
        self._dropped[line.service] = copy
        recent.append(line)
        return not copy and not HEALTH_CHECK.search(line.text)


class Backlog:
    """What was written until now: the last lines of each service that a person wants, and where each service is.

    Args:
        count: how many lines of each service are kept; None means all.

    Attributes:
        newest: the last line of each service, wanted or not.
    """

    def __init__(self, count: int | None) -> None:
        self._count = count
        self._wanted = WantedLines()
        self._kept: dict[str, deque[LogLine]] = {}
        self._read: Counter[str] = Counter()
        self.newest: dict[str, LogLine] = {}

    def take(self, line: LogLine) -> None:
        """Add a line; those of a service come in order."""
        self._read[line.service] += 1
        if line.service:
            self.newest[line.service] = line
        if self._wanted.wants(line):
            self._kept.setdefault(line.service, deque(maxlen=self._count)).append(line)

    def is_short(self, asked: int) -> bool:
        """Whether a service has more lines than the `asked` ones that were read, and too few of those are wanted."""
        return self._count is not None and any(
            read >= asked and len(self._kept.get(service, ())) < self._count for service, read in self._read.items()
        )

    def lines(self) -> list[LogLine]:
        """The wanted lines of all services, by time."""
        return sorted((line for kept in self._kept.values() for line in kept), key=lambda line: line.time)

    @property
    def moment(self) -> datetime:
        """When the newest line was written."""
        return max(line.moment for line in self.newest.values())

    def is_new(self, line: LogLine) -> bool:
        """Whether a line that is read after the backlog is wanted and was not part of it."""
        last = self.newest.get(line.service)
        new = last is None or line.time > last.time
        return self._wanted.wants(line) and new
