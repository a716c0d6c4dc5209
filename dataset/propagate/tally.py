"""What came of a run of `./inv propagate`: for people, and for `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core.text import inline, some

SHOWN_FIRST = 5


@dataclass
class Tally:
    """What came of it.

    Attributes:
        frames: stored.
        same: made again, and the same as before.
        before: left out, since they had theirs.
        absent: how often an object was not there, so that a frame that was stored has no mask of it.
        left_out: by the name of a frame that was stored, how many of its masks the backend did not believe.
        annotated: frames that people annotated meanwhile.
        lost: tracks that ended, in words.
        scores: of the masks that were stored, with the name of the frame.
        problems: frames that could not be read, in sentences.
    """

    frames: int = 0
    masks: int = 0
    same: int = 0
    before: int = 0
    absent: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    annotated: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    scores: list[tuple[float, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, frame: str, scores: Sequence[float], absent: int, left_out: int) -> None:
        """Count a frame that was stored, by its name."""
        self.frames += 1
        self.masks += len(scores)
        self.scores += [(score, frame) for score in scores]
        self.absent += absent
        if left_out:
            self.left_out[frame] = left_out

    def as_facts(self) -> dict[str, Any]:
        """For `--json`."""
        counted = {name: value for name, value in vars(self).items() if name != "scores"}
        return {**counted, "lowest_scores": [[frame, score] for score, frame in self._lowest()]}

    def lines(self) -> list[str]:
        """For people."""
        found = [f"{self.masks} masks in {self.frames} frames in {self.seconds:.0f} s"]
        if self.before:
            found.append(f"  {self.before} frames had theirs already")
        if self.same:
            found.append(f"  {self.same} frames were followed again and have the same masks as before")
        if self.absent:
            found.append(f"  {self.absent} times an object was not there, so it has no mask")
        if self.left_out:
            found.append(
                f"  {sum(self.left_out.values())} masks in {len(self.left_out)} frames were left out: of a low score, "
                "or where another object's lies"
            )
        found += [f"  {inline(one)}" for one in self.lost]
        if self.annotated:
            found.append(
                f"  people annotated {some(self.annotated)} meanwhile: left alone; what follows is from before that, "
                "make it again with --redo"
            )
        doubtful = [f"{inline(frame)} ({count} left out)" for frame, count in self.left_out.items()]
        doubtful += [f"{inline(frame)} {score:.2f}" for score, frame in self._lowest()]
        if doubtful:
            found.append(
                f"  look first at what was left out, and at the lowest scores: {', '.join(doubtful[:SHOWN_FIRST])}"
            )
        return found + [f"  passed over: {inline(one)}" for one in self.problems]

    def _lowest(self) -> list[tuple[float, str]]:
        return sorted(self.scores)[:SHOWN_FIRST]
