"""The run of `./inv propagate`: segment by segment, each one request whose answer comes frame by frame.

What came is stored some frames at a time. A run that is stopped or killed is begun again by the same command: it
follows the objects again from the segment's anchor, which gives the same masks, and stores those that are missing.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import LabelStudioError
from core.report import Report
from dataset.importing.target import RegionKey, Shape, results_of
from dataset.propagate.objects import AnnotatedFrame
from dataset.propagate.plan import Plan, PredictedFrame, Segment
from dataset.propagate.storing import NewMasks, PredictionStore
from dataset.propagate.tally import Tally
from hosts.base import Exec
from infra.roles.project.ask_backend import Answer, backend_stream
from labeling.config import LabelingConfig
from labeling.tracks import LEAST_SCORE, TrackNote, note_text
from masks.rle import decode_rle

FRAMES_AT_A_TIME = 10  # in one import into Label Studio,
SECONDS_AT_MOST = 10.0  # unless they come so slowly that people would wait for them


@dataclass(frozen=True)
class _Held:
    """What came of a frame and is not stored yet."""

    frame: PredictedFrame
    masks: NewMasks
    scores: list[float] = field(default_factory=list)
    absent: int = 0
    left_out: int = 0


@dataclass
class Run:
    """One run.

    Attributes:
        sam2: runs a command in the sam2 container.
        labeling: of the project.
        image: the image tag.
        length: how many frames the sequence has.
        key: tells the backend which runs replace each other.
        lost_after, least_score: see the backend's `/propagate`.
    """

    sam2: Exec
    store: PredictionStore
    labeling: LabelingConfig
    report: Report
    image: str
    length: int
    key: str
    backward: bool
    lost_after: int
    redo: bool
    least_score: float = LEAST_SCORE
    tally: Tally = field(default_factory=Tally)
    _held: list[_Held] = field(default_factory=list)
    _since: float = field(default_factory=time.monotonic)

    def go(self, plan: Plan) -> Tally:
        """Follow the objects of every segment.

        Raises:
            LabelStudioError: the backend or Label Studio failed on the way; what was stored stays.
        """
        began = time.monotonic()
        work = [(segment, segment.to_do(redo=self.redo)) for segment in plan.segments]
        self.tally.before = sum(len(segment.frames) - len(left) for segment, left in work if segment.tracks)
        for segment, left in work:
            if not segment.tracks:  # the annotated frame before it shows no object to follow
                gone = (NewMasks(one.frame.task, segment.renewed(one, redo=self.redo)) for one in left)
                self._held += map(_Held, left, gone)
                self._flush()
        # A segment is followed from its anchor up to the last frame that lacks masks.
        passed = [(segment, left, _up_to(segment, left[-1])) for segment, left in work if left and segment.tracks]
        total, done = sum(len(frames) for *_, frames in passed), 0
        for segment, left, frames in passed:
            wanted = {one.place: one for one in left}
            with backend_stream(self.sam2, "/propagate", self._request(segment, frames), self._cancel) as lines:
                for line in lines:
                    if "error" in line:
                        self._flush()
                        raise LabelStudioError(
                            f"the SAM2 backend stopped: {line['error']}; {self.tally.lines()[0]}; run the same command "
                            "again, it goes on from here"
                        )
                    if "frame" not in line:
                        continue
                    done += 1
                    self._take(segment, wanted.get(int(line["frame"])), line)
                    rate = done / max(time.monotonic() - began, 1e-3)
                    self.report.progress(
                        f"propagate: {done} of {total} frames, {rate:.2f} a second, {(total - done) / rate:.0f} s left"
                    )
            self._flush()
        self.tally.seconds = time.monotonic() - began
        return self.tally

    @property
    def _cancel(self) -> str:
        return f"/propagate/{self.key}"

    def _request(self, segment: Segment, frames: Sequence[PredictedFrame]) -> dict[str, object]:
        return {
            "key": self.key,
            "length": self.length,
            "backward": self.backward,
            "lost_after": self.lost_after,
            "least_score": self.least_score,
            "anchors": [_anchor(one, segment) for one in segment.anchors],
            "frames": [_frame(one) for one in frames],
        }

    def _take(self, segment: Segment, wanted: PredictedFrame | None, line: Answer) -> None:
        """Keep the masks that a frame lacks; through one that has them the objects were only followed."""
        if wanted is None:
            return
        if "problem" in line:
            self.tally.problems.append(f"{wanted.frame.name}: {line['problem']}")
            return
        results, scores = list[dict[str, Any]](), list[float]()
        taken, left_out = set[RegionKey](), 0
        renewed = segment.renewed(wanted, redo=self.redo)
        absent = {track: run for track, run in segment.digests.items() if track in renewed}
        origin = segment.anchors[0].frame.name
        for track, found in line["masks"].items():
            if track not in renewed:
                continue
            one = segment.tracks[track]
            if found["ended"]:
                self.tally.lost.append(
                    f"track {track} ({one.labels[0]}) ends: it has no mask in {self.lost_after} frames up to "
                    f"{wanted.frame.name}"
                )
            left_out += found["doubted"]
            if found["rle"] is None:
                continue
            size_wh = (int(line["size_wh"][0]), int(line["size_wh"][1]))
            mask = decode_rle(base64.b64decode(found["rle"]), size_wh)
            shape = Shape(track, "brush", one.labels, self.image, None, size_wh, mask)
            note = TrackNote(track, absent.pop(track), found["score"], origin)
            text = note_text(note, found["presence"])
            results += [{**each, "meta": {"text": [text]}} for each in results_of(shape, self.labeling, track, taken)]
            scores.append(found["score"])
        masks = NewMasks(wanted.frame.task, renewed, results, absent)
        self._held.append(_Held(wanted, masks, scores, len(absent) - left_out, left_out))
        if len(self._held) >= FRAMES_AT_A_TIME or time.monotonic() - self._since > SECONDS_AT_MOST:
            self._flush()

    def _flush(self) -> None:
        """Store what came."""
        held, self._held = self._held, []
        self._since = time.monotonic()
        if not held:
            return
        stored = self.store.store([one.masks for one in held])
        for one in held:
            name, task = one.frame.frame.name, one.frame.frame.task
            if task in stored.written:
                self.tally.add(name, one.scores, one.absent, one.left_out)
            elif task in stored.annotated:
                self.tally.annotated.append(name)
        self.tally.same += len(stored.same)


def _up_to(segment: Segment, last: PredictedFrame) -> list[PredictedFrame]:
    return list(segment.frames[: segment.frames.index(last) + 1])


def _frame(one: PredictedFrame | AnnotatedFrame) -> dict[str, object]:
    return {"number": one.place, "url": one.frame.url, "task": str(one.frame.task)}


def _anchor(one: AnnotatedFrame, segment: Segment) -> dict[str, object]:
    masks = {
        each.track: base64.b64encode(each.code).decode("ascii") for each in one.objects if each.track in segment.tracks
    }
    return {**_frame(one), "size_wh": one.size_wh, "masks": masks}
