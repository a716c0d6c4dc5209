"""What the backend promises, asked for through a real Label Studio: every prompt, every output, every kind of image."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from label_studio_sdk.core.api_error import ApiError
from PIL import Image

from infra.roles.project.ask_backend import ask_backend
from labelstudio.masks import masks_in
from labelstudio.truth import TruthObject
from masks.measure import intersection_over_union
from tests.e2e import clicks
from tests.e2e.clicks import Round, Scene
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import LABEL, Bench, Mask, box, point, project, region, stroke, unsaved_stroke

GOOD = 0.75
PROMPTS = (
    f'<KeyPointLabels name="point" toName="image" smart="true"><Label value="{LABEL}"/></KeyPointLabels>'
    f'<RectangleLabels name="box" toName="image" smart="true"><Label value="{LABEL}"/></RectangleLabels>'
)
BRUSH = f'<BrushLabels name="brush" toName="image"><Label value="{LABEL}"/></BrushLabels>'


def config(*tags: str, image: str = '<Image name="image" value="$image"/>') -> str:
    return f"<View>{image}{PROMPTS}{''.join(tags)}</View>"


@dataclass(frozen=True)
class Subject:
    """One large, clear object of a demo image."""

    scene: Scene
    one: TruthObject
    file: Path

    @property
    def url(self) -> str:
        return self.scene.task.image

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.scene.size_wh

    def fits(self, mask: Mask) -> float:
        return intersection_over_union(mask, self.one.mask())


@pytest.fixture(scope="module")
def subjects(round_: Round, stage: Stage) -> list[Subject]:
    """The objects that the model gets right with one click, best scenes first."""
    found = []
    for scene in clicks.scenes(round_)[:6]:
        for one in scene.objects:
            reply = clicks.click(round_, scene, one)
            found.append((reply.iou, Subject(scene, one, Path(stage.ctx.folder.path) / scene.image)))
    found.sort(key=lambda pair: -pair[0])
    assert found[3][0] > 0.85
    return [subject for _, subject in found]


@pytest.fixture
def make(stage: Stage) -> object:
    def made(xml: str, extra_params: object = None) -> AbstractContextManager[Bench]:
        key = stage.ctx.access.api_key
        assert key is not None
        return project(stage.client, key, stage.ctx.backend_url, stage.ctx.backend_login, xml, extra_params)

    return made


@pytest.fixture
def bench(make) -> Iterator[Bench]:  # type: ignore[no-untyped-def]
    with make(config(BRUSH)) as one:
        yield one


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


def test_polygons_where_the_configuration_holds_polygons(make, subjects: list[Subject]) -> None:  # type: ignore[no-untyped-def]
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


def test_bitmasks_where_the_configuration_holds_bitmasks(make, subjects: list[Subject]) -> None:  # type: ignore[no-untyped-def]
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


def test_boxes_where_the_configuration_holds_nothing_else(make, subjects: list[Subject]) -> None:  # type: ignore[no-untyped-def]
    subject = subjects[0]
    with make(config()) as bench:
        (one,) = bench.ask(bench.task(image=subject.url), point(subject.one.click_xy, subject.size_wh))
    assert one["type"] == "rectanglelabels"
    value, (width, height) = one["value"], subject.size_wh
    seen = np.asarray([value["x"], value["y"], value["x"] + value["width"], value["y"] + value["height"]])
    seen = seen / 100 * [width, height, width, height]
    assert np.abs(seen - subject.one.box_xyxy).max() < 0.05 * width


@pytest.mark.parametrize("options", [{"output": "polygon"}, '{"output": "polygon"}'])
def test_a_project_chooses_its_output(make, subjects: list[Subject], options: object) -> None:  # type: ignore[no-untyped-def]
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
def test_what_is_missing_is_said_when_connecting(make, xml: str, options: object, sentence: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ApiError, match=sentence), make(xml, options):
        raise AssertionError("it was connected")


def test_uploaded_images_are_fetched_with_the_token(bench: Bench, subjects: list[Subject]) -> None:
    subject = subjects[0]
    task = bench.upload(subject.file)
    assert subject.fits(bench.mask(task, point(subject.one.click_xy, subject.size_wh))) >= GOOD


def test_image_that_the_task_itself_holds_is_clicked(bench: Bench, subjects: list[Subject]) -> None:
    subject = subjects[0]
    task = bench.task(image="data:image/png;base64," + base64.b64encode(subject.file.read_bytes()).decode())
    assert subject.fits(bench.mask(task, point(subject.one.click_xy, subject.size_wh))) >= GOOD


def test_several_images_of_one_task(make, subjects: list[Subject]) -> None:  # type: ignore[no-untyped-def]
    """The prompt's own image decides, and the answer belongs to it."""
    first, second = subjects[0], next(one for one in subjects if one.url != subjects[0].url)
    names = 'toName="rgb,thermal"'
    xml = (
        '<View><Image name="rgb" value="$rgb"/><Image name="thermal" value="$thermal"/>'
        + PROMPTS.replace('toName="image"', names)
        + BRUSH.replace('toName="image"', names)
        + "</View>"
    )
    with make(xml) as bench:
        task = bench.task(image="-", rgb=first.url, thermal=second.url)
        for name, subject in (("rgb", first), ("thermal", second)):
            (one,) = bench.ask(task, point(subject.one.click_xy, subject.size_wh, to_name=name))
            assert one["to_name"] == name
            assert subject.fits(masks_in([one])[0].mask) >= GOOD


def test_the_pages_of_a_list_of_images(make, subjects: list[Subject]) -> None:  # type: ignore[no-untyped-def]
    first, second = subjects[0], next(one for one in subjects if one.url != subjects[0].url)
    xml = config(BRUSH, image='<Image name="image" valueList="$pages"/>')
    with make(xml) as bench:
        task = bench.task(image="-", pages=[first.url, second.url])
        for index, subject in enumerate((first, second)):
            (one,) = bench.ask(task, point(subject.one.click_xy, subject.size_wh, item_index=index))
            assert one["item_index"] == index
            assert subject.fits(masks_in([one])[0].mask) >= GOOD


def test_repeated_images_of_a_task_are_clicked(make, subjects: list[Subject]) -> None:  # type: ignore[no-untyped-def]
    """Label Studio takes the configuration, and the prompt's own page is segmented."""
    first, second = subjects[0], next(one for one in subjects if one.url != subjects[0].url)
    tags = '<Image name="page_{{idx}}" value="$pages[{{idx}}].url"/>' + (PROMPTS + BRUSH).replace(
        'toName="image"', 'toName="page_{{idx}}"'
    )
    for name in ("point", "box", "brush"):
        tags = tags.replace(f'name="{name}"', f'name="{name}_{{{{idx}}}}"')
    with make(f'<View><Repeater on="$pages">{tags}</Repeater></View>') as bench:
        task = bench.task(image="-", pages=[{"url": first.url}, {"url": second.url}])
        for at, subject in enumerate((first, second)):
            prompt = point(subject.one.click_xy, subject.size_wh, to_name=f"page_{at}") | {"from_name": f"point_{at}"}
            (one,) = bench.ask(task, prompt)
            assert (one["from_name"], one["to_name"]) == (f"brush_{at}", f"page_{at}")
            assert subject.fits(masks_in([one])[0].mask) >= GOOD


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_turned_photographs(stage: Stage, bench: Bench, subjects: list[Subject], orientation: int) -> None:
    """Stored turned, with the EXIF tag that turns it back: browser and backend see the same upright picture."""
    subject = subjects[0]
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    name = f"turned-{orientation}.jpg"
    path = Path(stage.ctx.folder.path) / name
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(subject.file) as picture:
        picture.transpose(turn).save(path, quality=95, exif=exif)
    path.chmod(0o644)
    try:
        task = bench.task(image=f"/data/local-files/?d={stage.ctx.folder.name}/{name}")
        mask = bench.mask(task, point(subject.one.click_xy, subject.size_wh))
    finally:
        path.unlink()
    assert mask.shape == subject.size_wh[::-1]
    assert subject.fits(mask) >= GOOD


def test_a_sixteen_bit_frame(stage: Stage, bench: Bench, subjects: list[Subject]) -> None:
    """A narrow band of counts, as a thermal camera writes it: without a stretch it would be one flat grey."""
    subject = subjects[0]
    path = Path(stage.ctx.folder.path) / "thermal-16.png"
    with Image.open(subject.file) as picture:
        grey = np.asarray(picture.convert("L"), dtype=np.uint16)
    Image.fromarray(7000 + 2 * grey).save(path)
    path.chmod(0o644)
    try:
        task = bench.task(image=f"/data/local-files/?d={stage.ctx.folder.name}/{path.name}")
        mask = bench.mask(task, box(subject.one.box_xyxy, subject.size_wh))
    finally:
        path.unlink()
    left, top, right, bottom = subject.one.box_xyxy
    assert mask[top:bottom, left:right].sum() / mask.sum() > 0.8
    assert 0.2 < mask.sum() / ((right - left) * (bottom - top)) < 1.3


def test_an_image_that_cannot_be_had_is_said_in_words(bench: Bench, subjects: list[Subject]) -> None:
    missing = bench.task(image="/data/local-files/?d=demo/nothing-here.png")
    assert "'demo/nothing-here.png' is not in" in bench.refusal(missing, point((5, 5), (100, 100)))
    private = bench.task(image="http://169.254.169.254/latest/meta-data/image.png")
    assert "169.254.169.254" in bench.refusal(private, point((5, 5), (100, 100)))


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
