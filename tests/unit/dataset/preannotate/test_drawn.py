"""Boxes that are drawn in Label Studio: one that cannot be read is named, as one of a file is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from core.errors import LabelStudioError, SettingsError
from dataset.preannotate.command import PreannotateOptions, preannotate
from dataset.preannotate.drawn import boxes_in
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import BOXES, rectangle, url

SIZE = (20, 10)
BROKEN: dict[str, tuple[dict[str, object], str]] = {
    "no height": ({"x": 1, "y": 1, "width": 5}, "height: expected a number, got 'None'"),
    "a side that is text": ({"x": 1, "y": 1, "width": "5", "height": 5}, "width: expected a number, got '5'"),
    "a turn that is text": (
        {"x": 1, "y": 1, "width": 5, "height": 5, "rotation": "left"},
        "rotation: expected a number",
    ),
    "far away": ({"x": 1e12, "y": 1, "width": 5, "height": 5}, "x: expected a number, got '1000000000000.0'"),
}


@pytest.mark.parametrize(("value", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_box_is_named_and_can_be_left_out(exports: ExportBench, value: dict[str, object], message: str) -> None:
    """Before, it was left out without a word, or a traceback."""
    broken = rectangle("Car", (1, 1, 5, 5), SIZE, "half")
    broken["value"] = {**value, "rectanglelabels": ["Car"]}
    project = exports.server.project(BOXES)
    row = {"id": 7, "data": {"image": url("set/a.png")}, "annotations": [{"id": 1, "result": [broken]}]}
    exports.server.overrides["GET /api/tasks"] = lambda _: httpx.Response(200, json={"total": 1, "tasks": [row]})
    session: Any = SimpleNamespace(
        spec=lambda _called: (SimpleNamespace(title=project.title), None),
        access=SimpleNamespace(client=lambda: exports.client),
        report=exports.report,
    )
    with pytest.raises(SettingsError) as caught:
        preannotate(session, PreannotateOptions(None, "annotations"), None)
    assert str(caught.value).startswith(
        "Scenes: its annotations hold boxes that cannot be read; nothing was done (--skip"
    )
    assert f"task 7: region 'half' (Car): {message}" in str(caught.value)
    with pytest.raises(LabelStudioError, match="there are no boxes in annotations for any of its tasks"):
        preannotate(session, PreannotateOptions(None, "annotations", skip_broken=True), None)
    (notice,) = exports.report.notices
    assert notice.startswith(f"Scenes: 1 broken boxes are left out (task 7: region 'half' (Car): {message}")


def test_results_of_scripts_cost_the_boxes_nothing() -> None:
    """Whatever Label Studio keeps: values that are no object, regions without an id."""
    odd: list[Any] = ["text", {"type": "rectanglelabels", "value": 7}, {"type": "rectangle", "value": None}]
    two = [rectangle("Car", (1, 1, 5, 5), SIZE, ""), rectangle("Road", (2, 2, 5, 5), SIZE, "")]
    found = boxes_in([*odd, *two])
    assert ([box.label for box in found.boxes], found.broken) == (["Car", "Road"], [])
