"""An object that a person deletes on a frame loses the masks that were followed past it, and nothing else does."""

from __future__ import annotations

import pytest

from core.errors import LabelStudioError
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.propagate.propagate_bench import CAR, Bench
from tests.unit.dataset.propagate.stream_fake import moved
from tests.unit.labelstudio.annotated import PAIR, brush, rectangle_mask

OTHER = rectangle_mask((48, 20), 30, 12, 40, 18)


def test_region_deleted_where_it_began(bench: Bench) -> None:
    """Its masks are named as stale, and go with --redo."""
    bench.annotate_anew(2, *brush(CAR, "Car", "right"), *brush(OTHER, "Road", "wrong"))
    bench.run(2, frames=2)
    assert set(bench.masks(3)) == {bench.track("right", 2), bench.track("wrong", 2)}
    bench.annotate_anew(2, *brush(CAR, "Car", "right"))
    assert bench.run(2, frames=2).frames == 0
    assert any("2 frames have masks from before" in line for line in bench.exports.shown())
    bench.run(2, frames=2, redo=True)
    assert [set(bench.masks(place)) for place in (3, 4)] == [{bench.track("right", 2)}] * 2


def test_only_region_deleted_where_it_began(bench: Bench) -> None:
    bench.annotate_anew(2, *brush(OTHER, "Road", "wrong"))
    bench.run(2, frames=2)
    bench.annotate_anew(2)
    bench.run(2, frames=2, redo=True)
    assert [bench.predicted(place) for place in (3, 4)] == [[], []]
    assert bench.stored[3:5] == [1, 1]
    with pytest.raises(LabelStudioError, match=r"has no mask: there is nothing to follow$"):
        bench.run(2, frames=2, redo=True)


def test_object_deleted_on_a_later_frame(bench: Bench) -> None:
    """Begun there, the run has seen no frame that shows it; with the objects that are named, too."""
    bench.run(frames=4)
    (kept,) = (one for one in bench.predicted(2) if one["id"] == bench.track("c1"))
    bench.server.annotate(bench.tasks[2], [kept])
    bench.run(2, frames=1, redo=True)
    bench.run(2, frames=2, redo=True, objects=frozenset({"Car"}))
    assert [set(bench.masks(place)) for place in (1, 3, 4)] == [
        {bench.track("c1"), bench.track("r1")}, {bench.track("c1")}, {bench.track("c1")}
    ]  # fmt: skip


def test_object_that_is_shown_and_not_named_stays(bench: Bench) -> None:
    bench.run(frames=2)
    bench.sam2.version = "demo@89abcdef+0.2.0"
    bench.run(frames=2, redo=True, objects=frozenset({"Car"}))
    assert all(set(bench.masks(place)) == {bench.track("c1"), bench.track("r1")} for place in (1, 2))


def test_masks_of_the_other_direction_stay(bench: Bench) -> None:
    """An annotated frame says nothing of an object that was followed towards it, and not past it."""
    bench.server.annotate(bench.tasks[5], brush(OTHER, "Road", "later"))
    bench.run(5, backward=True, to=bench.tasks[2])
    bench.run(frames=4)
    bench.run(frames=4, redo=True)
    assert bench.track("later", 5) in bench.masks(3)
    bench.annotate_anew(3, *brush(moved(CAR, 3), "Car", "c"))
    bench.run(5, backward=True, to=bench.tasks[2], redo=True)
    assert bench.track("later", 5) not in bench.masks(2)
    assert bench.track("later", 5) in bench.masks(4)


def test_masks_on_the_other_image_of_a_pair_stay(exports: ExportBench) -> None:
    bench = Bench(exports, PAIR)
    for image in ("rgb", "thermal"):
        bench.run(frames=1, image=image)
    bench.run(frames=1, image="rgb", redo=True)
    assert set(bench.masks(1)) == {bench.track("r1"), bench.track("t1")}
