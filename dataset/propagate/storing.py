"""Propagated masks as predictions: one a task, in which other tracks keep their masks; never in an annotated task.

A prediction also says which tracks were followed into its image and have no mask there, so that none is followed
into it again and again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dataset.export.tracks import propagated
from labeling.tracks import MODEL_VERSION, no_mask_text, note_of, without_mask
from labelstudio.bulk import REMARKS, Prediction, TaskReader, WholeTask, add_predictions

if TYPE_CHECKING:
    from labelstudio.client import Client

Result = dict[str, Any]


@dataclass(frozen=True)
class NewMasks:
    """What is new in one task.

    Attributes:
        tracks: those whose older masks go.
        results: each with a note of its track.
        absent: the tracks that were followed and have no mask, and the run of each.
    """

    task: int
    tracks: frozenset[str]
    results: Sequence[Result] = ()
    absent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stored:
    """What came of some tasks, by their numbers."""

    written: frozenset[int]
    same: frozenset[int]
    annotated: frozenset[int]
    gone: frozenset[int]


@dataclass(frozen=True)
class PredictionStore:
    """The propagated predictions of one project."""

    client: Client
    project_id: int

    def store(self, new: Sequence[NewMasks]) -> Stored:
        """Put masks into tasks. What is there already in the same form is left as it is.

        The new prediction is there before the old one goes: a run that is killed in between leaves both, and the next
        one that comes to the task removes the older.

        Raises:
            LabelStudioError: Label Studio did not take them.
        """
        reader = TaskReader(self.client, self.project_id, with_predictions=True)
        there = {one.id: one for one in reader.read([one.task for one in new])}
        annotated = {number for number, one in there.items() if is_annotated(one)}
        rows, old, same, written = list[Mapping[str, object]](), list[int](), set[int](), set[int]()
        for one in new:
            task = there.get(one.task)
            if task is None or task.id in annotated:
                continue
            before = propagated(task)
            results, absent = _together(before[-1] if before else None, one)
            if before and before[-1].results == results and without_mask(before[-1].remarks) == absent:
                same.add(task.id)
                old += [each.id for each in before[:-1]]
                continue
            row = {"task": task.id, "result": results, "score": score_of(results), "model_version": MODEL_VERSION}
            remarks = [no_mask_text(track, run) for track, run in absent.items()]
            rows.append({**row, REMARKS: remarks} if remarks else row)
            written.add(task.id)
            old += [each.id for each in before]
        if rows:
            add_predictions(self.client, self.project_id, rows)
        for prediction in old:
            self.client.delete_prediction(prediction)
        gone = {one.task for one in new} - set(there)
        return Stored(frozenset(written), frozenset(same), frozenset(annotated), frozenset(gone))


def is_annotated(task: WholeTask) -> bool:
    """Whether people have annotated it; skipping it is no annotation."""
    return any(not one.was_cancelled for one in task.annotations)


def score_of(results: Sequence[Mapping[str, Any]]) -> float:
    """Of a prediction: the lowest of its masks, so that Label Studio can show doubtful ones first; 0 without any."""
    notes = [note for note in map(note_of, results) if note is not None]
    return min((note.score for note in notes), default=0.0)


def _together(before: Prediction | None, new: NewMasks) -> tuple[list[Result], dict[str, str]]:
    """The results and absent tracks of a task: those of other tracks, and the new ones."""
    if before is None:
        return list(new.results), dict(new.absent)
    kept = [one for one in before.results if not _is_of(one, new.tracks)]
    absent = {track: run for track, run in without_mask(before.remarks).items() if track not in new.tracks}
    return [*kept, *new.results], {**absent, **new.absent}


def _is_of(result: Mapping[str, Any], tracks: frozenset[str]) -> bool:
    note = note_of(result)
    return note is not None and note.track in tracks
