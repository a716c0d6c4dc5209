"""The last clicks and the last errors, for the status page. No image, no mask, no token is kept."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from backend.errors import BackendError
from backend.stages import NAMES

CLICKS = 50
ERRORS = 20
SENTENCE_LENGTH = 400
ORDER = {stage: rank for rank, stage in enumerate(NAMES)}


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class RecentClick:
    """One answered click.

    Attributes:
        at: when the answer was ready, UTC.
        request_id: as in the log and in the reply's header.
        task: Label Studio's task id.
        prompt: what was drawn, for people: `box, 2 points +, 1 point -`.
        label: name of the label; None without one.
        size_wh: of the image, in pixels; None when it was not read.
        stages_ms: milliseconds by stage, with `total`.
        embedding: where the image's embedding came from: `memory`, `disk`, `encoded`; None when none was needed.
        status: HTTP status of the answer.
    """

    at: datetime
    request_id: str
    task: str
    prompt: str
    label: str | None = None
    size_wh: tuple[int, int] | None = None
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    embedding: str | None = None
    status: int = 200


@dataclass(frozen=True)
class RecentError:
    """A sentence that was shown to clients, and how often.

    Attributes:
        kind: name of the error's class.
        sentence: what the client read.
        count: how often it came since it first did.
        first: when it came first, UTC.
        last: when it came last, UTC.
        request_id: of the last one.
    """

    kind: str
    sentence: str
    count: int
    first: datetime
    last: datetime
    request_id: str


@dataclass(frozen=True)
class Percentiles:
    """How long a stage took in the last clicks that had it: median and 95th percentile, in ms, of `count` clicks."""

    stage: str
    p50: float
    p95: float
    count: int


class Recent:
    """Bounded, and safe to use from many threads."""

    def __init__(self, clock: Callable[[], datetime] = _now, *, clicks: int = CLICKS, errors: int = ERRORS) -> None:
        """
        Args:
            clock: the time, in UTC.
            clicks: how many of the last clicks are kept.
            errors: how many different ones of the last errors are kept.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._clicks: deque[RecentClick] = deque(maxlen=clicks)
        self._errors: OrderedDict[tuple[str, str], RecentError] = OrderedDict()
        self._error_limit = errors

    def add_click(
        self,
        *,
        request_id: str,
        task: str,
        prompt: str,
        label: str | None = None,
        size_wh: tuple[int, int] | None = None,
        stages_ms: Mapping[str, float] | None = None,
        embedding: str | None = None,
        status: int = 200,
    ) -> None:
        """Keep a click; the fields are those of `RecentClick`."""
        click = RecentClick(
            self._clock(), request_id, task, prompt, label, size_wh, dict(stages_ms or {}), embedding, status
        )
        with self._lock:
            self._clicks.append(click)

    def add_error(self, error: Exception, request_id: str) -> None:
        """Keep an error. One that is not ours is named without its text, which may hold anything."""
        kind = type(error).__name__
        sentence = str(error) if isinstance(error, BackendError) else f"unexpected {kind}; the log has the details"
        if len(sentence) > SENTENCE_LENGTH:
            sentence = f"{sentence[: SENTENCE_LENGTH - 1]}…"
        now = self._clock()
        with self._lock:
            known = self._errors.pop((kind, sentence), None)
            first = RecentError(kind, sentence, 1, now, now, request_id)
            again = known and replace(known, count=known.count + 1, last=now, request_id=request_id)
            self._errors[kind, sentence] = again or first
            if len(self._errors) > self._error_limit:
                self._errors.popitem(last=False)

    def clicks(self) -> list[RecentClick]:
        """The newest first."""
        with self._lock:
            return list(reversed(self._clicks))

    def errors(self) -> list[RecentError]:
        """The one that came last first."""
        with self._lock:
            return list(reversed(self._errors.values()))

    def percentiles(self) -> list[Percentiles]:
        """Of each stage over the kept clicks that were answered, in the order in which a click
        goes through them; unknown stages before `total`."""
        times: dict[str, list[float]] = {}
        for click in reversed(self.clicks()):
            if click.status < 400:
                for stage, value in click.stages_ms.items():
                    times.setdefault(stage, []).append(value)
        found = [
            Percentiles(stage, percentile(values, 50), percentile(values, 95), len(values))
            for stage, values in times.items()
        ]
        return sorted(found, key=lambda one: ORDER.get(one.stage, len(ORDER) - 1.5))


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank: the smallest value that at least `percent` of all do not exceed.

    Raises:
        ValueError: there are no values, or `percent` is not above 0 and up to 100.
    """
    if not values or not 0 < percent <= 100:
        raise ValueError(f"a percentile needs values and a percent in (0, 100], got {len(values)} and {percent:g}")
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]
