"""Which tasks, annotations and labels an export takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, cast

from core.errors import SettingsError
from labelstudio.bulk import Annotation, TaskRow

Which = Literal["newest", "all"]


@dataclass(frozen=True)
class Selection:
    """A filter; an empty part takes everything.

    Attributes:
        labels: take regions with one of these labels.
        task_ids: take these tasks, as ranges ``(first, last)``, both inclusive.
        annotated_only: leave out tasks without a submitted annotation.
        annotators: take annotations of these people, by e-mail address.
        since: take annotations changed at this time or later.
        before: take annotations changed before this time.
        which: of several annotations of one task, the newest (one marked as ground truth comes first) or all.
        skipped: take annotations of skipped tasks, too.
    """

    labels: frozenset[str] = frozenset()
    task_ids: tuple[tuple[int, int], ...] = ()
    annotated_only: bool = True
    annotators: frozenset[str] = frozenset()
    since: datetime | None = None
    before: datetime | None = None
    which: Which = "newest"
    skipped: bool = False

    def takes_task(self, row: TaskRow) -> bool:
        """Whether a task is worth reading."""
        if self.annotated_only and not row.annotations and not self.skipped:
            return False
        return self.takes_id(row.id)

    def takes_id(self, task_id: int) -> bool:
        """Whether a task's number is among those that were given."""
        return not self.task_ids or any(first <= task_id <= last for first, last in self.task_ids)

    def annotations(self, given: Sequence[Annotation]) -> list[Annotation]:
        """The annotations of one task that are taken, oldest first."""
        taken = [one for one in given if self._takes(one)]
        if self.which == "all" or not taken:
            return taken
        return [max(taken, key=lambda one: (one.ground_truth, one.updated_at, one.id))]

    def as_json(self) -> dict[str, object]:
        """For the manifest."""
        return {
            "labels": sorted(self.labels),
            "tasks": [list(one) for one in self.task_ids],
            "annotated_only": self.annotated_only,
            "annotators": sorted(self.annotators),
            "since": self.since.isoformat() if self.since else None,
            "before": self.before.isoformat() if self.before else None,
            "annotations": self.which,
            "skipped": self.skipped,
        }

    def _takes(self, one: Annotation) -> bool:
        if one.was_cancelled and not self.skipped:
            return False
        if self.annotators and one.annotator.lower() not in self.annotators:
            return False
        if self.since is None and self.before is None:
            return True
        changed = datetime.fromisoformat(one.updated_at)
        return (self.since is None or changed >= self.since) and (self.before is None or changed < self.before)


def selection(
    *,
    labels: str | None = None,
    tasks: str | None = None,
    annotators: str | None = None,
    since: str | None = None,
    until: str | None = None,
    which: str = "newest",
    annotated_only: bool = True,
) -> Selection:
    """Read the command line's words.

    Args:
        labels: names, separated by commas.
        tasks: ids and ranges: `12,20-99`.
        annotators: e-mail addresses, separated by commas.
        since, until: `2026-03-01` (a whole day, UTC), or with a time `2026-03-01T14:00+01:00`.
        which: `newest` or `all`.

    Raises:
        SettingsError: lists everything that cannot be read.
    """
    problems: list[str] = []
    ranges = _ranges(tasks or "", problems)
    first, last = _moment("--since", since, problems), _moment("--until", until, problems, is_end=True)
    if which not in ("newest", "all"):
        problems.append(f"--annotations is newest or all, not {which!r}")
    if first is not None and last is not None and first >= last:
        problems.append(f"--since {since} is not before --until {until}")
    if problems:
        raise SettingsError("; ".join(problems))
    return Selection(
        labels=frozenset(_words(labels)),
        task_ids=ranges,
        annotated_only=annotated_only,
        annotators=frozenset(one.lower() for one in _words(annotators)),
        since=first,
        before=last,
        which=cast(Which, which),
    )


def _words(text: str | None) -> list[str]:
    return [one.strip() for one in (text or "").split(",") if one.strip()]


def _ranges(text: str, problems: list[str]) -> tuple[tuple[int, int], ...]:
    found = []
    for word in _words(text):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", word)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            problems.append(f"--tasks takes ids and ranges such as 12,20-99, not {word!r}")
        else:
            found.append((int(match[1]), int(match[2] or match[1])))
    return tuple(found)


def _moment(name: str, text: str | None, problems: list[str], *, is_end: bool = False) -> datetime | None:
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            problems.append(
                f"{name} takes a day such as 2026-03-01, or a time such as 2026-03-01T14:00+01:00, not {text!r}"
            )
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1 if is_end else 0)
