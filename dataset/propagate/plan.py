"""What there is to do in a sequence: from each annotated frame up to the next, the frames whose masks are missing.

A mask depends on the masks that were given before it in the direction of the run, and on the model; the digest of both
stands in its note. So a corrected frame changes the digests of what follows it, and of nothing else. That a track has
no mask on a frame is stored with the digest, too: what is neither there nor known to be absent is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dataset.propagate.objects import AnnotatedFrame, Tracked
from dataset.propagate.sequences import Frame
from labeling.tracks import LEAST_SCORE, LOST_AFTER, TrackNote, run_digest, shown_origin

ANCHORS = 4  # of a track, the last before a frame: as many as SAM 2 is trained with


@dataclass(frozen=True)
class PredictedFrame:
    """A frame without an annotation, its place in the sequence, and what earlier runs stored of it.

    Attributes:
        masks: the notes of its propagated masks on the image that is meant, by track.
        absent: the tracks that were followed into it and have no mask, and the run of each.
    """

    frame: Frame
    place: int
    masks: Mapping[str, TrackNote] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Segment:
    """From an annotated frame into those that follow it, up to the next annotated one.

    Attributes:
        anchors: the annotated frames with masks of the tracks, the nearest first; from it the run begins.
        frames: those to follow into, in their order.
        tracks: by name, the object as it is on the nearest anchor.
        digests: of what each track's masks are made from.
        ended: by the task of a frame, the tracks that have masks on it although they ended.
    """

    anchors: tuple[AnnotatedFrame, ...]
    frames: tuple[PredictedFrame, ...]
    tracks: Mapping[str, Tracked]
    digests: Mapping[str, str]
    ended: Mapping[int, frozenset[str]] = field(default_factory=dict)

    def to_do(self, *, redo: bool) -> list[PredictedFrame]:
        """The frames on which `renewed` names any track."""
        return [one for one in self.frames if self.renewed(one, redo=redo)]

    def renewed(self, one: PredictedFrame, *, redo: bool) -> frozenset[str]:
        """The tracks whose masks on a frame are to be made, or to go.

        Those that were not followed into it. With `redo` all of the segment, and those that ended, where any was not
        followed into it, or has a mask there that was made from other anchors.
        """
        missing = frozenset(self.tracks) - one.masks.keys() - one.absent.keys()
        if not redo:
            return missing
        return frozenset(self.tracks) | self._ended(one) if missing or self._is_old(one) else frozenset()

    def stale(self) -> list[PredictedFrame]:
        """The frames with masks that were made from other anchors, or by another model."""
        return [one for one in self.frames if self._is_old(one)]

    def _is_old(self, one: PredictedFrame) -> bool:
        made_from = {**one.absent, **{track: note.run for track, note in one.masks.items()}}
        return bool(self._ended(one)) or any(made_from.get(each, run) != run for each, run in self.digests.items())

    def _ended(self, one: PredictedFrame) -> frozenset[str]:
        return self.ended.get(one.frame.task, frozenset())


@dataclass
class Plan:
    """All segments of a run, and what people must know of the sequence."""

    segments: list[Segment] = field(default_factory=list)
    annotated: int = 0
    ends: list[str] = field(default_factory=list)  # annotated frames that show no object


def plan_of(
    visited: Iterable[AnnotatedFrame | PredictedFrame],
    sequence: Sequence[Frame],
    names: frozenset[str],
    model_version: str,
    *,
    backward: bool,
    least_score: float = LEAST_SCORE,
    lost_after: int = LOST_AFTER,
) -> Plan:
    """Cut the frames of a run into segments.

    An object that an annotated frame does not show is not there: its track ends, until a later one shows it again.

    Args:
        visited: from the first frame, which is annotated, in the direction of the run.
        sequence: all of its frames.
        names: labels, regions or tracks to follow; empty follows all. A track that ended does so with any of them.
        least_score, lost_after: see `run_digest`. Masks made with others are others.
    """
    plan = Plan()
    behind: list[AnnotatedFrame] = []  # with the objects to follow
    shown: list[AnnotatedFrame] = []  # the same frames, with all of their objects
    following: list[PredictedFrame] = []
    places = {shown_origin(frame.name): place for place, frame in enumerate(sequence)}

    def digest(given: Sequence[tuple[int, str]]) -> str:
        return run_digest(model_version, given, backward=backward, least_score=least_score, lost_after=lost_after)

    def close() -> None:
        if following:
            ended = {one.frame.task: _ended(one, shown, places, backward=backward) for one in following}
            plan.segments.append(_segment(behind, following, ended, digest))
        following.clear()

    for one in visited:
        if isinstance(one, PredictedFrame):
            following.append(one)
            continue
        close()
        plan.annotated += 1
        chosen = tuple(each for each in one.objects if not names or each.is_called(names) or _is_known(each, behind))
        behind.append(AnnotatedFrame(one.frame, one.place, one.size_wh, chosen))
        shown.append(one)
        if not chosen:
            plan.ends.append(one.frame.name)
    close()
    return plan


def _is_known(one: Tracked, behind: Sequence[AnnotatedFrame]) -> bool:
    return any(one.track in frame.tracks for frame in behind)


def _ended(
    one: PredictedFrame, shown: Sequence[AnnotatedFrame], places: Mapping[str, int], *, backward: bool
) -> frozenset[str]:
    """The tracks that have a mask on a frame, were followed past the nearest annotated frame, and are not on that.

    What came from a frame further on, in a run of the other direction, stays; so does what is not of the sequence.
    """
    nearest, known = shown[-1], frozenset[str]().union(*(frame.tracks for frame in shown))

    def came_past(note: TrackNote) -> bool:
        place = places.get(note.origin)
        return place is not None and (place >= nearest.place if backward else place <= nearest.place)

    gone = one.masks.keys() - nearest.tracks
    return frozenset(track for track in gone if track in known or came_past(one.masks[track]))


def _segment(
    behind: Sequence[AnnotatedFrame],
    following: Sequence[PredictedFrame],
    ended: Mapping[int, frozenset[str]],
    digest: Callable[[Sequence[tuple[int, str]]], str],
) -> Segment:
    nearest = behind[-1]
    tracks = {one.track: one for one in nearest.objects}
    anchors = [nearest]
    for frame in reversed(behind[:-1]):
        shown = tuple(one for one in frame.objects if one.track in tracks)
        if shown and len(anchors) < ANCHORS:
            anchors.append(AnnotatedFrame(frame.frame, frame.place, frame.size_wh, shown))
    digests = {
        track: digest(
            [(one.place - nearest.place, each.digest) for one in anchors for each in one.objects if each.track == track]
        )
        for track in tracks
    }
    return Segment(tuple(anchors), tuple(following), tracks, digests, ended)
