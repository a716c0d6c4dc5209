"""`./inv propagate` in a project: predictions by frame, tracks, anchors, what is made again and what is left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.errors import LabelStudioError, SettingsError
from dataset.propagate import work
from dataset.propagate.command import PropagateOptions
from labeling.tracks import TrackNote, note_of, note_text
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.propagate.propagate_bench import CAR, COUNT, ROAD, SIZE, Bench
from tests.unit.dataset.propagate.stream_fake import StreamFake, moved
from tests.unit.labelstudio.annotated import SPLIT, brush, rectangle_mask


def test_every_frame_gets_the_masks_of_both_objects(bench: Bench) -> None:
    """In the natural order of names; each mask says its track, where it comes from, and how sure the model is."""
    tally = bench.run()
    assert (tally.frames, tally.masks, tally.before) == (COUNT - 1, 2 * (COUNT - 1), 0)
    assert bench.stored == [0] + [1] * (COUNT - 1)
    for place in range(1, COUNT):
        found = bench.masks(place)
        np.testing.assert_array_equal(found[bench.track("c1")], moved(CAR, place))
        np.testing.assert_array_equal(found[bench.track("r1")], moved(ROAD, place))
    first = bench.predicted(1)[0]
    assert first["value"]["brushlabels"] == ["Car"]
    (text,) = first["meta"]["text"]
    assert text.startswith(f"track {bench.track('c1')}: out of 2.png, score 0.90, presence 0.95, run ")
    (one,) = bench.server.predictions[bench.tasks[1]]
    assert (one["model_version"], one["score"]) == ("propagate", 0.9)
    facts: Any = bench.exports.report.facts["propagate"]
    assert facts["masks"] == 14


def test_with_a_palette_both_results_have_the_note(exports: ExportBench) -> None:
    bench = Bench(exports, SPLIT)
    bench.run(frames=1)
    assert [one["type"] for one in bench.predicted(1)] == ["brush", "labels", "brush", "labels"]
    assert all(note_of(one) is not None for one in bench.predicted(1))


@pytest.mark.parametrize(
    ("options", "filled"),
    [
        ({"frames": 2}, [1, 2]),
        ({"to": 3}, [1, 2, 3]),
        ({"frames": 99}, [1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_up_to_where(bench: Bench, options: dict[str, Any], filled: list[int]) -> None:
    if "to" in options:
        options = {"to": bench.tasks[options["to"]]}
    bench.run(**options)
    assert [place for place, count in enumerate(bench.stored) if count] == filled


def test_backward(bench: Bench) -> None:
    bench.server.annotate(bench.tasks[5], brush(CAR, "Car", "x"))
    bench.run(5, backward=True, frames=2)
    assert [place for place, count in enumerate(bench.stored) if count] == [3, 4]
    assert bench.sam2.asked[0]["backward"] is True
    assert [one["number"] for one in bench.sam2.asked[0]["frames"]] == [4, 3]
    np.testing.assert_array_equal(bench.masks(3)[bench.track("x", 5)], moved(CAR, -2))


def test_chosen_objects_only(bench: Bench) -> None:
    bench.run(frames=1, objects=frozenset({"Road"}))
    assert list(bench.masks(1)) == [bench.track("r1")]
    # The other one comes beside it: a prediction is of the task.
    bench.run(frames=1, objects=frozenset({"c1"}))
    assert set(bench.masks(1)) == {bench.track("r1"), bench.track("c1")}
    with pytest.raises(
        SettingsError, match=r"^--objects Boat: 2\.png \(task \d+\) has no such mask; name labels, region"
    ):
        bench.run(objects=frozenset({"Boat"}))


def test_second_run_does_nothing(bench: Bench) -> None:
    bench.run()
    before = {task: list(found) for task, found in bench.server.predictions.items()}
    tally = bench.run()
    assert (tally.frames, tally.before) == (0, COUNT - 1)
    assert len(bench.sam2.asked) == 1
    assert bench.server.predictions == before
    assert "7 frames had theirs already" in "\n".join(tally.lines())


def test_absent_object_has_no_mask_there(bench: Bench) -> None:
    bench.sam2.absent = {"c1": {2, 3}, "r1": {3}}
    tally = bench.run(frames=4)
    assert [len(bench.masks(place)) for place in range(1, 5)] == [2, 1, 0, 2]
    assert bench.stored[3] == 1  # with no mask: it was looked at
    assert tally.absent == 3
    again = bench.run(frames=4)
    assert (again.before, again.frames) == (4, 0)


def test_track_that_ends_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = StreamFake._frame

    def ending(fake: StreamFake, asked: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
        line = frame(fake, asked, one)
        for track, found in line["masks"].items():
            if "c1" in track:
                found |= {"rle": None, "ended": one["number"] == 2}
        return line

    monkeypatch.setattr(StreamFake, "_frame", ending)
    assert bench.run(frames=3, lost_after=2).lost == [
        f"track {bench.track('c1')} (Car) ends: it has no mask in 2 frames up to 4.png"
    ]


def test_masks_of_another_least_score_are_others(bench: Bench) -> None:
    """They are made again with --redo, and only then."""
    bench.run(frames=2)
    assert bench.sam2.asked[-1]["least_score"] == 0.5
    assert bench.run(frames=2, least_score=0.0).frames == 0
    assert bench.run(frames=2, least_score=0.0, redo=True).frames == 2
    assert bench.sam2.asked[-1]["least_score"] == 0
    assert bench.run(frames=2, least_score=0.0, redo=True).frames == 0
    with pytest.raises(SettingsError, match=r"^--least-score 2: must be from 0 to 1$"):
        bench.run(least_score=2.0)


def test_corrected_frame_is_an_anchor(bench: Bench) -> None:
    """What lies before it stays, what follows is made again from it; the person's annotation is not touched."""
    bench.run()
    before = [bench.runs(place) for place in range(COUNT)]
    corrected = rectangle_mask(SIZE, 20, 2, 28, 8)
    taken = [one for one in bench.predicted(4) if one["id"] == bench.track("c1")]
    fixed = [{**one, "value": {**one["value"], "rle": brush(corrected, "Car")[0]["value"]["rle"]}} for one in taken]
    bench.server.annotate(bench.tasks[4], fixed)
    kept = list(bench.server.predictions[bench.tasks[4]])
    notice_run = bench.run()
    assert notice_run.frames == 0
    assert any(
        "3 frames have masks from before an annotated frame was corrected" in line for line in bench.exports.shown()
    )
    tally = bench.run(redo=True)
    assert (tally.before, tally.frames, tally.masks) == (3, 3, 3)
    assert bench.server.predictions[bench.tasks[4]] == kept
    assert [bench.runs(place) for place in range(1, 4)] == before[1:4]
    for place in range(5, COUNT):
        # The road is not on the corrected frame: its track ended there, and what was made of it before goes.
        assert bench.runs(place).isdisjoint(before[place])
        np.testing.assert_array_equal(bench.masks(place)[bench.track("c1")], moved(corrected, place - 4))
    anchors = bench.sam2.asked[-1]["anchors"]
    assert [one["number"] for one in anchors] == [4, 0]
    assert [sorted(one["masks"]) for one in anchors] == [[bench.track("c1")]] * 2
    assert bench.run(redo=True).frames == 0


def test_redrawn_mask_is_the_same_object(bench: Bench) -> None:
    """A region without a note, where the propagated one of its label lies; elsewhere it begins a track."""
    bench.run(frames=4)
    drawn = [*brush(moved(CAR, 2), "Car", "new"), *brush(rectangle_mask(SIZE, 30, 12, 40, 18), "Car", "other")]
    bench.server.annotate(bench.tasks[2], drawn)
    bench.run(frames=4, redo=True)
    assert set(bench.masks(3)) == {bench.track("c1"), bench.track("other", 2)}


def test_copy_of_a_region_is_another_object(bench: Bench) -> None:
    """Copied in the editor, it has the note of the first."""
    bench.run(frames=2)
    (one,) = (one for one in bench.predicted(1) if one["id"] == bench.track("c1"))
    bench.server.annotate(bench.tasks[1], [one, {**one, "id": "copy"}])
    bench.run(1, frames=1, redo=True)
    assert set(bench.masks(2)) == {bench.track("c1"), bench.track("copy", 1)}  # the road is not on that frame


@pytest.mark.parametrize("after", [0, 3, 6])
def test_killed_run_goes_on(bench: Bench, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "FRAMES_AT_A_TIME", 2)
    bench.sam2.stops_before = after + 1
    with pytest.raises(
        LabelStudioError, match=r"^the SAM2 backend stopped in the middle of POST /propagate; see its log"
    ):
        bench.run()
    assert sum(bench.stored) == after // 2 * 2
    bench.sam2.stops_before = None
    bench.run()
    assert bench.stored == [0] + [1] * (COUNT - 1)
    for place in range(1, COUNT):
        np.testing.assert_array_equal(bench.masks(place)[bench.track("c1")], moved(CAR, place))


def test_backend_that_falls_silent_is_named_as_such(bench: Bench) -> None:
    bench.sam2.stops_before, bench.sam2.ends = 2, (2, "no answer on port 9090: nothing came for 330 s\n")
    with pytest.raises(
        LabelStudioError,
        match=r"^the SAM2 backend does not go on with POST /propagate: no answer .*: nothing came for 330 s; see",
    ):
        bench.run()


def test_error_of_the_backend_keeps_what_came(bench: Bench) -> None:
    bench.sam2.error = (4, "following needs more memory than cpu has free")
    with pytest.raises(
        LabelStudioError, match=r"^the SAM2 backend stopped: following needs more memory .*; 6 masks in 3"
    ):
        bench.run()
    assert bench.stored == [0, 1, 1, 1, 0, 0, 0, 0]


def test_replaced_run_leaves_the_one_in_its_place(bench: Bench) -> None:
    """Both have one key, so that a DELETE of the run that was replaced would end the other."""
    bench.sam2.error = (4, "the same propagation was begun again")
    with pytest.raises(LabelStudioError, match=r"^the SAM2 backend stopped: the same propagation was begun again; "):
        bench.run()
    assert bench.sam2.cancelled == []


def test_stopped_by_hand_ends_the_backends_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(text: str) -> None:
        if text.startswith("propagate: 3 of 7 frames"):
            raise KeyboardInterrupt

    monkeypatch.setattr(work, "FRAMES_AT_A_TIME", 1)
    monkeypatch.setattr(bench.exports.report, "progress", stop)
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    assert bench.sam2.cancelled == [f"/propagate/project-{bench.project.id}-{bench.tasks[0]}"]
    assert bench.stored == [0, 1, 1, 1, 0, 0, 0, 0]


def test_refusal_is_said(bench: Bench) -> None:
    bench.sam2.refuses = "the masks of frame 0 are of 48x20 pixels, and it has 64x48"
    with pytest.raises(LabelStudioError, match=r"^the SAM2 backend refuses: the masks of frame 0 are of 48x20 pixels"):
        bench.run()
    assert not any(bench.stored)


def test_task_that_is_annotated_meanwhile_is_left_alone(bench: Bench) -> None:
    def annotate(number: int) -> None:
        if number == 3:
            bench.server.annotate(bench.tasks[3], brush(CAR, "Car", "mine"))

    bench.sam2.on_frame = annotate
    tally = bench.run()
    assert bench.stored[3] == 0
    assert tally.annotated == ["5.png"]
    assert any("people annotated 5.png meanwhile" in line for line in tally.lines())


def test_skipped_task_is_no_anchor(bench: Bench) -> None:
    bench.server.annotate(bench.tasks[2], [], was_cancelled=True)
    bench.run(frames=3)
    assert bench.stored[:4] == [0, 1, 1, 1]


def test_frame_that_cannot_be_read_is_named(bench: Bench) -> None:
    bench.sam2.unreadable = {2}
    tally = bench.run(frames=3)
    assert tally.problems == ["4.png: the image cannot be read"]
    assert bench.stored[:4] == [0, 1, 0, 1]


def test_two_predictions_of_a_killed_run_become_one(bench: Bench) -> None:
    bench.run(frames=2)
    old = {**bench.server.predictions[bench.tasks[1]][0], "id": 0}
    bench.server.predictions[bench.tasks[1]].insert(0, old)
    bench.sam2.version = "demo@89abcdef+0.2.0"
    bench.run(frames=2, redo=True)
    assert bench.stored[:3] == [0, 1, 1]


def test_what_cannot_be_followed_is_refused(bench: Bench) -> None:
    with pytest.raises(
        SettingsError, match=r"^--from \d+ \(3\.png\): people have not annotated it; annotate the first"
    ):
        bench.run(1)
    with pytest.raises(
        SettingsError, match=r"^task \d+ \(2\.png\) has no earlier frame in its sequence, from set/2\.png"
    ):
        bench.run(backward=True)
    with pytest.raises(SettingsError, match=r"^--to 9999: no later frame of the sequence of task \d+ is of this task"):
        bench.run(to=9999)
    bench.server.annotate(bench.tasks[6], [])
    with pytest.raises(LabelStudioError, match=r"9\.png \(task \d+\) has no mask: there is nothing to follow$"):
        bench.run(6)
    with pytest.raises(SettingsError, match=r"^give either --to or --frames$"):
        PropagateOptions(None, 1, to=2, frames=3)
    with pytest.raises(SettingsError, match=r"^--frames 0: must be 1 or more$"):
        PropagateOptions(None, 1, frames=0)
    assert not bench.sam2.asked


def test_notes_are_read_as_they_were_written() -> None:
    note = TrackNote("12.8f-K2", "0123456789ab", 0.5, "a, score b.png")
    text = note_text(note, 0.75)
    assert note_of({"meta": {"text": ["something else", text]}}) == note
    assert note_of({"meta": {"text": text}}) == note
    others: list[dict[str, Any]] = [
        {},
        {"meta": []},
        {"meta": {"text": ["track 3"]}},
        {"meta": {"text": [text + " more"]}},
    ]
    for other in others:
        assert note_of(other) is None
