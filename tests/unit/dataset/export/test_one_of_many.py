"""One annotation, one name, one task that a script wrote costs itself, and never the export of the others."""

from __future__ import annotations

import base64
import io
import resource
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from dataset.export.formats import FORMATS
from labelstudio.models import Project
from tests.unit.dataset.export.masks import ultralytics_files
from tests.unit.dataset.export.scenes import CAR, SIZE
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import BOXES, FUSED, brush, rectangle, result, url, with_palette

POLYGONS = FUSED.replace("BrushLabels", "PolygonLabels")
GIB = 1 << 30

WITHOUT_PICTURES = [one for one in FORMATS if one != "dataset"]  # which test_dataset.py looks at


@pytest.fixture
def little_memory() -> Iterator[None]:
    """As on a small machine: 3 GiB more than there are now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + 3 * GIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def one_good_one(exports: ExportBench, project: Project) -> int:
    """A task that every export must hold."""
    task = exports.server.task(project, image=url("set/good.png"))
    exports.server.annotate(task, brush(CAR, "Car"))
    return task


def export_of(exports: ExportBench, project: Project, format_name: str) -> tuple[str, ...]:
    """Export; what could not be exported, once the good one is seen to be there."""
    summary = exports.export(project, format_name)
    assert summary.regions >= 1
    assert exports.json("out/manifest.json")["counts"]["classes"]["Car"]["regions"] >= 1
    return summary.problems


@pytest.mark.parametrize("format_name", ["coco", "yolo-seg", "png", "rle-json", "csv"])
@pytest.mark.usefixtures("little_memory")
def test_an_image_larger_than_any(exports: ExportBench, format_name: str) -> None:
    """`original_width` 60000 asked for 26.8 GiB; the image's own size is then read from its file."""
    project = exports.server.project(POLYGONS)
    one_good_one(exports, project)
    task = exports.server.task(project, image=url("set/odd.png"))
    points = {"points": [[10, 30], [45, 30], [45, 80]], "closed": True, "polygonlabels": ["Car"]}
    exports.server.annotate(task, [result("polygonlabels", "brush", "huge", (60000, 60000), points)])
    content = io.BytesIO()
    Image.new("L", SIZE).save(content, "PNG")
    exports.server.images["set/odd.png"] = content.getvalue()
    (problem,) = export_of(exports, project, format_name)
    assert problem.startswith(f"task {task}: region huge ")
    assert "60000x60000 pixels" in problem
    if format_name == "coco":
        sizes = {
            one["file_name"]: (one["width"], one["height"]) for one in exports.json("out/annotations.json")["images"]
        }
        assert sizes == {"set/good.png": SIZE, "set/odd.png": SIZE}


def value(**numbers: Any) -> dict[str, Any]:
    return {"x": 10, "y": 30, "width": 35, "height": 50, "rotation": 0, **numbers, "rectanglelabels": ["Car"]}


BOXES_OF_SCRIPTS: dict[str, tuple[dict[str, Any], str]] = {
    "a list where a number is expected": (value(rotation=[1]), "rotation: expected a number"),
    "a number of 400 digits": (value(x=10**400), "x: expected a number"),
    "a number beyond all images": (value(x=1e300), "x: expected a number"),
    "a text where a number is expected": (value(y="30"), "y: expected a number"),
}
OTHERS_OF_SCRIPTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "corners as objects": (
        "polygon",
        {"points": [{"x": 1}, {"x": 2}, {"x": 3}]},
        "a polygon must be a list of points, each two numbers",
    ),
    "corners of 400 digits": (
        "polygon",
        {"points": [[1, 1], [2, 2], [3, 10**400]]},
        "a polygon must be a list of points, each two numbers",
    ),
    "corners beyond all images": (
        "polygon",
        {"points": [[1, 1], [2, 2], [3, 1e300]]},
        "a polygon must be a list of points, each two numbers up to 1e+09",
    ),
    "a number where a mask is expected": ("brush", {"rle": 10**12}, "rle: expected a list of numbers, got int"),
    "a text where a mask is expected": ("brush", {"rle": "AAAA"}, "rle: expected a list of numbers, got str"),
}


@pytest.mark.parametrize("case", BOXES_OF_SCRIPTS)
def test_a_box_of_a_script(exports: ExportBench, case: str) -> None:
    content, reason = BOXES_OF_SCRIPTS[case]
    project = exports.server.project(BOXES)
    task = exports.server.task(project, image=url("set/a.png"))
    odd = result("rectanglelabels", "rects", "odd", SIZE, content)
    exports.server.annotate(task, [odd, rectangle("Car", (2, 3, 7, 5), SIZE)])
    (problem,) = export_of(exports, project, "coco")
    assert problem.startswith(f"task {task}: region odd (Car) cannot be read: {reason}")
    assert len(problem) < 200


@pytest.mark.parametrize("case", OTHERS_OF_SCRIPTS)
def test_a_mask_of_a_script(exports: ExportBench, case: str) -> None:
    kind, content, reason = OTHERS_OF_SCRIPTS[case]
    project = exports.server.project(FUSED)
    one_good_one(exports, project)
    task = exports.server.task(project, image=url("set/odd.png"))
    exports.server.annotate(
        task, [result(f"{kind}labels", "brush", "odd", SIZE, {**content, f"{kind}labels": ["Car"]})]
    )
    (problem,) = export_of(exports, project, "csv")
    assert problem.startswith(f"task {task}: region odd (Car) cannot be read: {reason}")


@pytest.mark.parametrize("format_name", WITHOUT_PICTURES)
def test_results_of_other_kinds(exports: ExportBench, format_name: str) -> None:
    """Values, ids and places of any type: nothing of them is a region, and nothing of them stops an export."""
    project = exports.server.project(FUSED)
    one_good_one(exports, project)
    task = exports.server.task(project, image=url("set/a.png"))
    good = brush(CAR, "Car", "b", item_index=[0])
    odd: list[Any] = [
        {"type": "brushlabels", "value": [1], "id": ["a"], "to_name": {}, "from_name": None},
        {"type": 7, "value": "text", "item_index": {"a": 1}},
        {"type": "choices", "id": "c", "value": {"choices": ["day"]}, "to_name": "image"},
        "no object",
    ]
    exports.server.annotate(task, [*odd, *good])
    assert export_of(exports, project, format_name) == ()


def test_a_label_without_a_name_gets_no_number(exports: ExportBench) -> None:
    """With one, no later export could read the file of the numbers."""
    project = exports.server.project(FUSED)
    task = exports.server.task(project, image=url("set/a.png"))
    exports.server.annotate(task, [*brush(CAR, "Car"), *brush(CAR, "", "n")])
    assert export_of(exports, project, "coco") == ()
    assert exports.export(project, "coco", "again").regions == 1


@pytest.mark.parametrize("format_name", ["png", "yolo-seg"])
def test_names_that_the_disk_refuses(exports: ExportBench, format_name: str) -> None:
    """300 letters, and a file where another image needs a folder: keys of a bucket may be so."""
    names = [f"bucket/{'n' * 300}.png", "bucket/d/a.png", "bucket/d/a.png/b.png", "bucket/d/a.txt/c.png"]
    project = exports.server.project(FUSED)
    one_good_one(exports, project)
    tasks = {name: exports.server.task(project, image=f"s3://{name}") for name in names}
    for task in tasks.values():
        exports.server.annotate(task, brush(CAR, "Car"))
    problems = list(export_of(exports, project, format_name))
    blocked = names[2] if format_name == "png" else names[3]
    problems.sort(key=len, reverse=True)
    left_out = [f"task {tasks[name]}: {name}" for name in (names[0], blocked)]
    assert [one.partition(" was left out: ")[0] for one in problems] == left_out
    assert problems[0].endswith(": the file system does not take its name (File name too long)")
    assert problems[1].endswith(": the file of another image has its place, or that of its folder")
    assert exports.json("out/manifest.json")["counts"]["images"] == 3
    if format_name == "yolo-seg":
        assert all(labels.is_file() for labels in ultralytics_files(exports.folder / "out").values())


@pytest.mark.parametrize("format_name", WITHOUT_PICTURES)
def test_an_image_in_the_task_is_not_shown(exports: ExportBench, format_name: str) -> None:
    """A data URL of 750 KB: neither a name, nor a line on the terminal."""
    project = exports.server.project(FUSED)
    one_good_one(exports, project)
    content = base64.b64encode(bytes(range(256)) * 2200).decode("ascii")
    task = exports.server.task(project, image=f"data:image/png;base64,{content}")
    exports.server.annotate(task, brush(CAR, "Car"))
    broken = exports.server.task(project, image=f"data:image/png;base64,{content}x")
    exports.server.annotate(broken, [])
    exports.export(project, format_name)
    assert max(map(len, exports.shown())) < 1000
    assert (exports.folder / "out" / "origin.jsonl").stat().st_size < 50_000


def test_an_image_in_the_task_has_a_size(exports: ExportBench) -> None:
    """One without a region was left out, since it lies outside Label Studio."""
    project = exports.server.project(FUSED)
    one_good_one(exports, project)
    content = io.BytesIO()
    Image.new("L", (30, 12)).save(content, "PNG")
    code = base64.b64encode(content.getvalue()).decode("ascii")
    exports.server.annotate(exports.server.task(project, image=f"data:image/png;base64,{code}"), [])
    assert export_of(exports, project, "coco") == ()
    images = exports.json("out/annotations.json")["images"]
    assert {(one["width"], one["height"]) for one in images} == {SIZE, (30, 12)}


@pytest.mark.parametrize("format_name", WITHOUT_PICTURES)
def test_an_address_that_is_none(exports: ExportBench, format_name: str) -> None:
    """Half of an IPv6 address: Python refuses to read it at all."""
    project = exports.server.project(FUSED)
    one_good_one(exports, project)
    exports.server.annotate(exports.server.task(project, image="http://[x/a.png"), brush(CAR, "Car"))
    assert export_of(exports, project, format_name) == ()
    assert exports.json("out/manifest.json")["counts"]["images"] == 2


def test_whole_sizes_written_as_fractions_are_sizes(exports: ExportBench) -> None:
    """Scripts of other languages write 20.0: the region was left out as one without a size."""
    project = exports.server.project(FUSED)
    task = exports.server.task(project, image=url("a.png"))
    (one,) = brush(CAR, "Car")
    exports.server.annotate(task, [{**one, "original_width": 20.0, "original_height": 10.0}])
    assert exports.export(project, "coco").regions == 1


def test_palettes_without_masks(exports: ExportBench) -> None:
    """An empty polygon of a palette is a problem and no class."""
    project = exports.server.project(FUSED)
    one_good_one(exports, project)
    task = exports.server.task(project, image=url("b.png"))
    exports.server.annotate(task, with_palette("polygon", "poly", {"points": []}, "Road", SIZE, "1"))
    (problem,) = export_of(exports, project, "csv")
    assert "a polygon needs at least three points" in problem
