"""Which masks `./inv propagate` makes, and which go: by track, frame and image."""

from __future__ import annotations

from labelstudio.bulk import REMARKS
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.propagate.propagate_bench import CAR, COUNT, ROAD, SIZE, Bench
from tests.unit.dataset.propagate.stream_fake import moved
from tests.unit.labelstudio.annotated import PAIR, brush, rectangle_mask

ROADS, CARS = frozenset({"Road"}), frozenset({"Car"})


def test_objects_left_out_before_are_missing(bench: Bench) -> None:
    """Their masks come beside those that are there, which stay as they are; then nothing is left to do."""
    bench.run(frames=3, objects=ROADS)
    roads = [bench.predicted(place) for place in range(4)]
    bench.sam2.version = "demo@89abcdef+0.2.0"
    tally = bench.run(frames=3)
    assert (tally.before, tally.frames, tally.masks) == (0, 3, 3)
    for place in range(1, 4):
        assert set(bench.masks(place)) == {bench.track("c1"), bench.track("r1")}
        assert roads[place][0] in bench.predicted(place)
    assert bench.run(frames=3).before == 3
    assert len(bench.sam2.asked) == 2


def test_redo_makes_missing_objects(bench: Bench) -> None:
    bench.run(frames=3, objects=ROADS)
    assert bench.run(frames=3, redo=True).frames == 3
    assert all(len(bench.masks(place)) == 2 for place in range(1, 4))
    assert bench.run(frames=3, redo=True).frames == 0
    assert len(bench.sam2.asked) == 2


def test_object_added_to_the_first_frame_is_missing(bench: Bench) -> None:
    bench.run(frames=2)
    new = rectangle_mask(SIZE, 30, 12, 40, 18)
    bench.server.annotate(
        bench.tasks[0], [*brush(CAR, "Car", "c1"), *brush(ROAD, "Road", "r1"), *brush(new, "Car", "new")]
    )
    tally = bench.run(frames=2)
    assert (tally.frames, tally.masks) == (2, 2)
    assert all(len(bench.masks(place)) == 3 for place in (1, 2))


def test_absence_of_one_object_is_not_that_of_another(bench: Bench) -> None:
    """Frames without any mask of one are followed again for the other, and neither of them a third time."""
    bench.sam2.absent = {"c1": {3, 4, 5, 6, 7}, "r1": {6, 7}}
    bench.run(objects=CARS)
    assert [len(bench.masks(place)) for place in range(1, COUNT)] == [1, 1, 0, 0, 0, 0, 0]
    bench.run(objects=ROADS)
    assert [len(bench.masks(place)) for place in range(1, COUNT)] == [2, 2, 1, 1, 1, 0, 0]
    asked = len(bench.sam2.asked)
    for objects in (CARS, ROADS, frozenset[str]()):
        for redo in (False, True):
            assert bench.run(objects=objects, redo=redo).before == COUNT - 1
    assert len(bench.sam2.asked) == asked
    bench.sam2.absent = {}
    bench.annotate_anew(0, *brush(moved(CAR, 1), "Car", "c1"), *brush(ROAD, "Road", "r1"))
    assert bench.run(redo=True).frames == COUNT - 1  # what was absent came of the older mask, too
    assert all(len(bench.masks(place)) == 2 for place in range(1, COUNT))


def test_predictions_that_say_nothing_of_absence_stay(bench: Bench) -> None:
    """Those of an earlier version, and of the page: followed once more, and nothing is there twice."""
    bench.sam2.absent = {"c1": {2}, "r1": {2}}
    bench.run(frames=2)
    for task in bench.tasks[1:3]:
        (one,) = bench.server.predictions[task]
        one.pop(REMARKS, None)
    before = bench.predicted(1)
    tally = bench.run(frames=2)
    assert (tally.before, tally.frames) == (1, 1)
    assert bench.stored[:3] == [0, 1, 1]
    assert (bench.predicted(1), bench.predicted(2)) == (before, [])
    assert bench.run(frames=2).before == 2


def test_each_image_of_a_pair_by_itself(exports: ExportBench) -> None:
    bench = Bench(exports, PAIR)
    bench.run(frames=2, image="rgb")
    assert bench.run(frames=2, image="thermal").masks == 2
    assert [set(bench.masks(place)) for place in (1, 2)] == [{bench.track("r1"), bench.track("t1")}] * 2
    for image in ("rgb", "thermal"):
        assert bench.run(frames=2, image=image, redo=True).before == 2
    assert len(bench.sam2.asked) == 2


def test_masks_of_another_lost_after_are_others(bench: Bench) -> None:
    """They are made again with --redo, and only then."""
    bench.run(frames=2)
    assert bench.run(frames=2, lost_after=50).frames == 0
    assert any("or --lost-after (" in line for line in bench.exports.shown())
    assert bench.run(frames=2, lost_after=50, redo=True).frames == 2
    assert bench.sam2.asked[-1]["lost_after"] == 50
    assert bench.run(frames=2, lost_after=50, redo=True).frames == 0


def test_masks_left_out_are_not_called_absent(bench: Bench) -> None:
    """Their frames are the first to look at, before the lowest scores; --json says both."""
    bench.sam2.absent = {"c1": {1}}
    bench.sam2.doubted = {"c1": {2, 3}, "r1": {3}}
    tally = bench.run(frames=4)
    assert (tally.absent, tally.left_out) == (1, {"4.png": 1, "5.png": 2})
    shown = "\n".join(tally.lines())
    assert "1 times an object was not there" in shown
    assert "3 masks in 2 frames were left out" in shown
    assert "lowest scores: 4.png (1 left out), 5.png (2 left out), 3.png 0.90" in shown
    facts = tally.as_facts()
    assert facts["left_out"] == {"4.png": 1, "5.png": 2}
    assert facts["lowest_scores"][0] == ["3.png", 0.9]
    assert bench.run(frames=4).before == 4
