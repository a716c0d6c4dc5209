"""What a person sees while labelrig works, and the record that `--json` prints.

Progress goes to stderr, data to stdout. On a terminal the progress line is rewritten in place (see `core.terminal`);
into a file or a CI log a line appears every few seconds, so that long work never looks dead.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

from core.terminal import Screen, Stream, one_line
from core.text import visible

QUIET_SECONDS = 10.0
LINE_WIDTH = 110


@dataclass
class Stage:
    """One stage of a run: its operations and what changed. `seconds` is wall time."""

    name: str
    ok: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    seconds: float = 0.0
    failed: bool = False


class Report:
    """Collects stages and shows them as they happen. Safe to call from reader threads.

    Args:
        stream: what is shown goes there (default: stderr).
        prefix: in front of each line, where several reports share a stream.

    Attributes:
        preview: this is a plan: recorded changes would be made, and none was.
    """

    def __init__(
        self, stream: Stream | None = None, clock: Callable[[], float] = time.monotonic, prefix: str = ""
    ) -> None:
        stream = sys.stderr if stream is None else stream
        self._screen = stream if isinstance(stream, Screen) else Screen(stream)
        self._prefix = prefix
        self._clock = clock
        self._lock = threading.Lock()
        self._began = clock()
        self._last_shown = clock()
        self._steps_left: list[str] = []
        self.preview = False
        self.stages: list[Stage] = []
        self.notices: list[str] = []
        self._noticed: set[str] = set()
        self.diffs: list[dict[str, str]] = []
        self.facts: dict[str, object] = {}

    @contextlib.contextmanager
    def steps(self, count: int) -> Iterator[None]:
        """Number the stages that begin while the context lasts: "step 3 of 9"."""
        self._steps_left = [f"step {number} of {count}: " for number in range(1, count + 1)]
        try:
            yield
        finally:
            self._steps_left = []

    @contextlib.contextmanager
    def stage(self, name: str, *, numbered: bool = True) -> Iterator[Stage]:
        """Group operations under a heading and time them.

        Args:
            numbered: it is one of `steps`; else one that most runs are without.
        """
        stage = Stage(name)
        self.stages.append(stage)
        self._noticed.clear()
        began = self._clock()
        self._line(f"▸ {self._steps_left.pop(0) if numbered and self._steps_left else ''}{name}")
        try:
            yield stage
        except BaseException:
            stage.failed = True
            raise
        finally:
            stage.seconds = self._clock() - began
            self._line(f"  {name}: {self._verdict(stage)}, {stage.seconds:.1f} s")

    def changing(self, summary: str) -> None:
        """Say what is about to be done."""
        self._line(f"    ~ {summary}")

    def ok(self, operation: str, changes: Sequence[str]) -> None:
        """Record that an operation is in its state, and which changes led there; in a plan, would lead there."""
        stage = self._stage()
        stage.changed.extend(changes)
        if not changes:
            stage.ok.append(operation)
        if not (self.preview and changes):
            self._line(f"    ✓ {operation}{' (changed)' if changes else ''}")

    def would_change(self, summary: str, diff: str = "") -> None:
        """Show a change of a plan, with its diff below it. Recorded by `ok`."""
        shown = [f"    ~ {summary}", *(f"        {line}" for line in visible(diff).splitlines())]
        self._line("\n".join(shown))
        if diff:
            self.diffs.append({"change": summary, "diff": diff})

    def unknown(self, what: str, why: str) -> None:
        """Record that a plan cannot know something."""
        self._stage().unknown.append(what)
        self._line(f"    ? {what}: unknown ({why})")

    def skipped(self, what: str, why: str) -> None:
        """Record that something was left out on purpose."""
        self._stage().skipped.append(what)
        self._line(f"    - {what}: skipped ({why})")

    def progress(self, text: str) -> None:
        """Show that long work goes on; rewritten on a terminal, thinned out elsewhere."""
        text = one_line(text)
        if not text:
            return
        if self._screen.live:
            self._screen.progress(f"{self._prefix}      {text}")
            return
        with self._lock:
            due = self._clock() - self._last_shown >= QUIET_SECONDS
        if due:
            self._line(f"      {text[:LINE_WIDTH]}")

    def notice(self, text: str) -> None:
        """Say something that a person must not miss; once a stage, because an operation plans again when it is done."""
        if text in self._noticed:
            return
        self._noticed.add(text)
        self.notices.append(text)
        self._line("\n".join(f"  ! {line}" for line in visible(text).splitlines()))

    def info(self, text: str) -> None:
        """Say something on a line of its own."""
        self._line(text)

    @property
    def changed(self) -> int:
        """Changes applied so far, in all stages."""
        return sum(len(stage.changed) for stage in self.stages)

    @property
    def changes_word(self) -> str:
        """What recorded changes are: made, or only planned."""
        return "would change" if self.preview else "changed"

    def recap(self) -> str:
        """The table that ends a run: one line a stage, then the total."""
        width = max((len(stage.name) for stage in self.stages), default=0)
        lines = [
            f"  {stage.name:<{width}}  ok {len(stage.ok):>3}  {self.changes_word} {len(stage.changed):>3}"
            f"{_few('skipped', stage.skipped)}{_few('unknown', stage.unknown)}"
            f"  {stage.seconds:>6.1f} s{'  FAILED' if stage.failed else ''}"
            for stage in self.stages
        ]
        total = self._clock() - self._began
        return "\n".join([*lines, f"  {self.changed} {self.changes_word} in {total:.1f} s"])

    def as_json(self) -> str:
        """Everything recorded, as one JSON object: stages, notices, changed, seconds, and facts."""
        body = {
            "changed": self.changed,
            "seconds": round(self._clock() - self._began, 3),
            "stages": [asdict(stage) for stage in self.stages],
            "notices": self.notices,
            **({"diffs": self.diffs} if self.diffs else {}),
            **self.facts,
        }
        return json.dumps(body, indent=2, ensure_ascii=False)

    def _stage(self) -> Stage:
        if not self.stages:
            self.stages.append(Stage("run"))
        return self.stages[-1]

    def _verdict(self, stage: Stage) -> str:
        """How a stage ended. Only operations change something: other work says itself what it did."""
        if stage.failed:
            return "failed"
        if not (stage.ok or stage.changed or stage.skipped or stage.unknown):
            return "done"
        return f"{len(stage.changed)} {self.changes_word}"

    def _line(self, text: str) -> None:
        lines = "".join(f"{self._prefix}{line}\n" for line in text.split("\n"))
        with self._lock:
            self._last_shown = self._clock()
            self._screen.write(lines)
            self._screen.flush()


def _few(word: str, items: Sequence[str]) -> str:
    """A column of the recap that is mostly empty."""
    return f"  {word} {len(items):>3}" if items else ""
