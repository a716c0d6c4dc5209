"""Many clicks of two people at once."""

from __future__ import annotations

import pytest

from labelstudio.truth import TruthObject
from masks.measure import intersection_over_union
from tests.e2e import clicks
from tests.e2e.browser.conftest import MakeDesk
from tests.e2e.clicks import Round, Scene
from tests.e2e.workbench import Bench

GOOD = 0.75
KEPT = 3


@pytest.mark.parametrize("count", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_two_people_on_two_tasks_keep_their_own_masks(
    make_desk: MakeDesk, bench: Bench, scenes: list[Scene], round_: Round, count: int
) -> None:
    """Both click before either has an answer, again and again. Each looks at each mask, and keeps every third."""
    chosen = (scenes[0], scenes[1])
    people = [(make_desk(), scene, bench.task(image=scene.task.image)) for scene in chosen]
    for desk, scene, task in people:
        desk.open(bench.project_id, task, scene.size_wh)
        desk.says(": ready")
    kept: list[list[TruthObject]] = [[], []]
    for number in range(count):
        for desk, scene, _ in people:
            one = scene.objects[number % len(scene.objects)]
            desk.label(one.label)
            desk.click(one.click_xy, "Control")  # Control: also where a mask lies already
        for (desk, scene, _), done in zip(people, kept, strict=True):
            one = scene.objects[number % len(scene.objects)]
            assert intersection_over_union(desk.suggestion(), one.mask()) >= GOOD, f"click {number} of {scene.image}"
            is_kept = number % KEPT == KEPT - 1
            desk.key("Enter" if is_kept else "Escape")
            if is_kept:
                done.append(one)
    for (desk, _, _), done in zip(people, kept, strict=True):
        stored = clicks.read_back(round_, desk.submit())
        assert len(stored) == count // KEPT
        assert [one.labels for one in stored] == [(one.label,) for one in done]
        scores = [intersection_over_union(found.mask, one.mask()) for found, one in zip(stored, done, strict=True)]
        assert min(scores) >= GOOD
