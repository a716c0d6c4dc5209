"""What the backend promises, asked for through a real Label Studio: every prompt, every output."""

from __future__ import annotations

import base64
import io
import threading

import cv2
import numpy as np
import pytest
from label_studio_sdk.core.api_error import ApiError
from PIL import Image

from infra.roles.project.ask_backend import ask_backend
from labelstudio.masks import masks_in
from masks.measure import intersection_over_union
from tests.e2e.project_cases import Stage
from tests.e2e.subjects import BRUSH, GOOD, Make, Subject, config
from tests.e2e.subjects import bench as bench
from tests.e2e.subjects import make as make
from tests.e2e.subjects import subjects as subjects
from tests.e2e.workbench import LABEL, Bench, Mask, box, point, region, stroke, unsaved_stroke


def line_in(subject: Subject) -> Mask:
    """A rough stroke: the middle row of the object's click, 60 % of its width, 7 pixels thick."""
    inside = subject.one.mask()
    x, y = subject.one.click_xy
    row = np.zeros(inside.shape[1], dtype=np.uint8)
    left = right = x
    while left > 0 and inside[y, left - 1]:
        left -= 1
    while right < inside.shape[1] - 1 and inside[y, right + 1]:
        right += 1
    middle, half = (left + right) // 2, max(4, int(0.3 * (right - left)))
    row[middle - half : middle + half] = 1
    drawn = np.zeros(inside.shape, dtype=np.uint8)
    drawn[max(0, y - 3) : y + 4] = row
    return drawn.astype(bool) & inside


def test_points_after_a_box_correct_it(bench: Bench, subjects: list[Subject]) -> None:
    """The editor sends the negative point alone; the box drawn before it still counts."""
    subject = subjects[0]
    task = bench.task(image=subject.url)
    assert bench.ask(task, point(subject.one.click_xy, subject.size_wh, positive=False)) == []
    drawn = bench.mask(task, box(subject.one.box_xyxy, subject.size_wh))
    assert subject.fits(drawn) >= GOOD
    left, top, right, bottom = subject.one.box_xyxy
    corner = next(
        (x, y)
        for x, y in ((left + 2, top + 2), (right - 3, top + 2), (left + 2, bottom - 3), (right - 3, bottom - 3))
        if not subject.one.mask()[y, x]
    )
    corrected = bench.mask(task, point(corner, subject.size_wh, positive=False))
    assert subject.fits(corrected) >= GOOD
    assert not corrected[corner[1], corner[0]]


def test_a_box_in_the_draft_counts(bench: Bench, subjects: list[Subject]) -> None:
    subject = subjects[1]
    task = bench.task(image=subject.url)
    bench.draft(task, box(subject.one.box_xyxy, subject.size_wh))
    assert subject.fits(bench.mask(task, point(subject.one.click_xy, subject.size_wh))) >= GOOD


def test_a_stroke_of_the_context_becomes_a_mask_with_its_id(bench: Bench, subjects: list[Subject]) -> None:
    """A stroke in the context becomes the mask and keeps its id."""
    subject = subjects[0]
    rough = stroke(line_in(subject))
    (found,) = masks_in(bench.ask(bench.task(image=subject.url), rough))
    assert found.region_id == rough["id"]
    assert subject.fits(found.mask) >= GOOD


def test_a_smart_point_replaces_the_stroke_of_the_draft(bench: Bench, subjects: list[Subject]) -> None:
    """A smart point on a stroke of the draft replaces the stroke."""
    subject = subjects[1]
    task = bench.task(image=subject.url)
    rough = stroke(line_in(subject))
    bench.draft(task, rough)
    (found,) = masks_in(bench.ask(task, point(subject.one.click_xy, subject.size_wh)))
    assert found.region_id == rough["id"]
    assert subject.fits(found.mask) >= GOOD


def test_a_stroke_that_the_editor_has_just_saved_is_known(bench: Bench, subjects: list[Subject]) -> None:
    subject = subjects[0]
    task = bench.task(image=subject.url)
    rows, columns = np.nonzero(line_in(subject))
    ends = [(float(columns.min()), float(rows.mean())), (float(columns.max()), float(rows.mean()))]
    rough = unsaved_stroke(ends, 7, subject.size_wh)
    bench.draft(task, rough)
    (found,) = masks_in(bench.ask(task, point(subject.one.click_xy, subject.size_wh)))
    assert found.region_id == rough["id"]
    assert subject.fits(found.mask) >= GOOD


def test_a_view_that_was_turned_changes_nothing(bench: Bench, subjects: list[Subject]) -> None:
    """Coordinates are of the unturned image; the answer says how the view was turned."""
    subject = subjects[0]
    task = bench.task(image=subject.url)
    drawn = point(subject.one.click_xy, subject.size_wh, image_rotation=90)
    (one,) = bench.ask(task, drawn)
    assert one["image_rotation"] == 90
    assert subject.fits(masks_in([one])[0].mask) >= GOOD


def test_refining_keeps_the_object(bench: Bench, subjects: list[Subject]) -> None:
    subject = subjects[1]
    task = bench.task(image=subject.url)
    first = point(subject.one.click_xy, subject.size_wh)
    before = bench.mask(task, first)
    missing = subject.one.mask() & ~before
    rows, columns = np.nonzero(missing if missing.any() else subject.one.mask())
    middle = len(rows) // 2
    second = point((float(columns[middle]), float(rows[middle])), subject.size_wh)
    after = bench.mask(task, first, second)
    assert subject.fits(after) >= GOOD


def test_an_accepted_mask_in_the_draft_is_no_stroke(bench: Bench, subjects: list[Subject]) -> None:
    """Otherwise the next object of the same label would replace it."""
    subject = subjects[2]
    task = bench.task(image=subject.url)
    (accepted,) = bench.ask(task, point(subject.one.click_xy, subject.size_wh))
    bench.draft(task, dict(accepted))
    (found,) = masks_in(bench.ask(task, point(subject.one.click_xy, subject.size_wh)))
    assert found.region_id != accepted["id"]


def test_no_prompt_left_clears_the_suggestion(bench: Bench, subjects: list[Subject]) -> None:
    assert bench.ask(bench.task(image=subjects[0].url)) == []


def test_shapes_that_no_smart_tool_draws_are_prompts_too(bench: Bench, subjects: list[Subject]) -> None:
    subject = subjects[0]
    left, top, right, bottom = (100.0 * value / subject.size_wh[n % 2] for n, value in enumerate(subject.one.box_xyxy))
    task = bench.task(image=subject.url)
    ellipse = region(
        "ellipselabels", "box", subject.size_wh,
        {"x": (left + right) / 2, "y": (top + bottom) / 2, "radiusX": (right - left) / 2, "radiusY": (bottom - top) / 2,
         "rotation": 0, "ellipselabels": [LABEL]},
    )  # fmt: skip
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    polygon = region("polygonlabels", "box", subject.size_wh, {"points": corners, "polygonlabels": [LABEL]})
    expected = bench.mask(task, box(subject.one.box_xyxy, subject.size_wh))
    assert intersection_over_union(bench.mask(task, ellipse), expected) > 0.9
    assert intersection_over_union(bench.mask(task, polygon), expected) > 0.9


def test_polygons_where_the_configuration_holds_polygons(make: Make, subjects: list[Subject]) -> None:
    subject = subjects[0]
    xml = config(f'<PolygonLabels name="outline" toName="image"><Label value="{LABEL}"/></PolygonLabels>')
    with make(xml) as bench:
        results = bench.ask(bench.task(image=subject.url), point(subject.one.click_xy, subject.size_wh))
    assert {one["type"] for one in results} == {"polygonlabels"}
    filled = np.zeros(subject.size_wh[::-1], dtype=np.uint8)
    for one in results:
        assert one["from_name"] == "outline"
        ring = np.asarray(one["value"]["points"]) / 100 * subject.size_wh
        cv2.fillPoly(filled, [np.rint(ring).astype(np.int32)], 1)
    assert subject.fits(filled.astype(bool)) >= GOOD


def test_bitmasks_where_the_configuration_holds_bitmasks(make: Make, subjects: list[Subject]) -> None:
    subject = subjects[0]
    xml = config(f'<BitmaskLabels name="bits" toName="image"><Label value="{LABEL}"/></BitmaskLabels>')
    with make(xml) as bench:
        (one,) = bench.ask(bench.task(image=subject.url), point(subject.one.click_xy, subject.size_wh))
    assert (one["type"], one["from_name"]) == ("bitmasklabels", "bits")
    head, _, data = one["value"]["imageDataURL"].partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.size == subject.size_wh
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    assert subject.fits(alpha > 127) >= GOOD


def test_boxes_where_the_configuration_holds_nothing_else(make: Make, subjects: list[Subject]) -> None:
    subject = subjects[0]
    with make(config()) as bench:
        (one,) = bench.ask(bench.task(image=subject.url), point(subject.one.click_xy, subject.size_wh))
    assert one["type"] == "rectanglelabels"
    value, (width, height) = one["value"], subject.size_wh
    seen = np.asarray([value["x"], value["y"], value["x"] + value["width"], value["y"] + value["height"]])
    seen = seen / 100 * [width, height, width, height]
    assert np.abs(seen - subject.one.box_xyxy).max() < 0.05 * width


@pytest.mark.parametrize("options", [{"output": "polygon"}, '{"output": "polygon"}'])
def test_a_project_chooses_its_output(make: Make, subjects: list[Subject], options: object) -> None:
    polygons = f'<PolygonLabels name="outline" toName="image"><Label value="{LABEL}"/></PolygonLabels>'
    with make(config(BRUSH, polygons), options) as bench:
        results = bench.ask(bench.task(image=subjects[0].url), point(subjects[0].one.click_xy, subjects[0].size_wh))
    assert {one["type"] for one in results} == {"polygonlabels"}


@pytest.mark.parametrize(
    ("xml", "options", "sentence"),
    [
        (f'<View><Image name="image" value="$image"/>{BRUSH}</View>', None, "no smart prompt tag"),
        (config(BRUSH), {"outptu": "polygon"}, "outptu"),
    ],
)
def test_what_is_missing_is_said_when_connecting(make: Make, xml: str, options: object, sentence: str) -> None:
    with pytest.raises(ApiError, match=sentence), make(xml, options):
        raise AssertionError("it was connected")


def test_annotators_at_the_same_time_get_their_own_masks(bench: Bench, subjects: list[Subject]) -> None:
    chosen = subjects[:8]
    tasks = [bench.task(image=subject.url) for subject in chosen]
    alone = [bench.mask(task, point(one.one.click_xy, one.size_wh)) for task, one in zip(tasks, chosen, strict=True)]
    wrong: list[str] = []

    def annotate(number: int) -> None:
        subject = chosen[number]
        for _ in range(6):
            mask = bench.mask(tasks[number], point(subject.one.click_xy, subject.size_wh))
            if not np.array_equal(mask, alone[number]):
                wrong.append(f"{subject.scene.image}: another mask than alone")

    threads = [threading.Thread(target=annotate, args=(number,)) for number in range(len(chosen))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_status_and_metrics_tell_what_happened(stage: Stage, bench: Bench, subjects: list[Subject]) -> None:
    task = bench.task(image=subjects[0].url)
    bench.mask(task, point(subjects[0].one.click_xy, subjects[0].size_wh))
    page, numbers = (ask_backend(stage.ctx.exec_in_backend, "GET", path).stdout for path in ("/status", "/metrics"))
    assert "<html" in page
    assert "demo" in page
    assert str(task) in page
    assert "labelrig_stage_seconds_bucket" in numbers
