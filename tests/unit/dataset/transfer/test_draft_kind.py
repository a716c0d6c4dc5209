"""`--kind draft`: what our program in Label Studio's container is asked for, and what becomes of its answers."""

from __future__ import annotations

from typing import Any

import pytest

from dataset.transfer.regions import Transfer
from labelstudio.masks import masks_in
from labelstudio.models import Project
from masks.measure import intersection_over_union as iou
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.transfer.drawn import KNOWN, THERMAL_WH, drawn
from tests.unit.dataset.transfer.test_projects import RGB, on_rgb, pairs, picture, transfer
from tests.unit.labelstudio.annotated import url
from tests.unit.labelstudio.inside_fake import InsideFake

__all__ = ["pairs"]
THERMAL = """<View><Image name="photo" value="$photo"/>
  <BrushLabels name="mask" toName="photo"><Label value="car"/></BrushLabels></View>"""


class Inside(InsideFake):
    """Answers by task; a task that is not scripted has no draft."""

    def __init__(self, **found: str) -> None:
        super().__init__({"drafts": self._draft})
        self.found = {int(task.removeprefix("task")): one for task, one in found.items()}

    def _draft(self, asked: dict[str, Any]) -> dict[str, Any]:
        found = self.found.get(asked["task"], "nothing")
        return {"found": found, "person": None if found == "no account" else "ana@lab.es"}

    @property
    def drafts(self) -> list[dict[str, Any]]:
        return [asked for _, asked in self.asked]


def run(exports: ExportBench, project: Project, inside: Inside, target: Project | None = None) -> Transfer:
    return transfer(exports, project, target, kind="draft", inside=inside)


def test_a_pair_gets_a_draft_on_its_annotation(exports: ExportBench, pairs: Project) -> None:
    """With the annotation's own results: a draft takes the place of what the annotation shows."""
    inside = Inside()
    found = run(exports, pairs, inside)
    first, second, _ = exports.server.tasks
    annotation = exports.server.annotations[second][0]["id"]
    one, two = inside.drafts
    assert [each["task"] for each in (one, two)] == [first, second]
    assert (two["source"], two["on"]) == (annotation, annotation)
    assert {each["to_name"] for each in two["result"]} == {"rgb", "thermal"}
    masks = {each.labels: each for each in masks_in([r for r in two["result"] if r["to_name"] == "thermal"])}
    assert iou(masks["car",].mask, drawn("car", KNOWN, THERMAL_WH)) > 0.95
    assert len(found.done) == 2
    assert not any(exports.server.predictions.values())


def test_a_project_of_twins_gets_new_drafts(exports: ExportBench) -> None:
    source, target = exports.server.project(RGB, "RGB"), exports.server.project(THERMAL, "Thermal")
    picture(exports, "set/T/a.png", "car")
    rgb = exports.server.task(source, image=url("set/RGB/a.png"))
    twin = exports.server.task(target, photo=url("set/T/a.png"))
    annotation = exports.server.annotate(rgb, on_rgb("car", to_name="image", name="brush"))
    inside = Inside()
    run(exports, source, inside, target)
    (made,) = inside.drafts
    assert (made["task"], made["source"], made["on"]) == (twin, annotation, None)
    assert [one["to_name"] for one in made["result"]] == ["photo"]


@pytest.mark.parametrize(
    ("answer", "before", "reason"),
    [
        ("ours", 1, None),
        ("theirs", 0, "ana@lab.es has a draft of their own in its task {task}, which is left alone"),
        ("no account", 0, "its annotation {annotation} is of no account that could have a draft"),
    ],
)
def test_a_draft_that_is_there_stays(
    exports: ExportBench, pairs: Project, answer: str, before: int, reason: str | None
) -> None:
    first = next(iter(exports.server.tasks))
    annotation = exports.server.annotations[first][0]["id"]
    found = run(exports, pairs, Inside(**{f"task{first}": answer}))
    assert found.before == before
    assert [one.name for one in found.done] == ["set/RGB/b.png"]
    expected = [] if reason is None else [reason.format(task=first, annotation=annotation)]
    assert [one.reason for one in found.left_out] == expected
