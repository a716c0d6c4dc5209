from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.labelstudio.prompts import Click, read_click, to_pixels
from backend.labelstudio.protocol import ContextRegion
from backend.segmenter import Prompts
from backend.serving.memory import ENTRY_OVERHEAD_BYTES, BoxMemory, MaskMemory, prompt_set
from tests.unit.backend.fakes import region

SIZE_WH = (400, 200)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def click(*entries: dict[str, Any], draft_ids: tuple[str, ...] = (), user: str | None = None) -> Click:
    saved = [{"id": 1, "user": user, "result": [
        {"id": one, "type": "brush", "to_name": "image", "score": 1, "value": {}} for one in draft_ids
    ]}] if draft_ids or user else []  # fmt: skip
    return read_click([ContextRegion.model_validate(entry) for entry in entries], saved)


def box(x: float = 20, y: float = 20, width: float = 40, height: float = 40, **more: Any) -> dict[str, Any]:
    return region("rectanglelabels", x, y, width=width, height=height, size_wh=SIZE_WH, **{"id": "box", **more})


def point(x: float = 40, y: float = 40, **more: Any) -> dict[str, Any]:
    return region("keypointlabels", x, y, size_wh=SIZE_WH, **{"id": "point", **more})


def has_box(memory: BoxMemory, asked: Click, task: str | None = "17") -> bool:
    return memory.complete(task, asked).box is not None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def boxes(clock: Clock) -> BoxMemory:
    memory = BoxMemory(60, clock=clock)
    memory.remember("17", click(box()), ["answer"])
    return memory


def test_a_point_after_a_box_gets_the_box(boxes: BoxMemory) -> None:
    completed = boxes.complete("17", click(point()))
    prompts = to_pixels(completed, SIZE_WH)
    assert prompts.box_xyxy is not None
    np.testing.assert_allclose(prompts.box_xyxy, [80, 40, 240, 120], rtol=1e-6)
    np.testing.assert_allclose(prompts.points_xy, [[160, 80]])


def test_a_negative_point_after_a_box_gets_the_box(boxes: BoxMemory) -> None:
    assert has_box(boxes, click(point(positive=False)))
    assert not has_box(boxes, click(point(90, 90, positive=False)))
    assert has_box(boxes, click(point(), point(90, 90, id="away", positive=False)))


@pytest.mark.parametrize(("x", "counts"), [(20, True), (16.1, True), (15.9, False), (63.9, True), (64.1, False)])
def test_points_may_lie_a_tenth_outside(boxes: BoxMemory, x: float, counts: bool) -> None:
    assert has_box(boxes, click(point(x, 40))) is counts
    assert has_box(boxes, click(point(40, x))) is counts
    assert has_box(boxes, click(point(), point(x, 40, id="other"))) is counts


def test_it_counts_for_this_task_label_and_image_only(boxes: BoxMemory) -> None:
    assert not has_box(boxes, click(point()), task="18")
    assert not has_box(boxes, click(point(label="Boat")))
    assert not has_box(boxes, click({**point(), "to_name": "thermal"}))
    assert not has_box(boxes, click({**point(), "item_index": 1}))
    assert has_box(boxes, click({**point(), "item_index": 0}))


def test_a_click_with_a_box_keeps_it(boxes: BoxMemory) -> None:
    asked = click(box(0, 0, 90, 90, id="new"), point())
    assert boxes.complete("17", asked) is asked
    flat = click(box(30, 30, 0, 10, id="flat"), point())
    assert boxes.complete("17", flat) is flat


def test_it_is_forgotten_after_a_while_and_use_keeps_it(boxes: BoxMemory, clock: Clock) -> None:
    clock.now += 59
    assert has_box(boxes, click(point()))
    clock.now += 59
    assert has_box(boxes, click(point()))
    clock.now += 60
    assert not has_box(boxes, click(point()))
    assert len(boxes) == 0


def test_a_new_box_replaces_the_old(boxes: BoxMemory) -> None:
    boxes.remember("17", click(box(70, 70, 10, 10, id="new")))
    assert not has_box(boxes, click(point()))
    assert has_box(boxes, click(point(75, 75)))
    assert len(boxes) == 1


def test_it_is_forgotten_when_it_was_accepted(boxes: BoxMemory) -> None:
    assert has_box(boxes, click(point(), draft_ids=("other", "mask")))
    assert not has_box(boxes, click(point(), draft_ids=("other", "answer")))
    assert not has_box(boxes, click(point()))


def test_every_answer_with_the_box_counts_as_accepting_it(boxes: BoxMemory) -> None:
    boxes.remember("17", boxes.complete("17", click(point())), ["second"])
    assert has_box(boxes, click(point()))
    assert not has_box(boxes, click(point(), draft_ids=("second",)))


def test_id_of_a_replaced_stroke_does_not_accept(clock: Clock) -> None:
    memory = BoxMemory(60, clock=clock)
    memory.remember("17", click(box(), draft_ids=("stroke",)), ["stroke", "new"])
    assert has_box(memory, click(point(), draft_ids=("stroke",)))
    assert not has_box(memory, click(point(), draft_ids=("stroke", "new")))


def test_a_moved_box_keeps_its_answers(boxes: BoxMemory) -> None:
    boxes.remember("17", click(box(21, 21)))
    assert not has_box(boxes, click(point(), draft_ids=("answer",)))


def test_it_is_forgotten_when_a_newer_draft_does_not_hold_it(boxes: BoxMemory) -> None:
    """The draft holds a prompt of this click, so it was saved after the box was drawn."""
    assert has_box(boxes, click(point(), draft_ids=("point", "box")))
    assert not has_box(boxes, click(point(), draft_ids=("point",)))


def test_annotators_with_names_are_kept_apart(clock: Clock) -> None:
    memory = BoxMemory(60, clock=clock)
    memory.remember("17", click(box(), user="ann"))
    memory.remember("17", click(box(70, 70, 10, 10), user="bob"))
    assert has_box(memory, click(point(), user="ann"))
    assert not has_box(memory, click(point(), user="bob"))
    assert not has_box(memory, click(point()))


def test_a_box_without_a_name_counts_once_the_name_is_known(boxes: BoxMemory, clock: Clock) -> None:
    completed = boxes.complete("17", click(point(), user="ann"))
    assert completed.box is not None
    boxes.remember("17", completed, ["second"])
    assert len(boxes) == 1
    assert has_box(boxes, click(point(), user="ann"))
    clock.now += 1
    boxes.remember("17", click(box(30, 30, 20, 20, id="unnamed")))
    newer = boxes.complete("17", click(point(), user="ann"))
    assert newer.box is not None
    assert newer.box.id == "unnamed"


def test_the_least_recently_used_box_goes_first(clock: Clock) -> None:
    memory = BoxMemory(60, limit=2, clock=clock)
    for task in ("1", "2"):
        memory.remember(task, click(box()))
    assert has_box(memory, click(point()), task="1")
    memory.remember("3", click(box()))
    assert [has_box(memory, click(point()), task=task) for task in ("1", "2", "3")] == [True, False, True]


def test_0_seconds_remember_nothing_and_points_are_no_box(clock: Clock) -> None:
    memory = BoxMemory(0, clock=clock)
    memory.remember("17", click(box()))
    assert len(memory) == 0
    memory = BoxMemory(60, clock=clock)
    memory.remember("17", click(point()), ["answer"])
    memory.remember("17", click(box(width=0)))
    assert len(memory) == 0


def test_boxes_from_many_threads() -> None:
    memory = BoxMemory(60, limit=5)

    def work(seed: int) -> None:
        order = random.Random(seed)
        for _ in range(200):
            task = str(order.randrange(10))
            memory.remember(task, click(box()), [str(order.random())])
            memory.complete(task, click(point(), draft_ids=(str(order.random()),)))

    run(work)
    assert len(memory) == 5


P1, P2, P3 = (1.0, 2.0, 1.0), (3.0, 4.0, 1.0), (5.0, 6.0, 0.0)
BOX = (1.0, 2.0, 3.0, 4.0)


def mask(value: float, side: int = 4) -> Any:
    return np.full((side, side), value, dtype=np.float32)


def found(memory: MaskMemory, *prompts: tuple[float, ...], image: str = "a") -> float | None:
    logits = memory.find(image, frozenset(prompts))
    return None if logits is None else float(logits[0, 0])


def test_the_largest_strict_part_is_found() -> None:
    memory = MaskMemory(1 << 20)
    memory.store("a", frozenset([P1]), mask(1))
    memory.store("a", frozenset([P1, P2]), mask(2))
    memory.store("a", frozenset([P3]), mask(3))
    assert found(memory, P1) is None
    assert found(memory, P1, P2) == 1
    assert found(memory, P1, P2, P3) == 2
    assert found(memory, P1, P2, BOX) == 2
    assert found(memory, P2, BOX) is None
    assert found(memory, P1, P2, image="b") is None


def test_of_two_as_large_the_later_stored_counts() -> None:
    memory = MaskMemory(1 << 20)
    memory.store("a", frozenset([P1]), mask(1))
    memory.store("a", frozenset([P2]), mask(2))
    assert found(memory, P1, P2, P3) == 2
    memory.store("a", frozenset([P1]), mask(4))
    assert found(memory, P1, P2, P3) == 4


def test_bytes_are_bounded_least_recently_used_goes_first() -> None:
    one = mask(0).nbytes + ENTRY_OVERHEAD_BYTES
    memory = MaskMemory(2 * one)
    memory.store("a", frozenset([P1]), mask(1))
    memory.store("b", frozenset([P1]), mask(2))
    assert found(memory, P1, P2) == 1
    memory.store("c", frozenset([P1]), mask(3))
    assert memory.size == 2 * one
    assert [found(memory, P1, P2, image=image) for image in "abc"] == [1, None, 3]
    memory.store("a", frozenset([P1]), mask(9, side=999))  # larger than everything
    assert found(memory, P1, P2) is None
    memory.clear()
    assert memory.size == 0
    assert found(memory, P1, P2, image="c") is None


def test_masks_are_copies_that_nobody_can_change() -> None:
    memory = MaskMemory(1 << 20)
    candidates = np.zeros((3, 4, 4), dtype=np.float32)
    memory.store("a", frozenset([P1]), candidates[1])
    candidates[:] = 7
    logits = memory.find("a", frozenset([P1, P2]))
    assert logits is not None
    assert (logits == 0).all()
    assert logits.base is None  # does not keep the other candidates alive
    with pytest.raises(ValueError, match="read-only"):
        logits[0, 0] = 1


@given(st.lists(st.tuples(st.sampled_from("ab"), st.frozensets(st.integers(0, 4), min_size=1)), max_size=30))
def test_finds_only_strict_parts_of_the_same_image(
    steps: list[tuple[str, frozenset[int]]],
) -> None:
    memory = MaskMemory(10 * (mask(0).nbytes + ENTRY_OVERHEAD_BYTES))
    stored: list[tuple[str, frozenset[tuple[float, ...]]]] = []
    for image, numbers in steps:
        prompts = frozenset((float(number), 0.0, 1.0) for number in numbers)
        logits = memory.find(image, prompts)
        if logits is not None:
            of_image, part = stored[int(logits[0, 0])]
            assert of_image == image
            assert part < prompts
        if len(set(stored)) <= 10:  # nothing had to go yet
            largest = max((len(one) for kept, one in stored if kept == image and one < prompts), default=0)
            assert largest == (0 if logits is None else len(part))
        memory.store(image, prompts, mask(len(stored)))
        stored.append((image, prompts))
        assert memory.size <= 10 * (mask(0).nbytes + ENTRY_OVERHEAD_BYTES)


def test_masks_from_many_threads() -> None:
    one = mask(0).nbytes + ENTRY_OVERHEAD_BYTES
    memory = MaskMemory(20 * one)

    def work(seed: int) -> None:
        order = random.Random(seed)
        for _ in range(500):
            image, value = order.choice("abc"), order.randrange(10)
            memory.store(image, frozenset([(float(value), 0.0, 1.0)]), mask(value))
            logits = memory.find(image, frozenset((float(n), 0.0, 1.0) for n in (value, 99)))
            assert logits is None or logits[0, 0] == value

    run(work)
    assert 0 < memory.size <= 20 * one


def test_prompt_set_ignores_order_duplicates_and_size() -> None:
    entries = [point(10, 20, id="a"), point(33.333, 66.667, id="b", positive=False), box(id="c")]
    again = [*reversed(entries), {**entries[0], "id": "again"}]
    sets = {
        prompt_set(to_pixels(click(*given), size_wh), size_wh)
        for given in (entries, again)
        for size_wh in (SIZE_WH, (4000, 2000), (301, 1999))
    }
    assert sets == {frozenset([(10_000.0, 20_000.0, 1.0), (33_333.0, 66_667.0, 0.0), (2e4, 2e4, 6e4, 6e4)])}


def test_a_prompt_set_without_prompts() -> None:
    nothing = Prompts(np.zeros((0, 2), dtype=np.float32), np.zeros(0, dtype=np.bool_))
    assert prompt_set(nothing, SIZE_WH) == frozenset()


def run(work: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6), timeout=60)) == [None] * 6
