"""Counting masks: each region once, whatever the editor wrote, in its share of the image; and the page."""

from __future__ import annotations

import base64
import io
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.converter.brush import mask2rle
from numpy.typing import NDArray
from PIL import Image

from dataset.stats.collect import BINS, SHOWN_IMAGES, Collector, Example, as_facts, table
from dataset.stats.command import image_urls_of
from dataset.stats.coverage import percent
from dataset.stats.page import Picture, render
from dataset.stats.shapes import shapes_in
from dataset.stats.thumbnails import rgb, thumbnail
from labeling.config import read_config

WIDTH, HEIGHT = 100, 50
AT = ("image", 0)
LABELS = ["Car", "Road", "Sky"]


def square(side: int, at: int = 0) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[at : at + side, at : at + side] = True
    return mask


def brush(mask: NDArray[np.bool_], region: str = "r", **value: Any) -> dict[str, Any]:
    rle = mask2rle(mask.astype(np.uint8) * 255)
    return result("brushlabels", region, format="rle", rle=rle, **value)


def result(kind: str, region: str = "r", **value: Any) -> dict[str, Any]:
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    return {"id": region, "type": kind, "to_name": "image", "value": value, **size}


def png(mask: NDArray[np.bool_]) -> str:
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[..., 3] = mask * 255
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def task(number: int, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": number, "annotations": [{"completed_by": 1, "result": list(results), **more}]}


def areas(results: list[dict[str, Any]]) -> list[tuple[str, int]]:
    shapes, unreadable = shapes_in(results)
    assert unreadable == 0
    return [(shape.label, int(shape.mask.sum())) for shape in shapes]


def test_which_results_are_masks() -> None:
    """Brush, bitmask and polygon are; prompts are not."""
    assert areas(
        [
            brush(square(10), "a", brushlabels=["Car"]),
            result("bitmasklabels", "b", imageDataURL=png(square(20)), bitmasklabels=["Road"]),
            result("keypointlabels", "d", x=1, y=1, width=1, keypointlabels=["Sky"]),
            result("rectanglelabels", "e", x=1, y=1, width=9, height=9, rectanglelabels=["Sky"]),
        ]
    ) == [("Car", 100), ("Road", 400)]
    corners = [[10, 10], [30, 10], [30, 50], [10, 50]]  # 20 by 20 pixels
    ((label, area),) = areas([result("polygonlabels", "c", points=corners, polygonlabels=["Sky"])])
    assert label == "Sky"
    assert area == pytest.approx(400, rel=0.11)


def test_a_region_with_two_results_is_one_mask_with_its_label() -> None:
    first = brush(square(10))
    first["type"] = "brush"
    second = {**brush(square(10)), "type": "labels"}
    second["value"]["labels"] = ["Road"]
    assert areas([first, second]) == [("Road", 100)]


def test_a_ghost_is_not_counted_twice() -> None:
    ghost = {**brush(square(10)), "type": "keypointlabels"}
    ghost["value"]["keypointlabels"] = ["Road"]
    masks = [brush(square(10), brushlabels=["Car"]), ghost]
    assert areas(masks) == [("Car", 100)]
    assert areas(masks[::-1]) == [("Car", 100)]


def test_what_cannot_be_read_is_counted_and_no_more() -> None:
    broken = brush(square(10), "x", brushlabels=["Car"])
    broken["original_width"] = 7
    shapes, unreadable = shapes_in([broken, brush(square(5), "y", brushlabels=["Car"]), {"id": "z"}])
    assert (len(shapes), unreadable) == (1, 1)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("brushlabels", {"x": 1, "y": 1, "width": 1}),
        ("brushlabels", {"format": "rle", "rle": []}),
        ("bitmasklabels", {"imageDataURL": ""}),
        ("polygonlabels", {"points": [[1, 1], [2, 2]]}),
        ("keypointlabels", brush(square(5))["value"]),
    ],
)
def test_what_an_export_cannot_read_is_counted(kind: str, value: dict[str, Any]) -> None:
    """By the same rule, once, and said in the table: the mask of a key point tag was counted, the others were not."""
    results = [result(kind, "x", **value, **{kind: ["Car"]}), result("labels", "x", **value, labels=["Car"])]
    assert shapes_in(results) == ([], 1)
    one = Collector("A", LABELS)
    one.add(task(1, *results), {AT: "1.png"})
    assert table(one.stats).splitlines()[-1] == "1 regions could not be read as masks and do not count."


def test_regions_without_an_id_are_each_one() -> None:
    """As scripts write them; before, the first one counted."""
    masks = [brush(square(side), brushlabels=["Car"]) for side in (5, 9)]
    for one in masks:
        del one["id"]
    assert areas(masks) == [("Car", 25), ("Car", 81)]


def test_results_of_scripts_are_counted_or_passed_over() -> None:
    """Whatever Label Studio keeps: no traceback, and the good mask beside them counts."""
    huge = result("polygonlabels", "huge", points=[[1, 1], [2, 2], [3, 1]]) | {"original_width": 60000}
    odd: list[Any] = ["text", 7, huge | {"original_height": 60000}, brush(square(5), "a") | {"item_index": [0]}]
    shapes, unreadable = shapes_in(odd)
    assert ([int(one.mask.sum()) for one in shapes], unreadable) == ([25], 1)
    assert shapes_in({"a": 1}) == ([], 0)  # type: ignore[arg-type]


@pytest.fixture
def collector() -> Collector:
    one = Collector("A <project>", LABELS)
    one.add(
        task(
            1,
            brush(square(10), "a", brushlabels=["Car"]),
            brush(square(20, 25), "b", brushlabels=["Road"]),
            lead_time=9,
        ),
        {AT: "ñ & 1.png"},
    )
    one.add(task(2, brush(square(5), "a", brushlabels=["Car"])), {AT: "2.png"})
    one.add({"id": 3}, {AT: "3.png"})
    one.stats.predicted = {"demo@1": 7}
    one.add(task(4, brush(square(5), "a", brushlabels=["Car"]), was_cancelled=True), {AT: "4.png"})
    return one


def test_images_people_masks_and_times_are_counted(collector: Collector) -> None:
    stats = collector.stats
    assert (stats.images, stats.annotated, stats.annotations, stats.skipped, stats.masks) == (4, 2, 2, 1, 3)
    car, road, sky = (stats.by_class[label] for label in LABELS)
    assert (car.masks, car.images, road.masks, sky.masks) == (2, 2, 1, 0)
    assert car.areas == pytest.approx([2.0, 0.5])
    assert (car.seconds, road.seconds) == ([4.5], [4.5])  # the second annotation has no time
    assert stats.seconds_per_mask == 4.5
    assert sum(car.histogram) == 2
    assert car.histogram[BINS.index(3.0)] == 1


def test_the_table_is_for_people_and_the_facts_for_programs(collector: Collector) -> None:
    lines = table(collector.stats).splitlines()
    assert lines[0] == "A <project>: 4 images, 2 annotated (50 %), 3 masks"
    assert lines[3].split() == ["Car", "2", "2", "1.25", "%", "4.5", "s"]
    assert lines[5].split() == ["Sky", "0", "0"]
    facts: Any = as_facts(collector.stats)
    assert (facts["masks"], facts["classes"]["Road"]["masks"], facts["people"]) == (3, 1, 1)


def test_pixels_without_a_label_are_counted() -> None:
    """Overlaps once, regions without a label not at all; of two annotations of an image the fuller one counts."""
    one = Collector("Maps", LABELS, wants_complete_maps=True)
    whole = np.ones((HEIGHT, WIDTH), bool)
    gap = whole.copy()
    gap[:10, :25] = False  # 250 of 5000 pixels
    one.add(task(1, brush(gap, "a", brushlabels=["Road"]), brush(square(20, 30), "b", brushlabels=["Car"])), {AT: "1"})
    one.add(task(2, brush(whole, "a")), {AT: "2"})
    third: dict[str, Any] = task(3, brush(gap, "a", brushlabels=["Road"]))
    third["annotations"] += task(3, brush(whole, "b", brushlabels=["Sky"]))["annotations"]
    one.add(third, {AT: "3"})
    one.add({"id": 4}, {AT: "4"})
    coverage = one.stats.coverage
    assert [(each.task, round(each.share, 6)) for each in coverage.images] == [(1, 0.05), (2, 1.0), (3, 0.0)]
    assert table(one.stats).splitlines()[-2:] == [
        "5.0 % of an image's pixels have no label (median); 1 of 3 annotated images are complete",
        "The project asks for complete maps, and these are not: task 2, 2: 100.0 %; task 1, 1: 5.0 %",
    ]
    facts: Any = as_facts(one.stats)
    assert (facts["unlabelled"]["wanted"], facts["unlabelled"]["complete"]) == (True, 1)
    assert [each["percent"] for each in facts["unlabelled"]["incomplete"]] == [100.0, 5.0]
    assert "these are not: task 2, 2: 100.0 %" in page(one).text


def test_a_share_never_reads_as_none_when_it_is_some() -> None:
    assert [percent(share) for share in (0, 0.0001, 0.0005, 0.0321, 1)] == [
        "0.0 %",
        "<0.1 %",
        "0.1 %",
        "3.2 %",
        "100.0 %",
    ]


class Page(HTMLParser):
    """Sees that every tag is closed, and what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """`<rect/>`: open and closed."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(collector: Collector, *pictures: Picture) -> Page:
    colours = {"Car": "#E53935", "Road": "red", "Sky": "#888888"}
    parsed = Page()
    parsed.feed(render(collector.stats, colours, pictures, datetime(2026, 1, 2, 3, 4, tzinfo=UTC)))
    assert parsed.open == []
    return parsed


def test_the_page_is_whole_and_asks_nobody(collector: Collector) -> None:
    parsed = page(collector, Picture("data:image/jpeg;base64,AA", 1, "ñ & 1.png", ["Car", "Road"]))
    assert all(source.startswith("data:") for source in parsed.sources)
    for seen in ("A <project>", "ñ & 1.png", "50 % annotated", "4.5 s", "ñ & 1.png, task 1", "2026-01-02 03:04 UTC"):
        assert seen in parsed.text
    assert "1 annotations were skipped" in parsed.text
    assert "Predictions: 7 of demo@1." in parsed.text


def test_a_project_that_nobody_has_begun_has_a_page_too() -> None:
    assert "No mask has been submitted yet." in page(Collector("Empty", LABELS)).text


def test_examples_are_few_and_show_rare_classes() -> None:
    one = Collector("Many", LABELS)
    for number in range(3 * SHOWN_IMAGES):
        label = "Sky" if number == 3 * SHOWN_IMAGES - 1 else "Car"
        one.add(task(number, brush(square(5), brushlabels=[label])), {AT: f"{number}.png"})
    assert len(one.stats.examples) == SHOWN_IMAGES
    assert any("Sky" in example.labels for example in one.stats.examples)


def test_images_of_a_pair_have_their_own_masks() -> None:
    """Each is counted and shown by itself."""
    one = Collector("Pairs", LABELS)
    rgb, thermal = ("rgb", 0), ("thermal", 0)
    results = [brush(square(5), "a", brushlabels=["Car"]), brush(square(9), "b", brushlabels=["Car"])]
    results = [{**result, "to_name": name} for result, (name, _) in zip(results, (rgb, thermal), strict=True)]
    one.add(task(1, *results), {rgb: "RGB/1.png", thermal: "T/1.png"})
    one.add({"id": 2}, {rgb: "RGB/2.png", thermal: "T/2.png"})
    assert (one.stats.images, one.stats.annotated, one.stats.annotations) == (4, 2, 1)
    assert (one.stats.by_class["Car"].masks, one.stats.by_class["Car"].images) == (2, 2)
    shown = [(found.image, found.place, [int(mask.sum()) for _, mask in found.shapes]) for found in one.stats.examples]
    assert shown == [("RGB/1.png", rgb, [25]), ("T/1.png", thermal, [81])]


def test_a_thumbnail_shows_the_mask_in_its_colour() -> None:
    out = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (255, 255, 255)).save(out, "PNG")
    example = Example(1, AT, "x.png", (WIDTH, HEIGHT), (("Car", square(25)),))
    url = thumbnail(out.getvalue(), example, {"Car": "#FF0000"})
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))
    assert picture.shape == (240, 480, 3)
    assert picture[40, 40, 0] > 240
    assert picture[40, 40, 1] < 190
    assert picture[40, 117, 1] < 90  # the edge
    assert picture[200, 400].min() > 240


def test_a_thumbnail_lies_as_the_browser_shows_it() -> None:
    """An orientation in XMP, which no browser applies, would turn the picture below its masks."""
    out = io.BytesIO()
    stored = Image.new("RGB", (WIDTH, HEIGHT))
    stored.paste("white", (WIDTH // 2, 0, WIDTH, HEIGHT))
    stored.save(out, "JPEG", xmp=b'<x tiff:Orientation="6"/>')
    url = thumbnail(out.getvalue(), Example(1, AT, "x.jpg", (WIDTH, HEIGHT), ()), {})
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))
    assert picture[:, :200].max() < 30
    assert picture[:, -200:].min() > 225


def test_a_thermal_image_of_16_bits_is_stretched() -> None:
    out = io.BytesIO()
    values = np.linspace(20_000, 21_000, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.uint16)
    Image.fromarray(values).save(out, "PNG")
    url = thumbnail(out.getvalue(), Example(1, AT, "x.png", (WIDTH, HEIGHT), ()), {})
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))
    assert int(picture.max()) - int(picture.min()) > 200


@pytest.mark.parametrize(
    ("colour", "seen"), [("#E53935", (229, 57, 53)), ("blue", (0, 0, 255)), ("?", (136, 136, 136))]
)
def test_colours_are_read_as_css_writes_them(colour: str, seen: tuple[int, int, int]) -> None:
    assert rgb(colour) == seen


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("$image", {"image": "/a.png"}),
        ("$images[0]", {"images": ["/a.png", "/b.png"]}),
        ("$pages[0].url", {"pages": [{"url": "/a.png"}]}),
        ("/$file", {"file": "a.png"}),
    ],
)
def test_images_are_counted_however_the_tag_names_them(value: str, data: dict[str, Any]) -> None:
    labeling = read_config(f'<View><Image name="i" value="{value}"/></View>')
    assert image_urls_of(labeling, data) == {("i", 0): "/a.png"}


def test_images_of_a_list_are_counted_each() -> None:
    labeling = read_config('<View><Image name="i" valueList="$images"/></View>')
    assert image_urls_of(labeling, {"images": ["/a.png", "/b.png"]}) == {("i", 0): "/a.png", ("i", 1): "/b.png"}


def test_an_image_with_prompts_alone_is_not_annotated() -> None:
    """As in an export: a point without a mask means an object that was not kept."""
    labeling = read_config(
        '<View><KeyPointLabels name="point" toName="image" smart="true"><Label value="Car"/></KeyPointLabels>'
        '<BrushLabels name="brush" toName="image"><Label value="Car"/></BrushLabels>'
        '<Image name="image" value="$image"/></View>'
    )
    one = Collector("Prompts", ["Car"], labeling=labeling)
    point = {**result("keypointlabels", x=1, y=1, width=0.2, keypointlabels=["Car"]), "from_name": "point"}
    for number, results in enumerate(([point], [point, brush(square(5), "m", brushlabels=["Car"])], [])):
        one.add(task(number, *results), {AT: f"{number}.png"})
    assert (one.stats.images, one.stats.annotated, one.stats.annotations) == (3, 2, 3)
    assert [image.image for image in one.stats.coverage.images] == ["1.png", "2.png"]
