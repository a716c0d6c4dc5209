"""What there is to do in a sequence: from each annotated frame up to the next, the frames whose masks are missing.

A mask depends on the masks that were given before it in the direction of the run, and on the model; the digest of both
stands in its note. So a corrected frame changes the digests of what follows it, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dataset.propagate.objects import AnnotatedFrame, Tracked
from dataset.propagate.sequences import Frame
from labeling.tracks import LEAST_SCORE, TrackNote, run_digest

ANCHORS = 4  # of a track, the last before a frame: as many as SAM 2 is trained with


@dataclass(frozen=True)
class PredictedFrame:
    """A frame without an annotation, its place in the sequence, and the notes of the masks that it has.

    `notes` is None where it has no propagated prediction; one of a frame on which no object is has no notes.
    """

    frame: Frame
    place: int
    notes: tuple[TrackNote, ...] | None = None


@dataclass(frozen=True)
class Segment:
    """From an annotated frame into those that follow it, up to the next annotated one.

    Attributes:
        anchors: the annotated frames with masks of the tracks, the nearest first; from it the run begins.
        frames: those to follow into, in their order.
        tracks: by name, the object as it is on the nearest anchor.
        digests: of what each track's masks are made from.
        ended: tracks that earlier anchors have and the nearest has not: on the frames of this segment they have none.
    """

    anchors: tuple[AnnotatedFrame, ...]
    frames: tuple[PredictedFrame, ...]
    tracks: Mapping[str, Tracked]
    digests: Mapping[str, str]
    ended: frozenset[str] = frozenset()

    def to_do(self, *, redo: bool) -> list[PredictedFrame]:
        """The frames whose masks are missing; with `redo` also those whose masks were made from other anchors."""
        return [one for one in self.frames if not (self._is_current(one) if redo else self._is_done(one))]

    def stale(self) -> list[PredictedFrame]:
        """The frames with masks that were made from other anchors, or by another model."""
        return [one for one in self.frames if any(self._is_old(note) for note in one.notes or ())]

    def _is_old(self, note: TrackNote) -> bool:
        return note.track in self.ended or self.digests.get(note.track, note.run) != note.run

    def _is_done(self, one: PredictedFrame) -> bool:
        if not self.tracks:
            return True
        return one.notes is not None and (not one.notes or any(note.track in self.tracks for note in one.notes))

    def _is_current(self, one: PredictedFrame) -> bool:
        notes = one.notes or ()
        there = not self.tracks or any(note.track in self.tracks for note in notes)
        return there and not any(map(self._is_old, notes))


@dataclass
class Plan:
    """All segments of a run, and what people must know of the sequence."""

    segments: list[Segment] = field(default_factory=list)
    annotated: int = 0
    ends: list[str] = field(default_factory=list)  # annotated frames that show no object


def plan_of(
    visited: Iterable[AnnotatedFrame | PredictedFrame],
    names: frozenset[str],
    model_version: str,
    *,
    backward: bool,
    least_score: float = LEAST_SCORE,
) -> Plan:
    """Cut the frames of a run into segments.

    An object that an annotated frame does not show is not there: its track ends, until a later one shows it again.

    Args:
        visited: from the first frame, which is annotated, in the direction of the run.
        names: labels, regions or tracks to follow; empty follows all.
        least_score: of a mask that is believed. Masks made with another one are others.
    """
    plan = Plan()
    behind: list[AnnotatedFrame] = []
    following: list[PredictedFrame] = []

    def close() -> None:
        if following and any(one.objects for one in behind):
            plan.segments.append(_segment(behind, following, model_version, backward=backward, least_score=least_score))
        following.clear()

    for one in visited:
        if isinstance(one, PredictedFrame):
            following.append(one)
            continue
        close()
        plan.annotated += 1
        chosen = tuple(each for each in one.objects if not names or each.is_called(names) or _is_known(each, behind))
        behind.append(AnnotatedFrame(one.frame, one.place, one.size_wh, chosen))
        if not chosen:
            plan.ends.append(one.frame.name)
    close()
    return plan


def _is_known(one: Tracked, behind: Sequence[AnnotatedFrame]) -> bool:
    return any(each.track == one.track for frame in behind for each in frame.objects)


def _segment(
    behind: Sequence[AnnotatedFrame],
    following: Sequence[PredictedFrame],
    model_version: str,
    *,
    backward: bool,
    least_score: float,
) -> Segment:
    nearest = behind[-1]
    tracks = {one.track: one for one in nearest.objects}
    anchors = [nearest]
    for frame in reversed(behind[:-1]):
        shown = tuple(one for one in frame.objects if one.track in tracks)
        if shown and len(anchors) < ANCHORS:
            anchors.append(AnnotatedFrame(frame.frame, frame.place, frame.size_wh, shown))
    digests = {
        track: run_digest(
            model_version,
            [
                (one.place - nearest.place, each.digest)
                for one in anchors
                for each in one.objects
                if each.track == track
            ],
            backward=backward,
            least_score=least_score,
        )
        for track in tracks
    }
    known = {one.track for frame in behind for one in frame.objects}
    return Segment(tuple(anchors), tuple(following), tracks, digests, frozenset(known - set(tracks)))
