"""One broken region does not cost the others, and no file ends in a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import SettingsError
from labelstudio.models import Project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.importing.scenes import CAR, FILES, fill, task_of
from tests.unit.labelstudio.annotated import FUSED, SPLIT, brush, result, url

POLYGONS = FUSED.replace("BrushLabels", "PolygonLabels").replace("brush", "poly")
Json = dict[str, Any]

BROKEN_SHAPES: dict[str, tuple[Json, str]] = {
    "two points": ({"segmentation": [[1, 2, 3, 4]]}, "a polygon needs at least three points, it has 2"),
    "odd": ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "a polygon must be x and y in turn, it has 7 numbers"),
    "texts": ({"segmentation": [["a", 2, 3, 4, 5, 6]]}, "a polygon must be a list of points, each two numbers"),
    "objects": ({"segmentation": [[{"x": 1}, {"y": 2}]]}, "a polygon must be a list of points, each two numbers"),
    "too deep": ({"segmentation": [[[[1, 2], [3, 4], [5, 6]]]]}, "a polygon must be a list of points"),
    "flat": ({"segmentation": [1, 2, 3, 4, 5, 6]}, "segmentation must be run lengths, or a list of polygons"),
    "far away": ({"segmentation": [[1, 2, 3, 4, 1e8, 6]]}, "a polygon lies far outside the image"),
    "outside": ({"segmentation": [[30, 2, 40, 2, 40, 9]]}, "lies outside the image"),
    "no shape": ({}, "has no segmentation and no bbox"),
    "box of three": ({"bbox": [1, 2, 3]}, "bbox must be [x, y, width, height] in pixels"),
    "box of texts": ({"bbox": ["1", "2", "3", "4"]}, "bbox must be [x, y, width, height] in pixels"),
    "box without area": ({"bbox": [1, 2, 0, 4]}, "its bbox has no area"),
    "box outside": ({"segmentation": [], "bbox": [50, 2, 3, 4]}, "its bbox lies outside the image"),
    "ragged counts": ({"segmentation": {"size": [10, 20], "counts": [[1], [2, 3]]}}, "counts are not whole numbers"),
    "halves": ({"segmentation": {"size": [10, 20], "counts": [0.5, 199.5]}}, "counts are not whole numbers"),
    "huge": ({"segmentation": {"size": [10, 20], "counts": [1, 2**60]}}, "counts do not add up to 200 pixels"),
    "counts in text": ({"segmentation": {"size": [10, 20], "counts": {"a": 1}}}, "the RLE has no counts"),
    "other size": ({"segmentation": {"size": [20, 10], "counts": [200]}}, "the RLE is of size [20, 10], its image"),
    "image id": ({"image_id": [1], "bbox": [1, 1, 1, 1]}, "image_id [1] is not an image of the file"),
    "category id": ({"category_id": {"a": 1}, "bbox": [1, 1, 1, 1]}, "category_id {'a': 1} is not a category"),
}  # fmt: skip


def coco(broken: Json) -> Json:
    """A good polygon and a broken one."""
    base = {"image_id": 1, "category_id": 3}
    return {
        "images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 10}],
        "categories": [{"id": 3, "name": "Car"}],
        "annotations": [{**base, "id": 7, **broken}, {**base, "id": 8, "segmentation": [[2, 3, 9, 3, 9, 8]]}],
    }


def shapes(exports: ExportBench, project: Project) -> list[list[Json]]:
    """The results of each annotation on the image `a`."""
    return [one["result"] for one in exports.server.annotations[task_of(exports, project, "a")]]


@pytest.mark.parametrize(("broken", "message"), BROKEN_SHAPES.values(), ids=BROKEN_SHAPES)
def test_broken_annotation_is_named_and_can_be_left_out(exports: ExportBench, broken: Json, message: str) -> None:
    project = fill(exports, POLYGONS)
    (exports.folder / "x.json").write_text(json.dumps(coco(broken)))
    with pytest.raises(SettingsError) as caught:
        exports.import_(project, "x.json")
    assert f"annotation 7{'' if 'image_id' in broken else ' on a.png'}: " in str(caught.value)
    assert message in str(caught.value)
    assert "--skip-broken leaves this one out and takes the rest" in str(caught.value)
    assert shapes(exports, project) == []
    summary = exports.import_(project, "x.json", skip_broken=True)
    assert (summary.added, len(summary.broken)) == (1, 1)
    assert "1 broken regions left out (annotation 7" in summary.sentence()
    assert [len(one) for one in shapes(exports, project)] == [1]


def spoil_coco(path: Path) -> None:
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"]["counts"] = "x"
    path.write_text(json.dumps(content))


def spoil_rle(path: Path) -> None:
    row, *rest = path.read_text().splitlines()
    content = json.loads(row)
    content["regions"][0]["rle"] = []
    path.write_text("\n".join([json.dumps(content), "", *rest]) + "\n")


def spoil_tasks(path: Path) -> None:
    content = json.loads(path.read_text())
    content[0]["annotations"][0]["result"][0]["value"]["rle"] = []
    path.write_text(json.dumps(content))


SPOILERS: dict[str, Callable[[Path], None]] = {"coco": spoil_coco, "rle-json": spoil_rle, "label-studio": spoil_tasks}


@pytest.mark.parametrize("format_name", FILES)
def test_our_exports_can_be_taken_without_a_broken_region(
    exports: ExportBench, project: Project, format_name: str
) -> None:
    exports.export(project, format_name)
    SPOILERS[format_name](exports.folder / "out" / FILES[format_name])
    other = fill(exports, FUSED)
    with pytest.raises(SettingsError, match="--skip-broken leaves this one out and takes the rest"):
        exports.import_(other)
    summary = exports.import_(other, skip_broken=True)
    assert (summary.added, len(summary.broken)) == (2, 1)
    (left,) = shapes(exports, other)
    assert [one["value"]["brushlabels"] for one in left] == [["Road"]]


def test_polygon_of_two_points_in_json_of_label_studio(exports: ExportBench) -> None:
    """As somebody leaves it who clicks twice and goes on (label-studio-converter 81)."""
    line = result("polygonlabels", "poly", "thin", (20, 10), {"points": [[1, 2], [3, 4]], "polygonlabels": ["Car"]})
    row = {"data": {"image": url("set/a.png")}, "annotations": [{"result": [line, *brush(CAR, "Car")]}]}
    (exports.folder / "x.json").write_text(json.dumps([row]))
    project = fill(exports, FUSED)
    with pytest.raises(SettingsError, match=r"entry 1 \(set/a.png\): region 'thin' \(Car\): "):
        exports.import_(project, "x.json")
    assert exports.import_(project, "x.json", skip_broken=True).added == 1


def test_brush_without_its_pixels_is_named(exports: ExportBench) -> None:
    """Before, an empty annotation was stored."""
    empty = result("brushlabels", "brush", "bare", (20, 10), {"format": "rle", "brushlabels": ["Car"]})
    row = {"data": {"image": url("set/a.png")}, "annotations": [{"result": [empty]}]}
    (exports.folder / "x.json").write_text(json.dumps([row]))
    project = fill(exports, FUSED)
    with pytest.raises(SettingsError, match=r"entry 1 \(set/a.png\): region 'bare' \(Car\): rle: "):
        exports.import_(project, "x.json")
    exports.server.annotate(next(iter(exports.server.tasks)), [empty])
    exports.export(project, "rle-json")
    assert exports.json("out/manifest.json")["counts"]["problem_count"] == 1


HALVES: dict[str, tuple[str, Json]] = {
    "rectangle": ("height: expected a number", {"x": 10, "y": 10, "width": 20}),
    "ellipse": ("radiusX: expected a number", {"x": 10, "y": 10, "radiusY": 20}),
    "polygon": ("a polygon must be a list of points", {"x": 10, "y": 10}),
    "brush": ("rle: expected at least 7 bytes", {"x": 10, "y": 10, "width": 20, "height": 5}),
    "bitmask": ("bitmask: expected a PNG", {"x": 10, "y": 10}),
    "keypoint": ("it is a mask in the result of a key point tag", brush(CAR, "Car")[0]["value"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", HALVES)
def test_half_a_shape_is_named_and_goes_nowhere(exports: ExportBench, kind: str) -> None:
    """By a script: before, it was called a second result of a mask that is exported, and there was none."""
    message, value = HALVES[kind]
    tag = "KeyPointLabels" if kind == "keypoint" else f"{kind.capitalize()}Labels"
    tools = f'<{tag} name="tag" toName="image"><Label value="Car"/></{tag}>'
    config = f'<View><Image name="image" value="$image"/>{tools}</View>'
    half = result(f"{kind}labels", "tag", "half", (20, 10), {**value, f"{kind}labels": ["Car"]})
    project = exports.server.project(config)
    task = exports.server.task(project, image=url("set/a.png"))
    exports.server.annotate(task, [half])
    for format_name, file in FILES.items():
        summary = exports.export(project, format_name, format_name)
        counts = exports.json(f"{format_name}/manifest.json")["counts"]
        assert (counts["problem_count"], summary.regions, counts["left_out"]) == (1, 0, {})
        assert f"task {task}: region half (Car) cannot be read: {message}" in summary.problems[0]
        assert "half" not in (exports.folder / format_name / file).read_text()

    row = {"data": {"image": url("set/a.png")}, "annotations": [{"result": [half]}]}
    (exports.folder / "x.json").write_text(json.dumps([row]))
    with pytest.raises(SettingsError, match=rf"entry 1 \(set/a.png\): region 'half' \(Car\): {message}"):
        exports.import_(project, "x.json")


DEEP = "[" * 200_000 + "]" * 200_000
MALFORMED: dict[str, tuple[str, str]] = {
    "deep in a list": (f'{{"images": {DEEP}}}', "is nested more than 100 brackets deep"),
    "deep in an object": ('{"images": [{"id": 1, "a": ' + '{"a": ' * 5000 + "1" + "}" * 5000 + "}]}", "brackets deep"),
    "deep tasks": (DEEP, "is nested more than 100 brackets deep"),
    "brackets in a text": ('{"images": [{"id": "' + "[" * 500 + '\\"", "file_name": 3}]}', "has no file_name"),
    "id is a list": ('{"images": [{"id": [1], "file_name": "a"}]}', "images[0]: its id is [1], where a number or a"),
    "id is true": ('{"images": [{"id": true, "file_name": "a"}]}', "images[0]: its id is True"),
    "no id": ('{"categories": [{"name": "Car"}], "images": []}', "categories[0]: its id is None"),
    "name is a number": ('{"categories": [{"id": 1, "name": 5}], "images": []}', "categories[0]: has no name"),
    "long number": ('{"images": [{"id": ' + "9" * 5000 + "}]}", "is not JSON"),
    "not a number": ('{"images": [{"id": NaN}]}', "is not JSON"),
    "list of tasks in a list": ("[[1]]", "entry 1 is [1], where an object is expected"),
    "annotations is a text": ('[{"data": {"image": "/a.png"}, "annotations": "x"}]', "annotations is 'x'"),
    "result is an object": ('[{"data": {"image": "/a.png"}, "annotations": [{"result": {}}]}]', "has no list"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_file_gets_a_sentence(exports: ExportBench, text: str, message: str) -> None:
    (exports.folder / "x.json").write_text(text)
    with pytest.raises(SettingsError) as caught:
        exports.import_(fill(exports, FUSED), "x.json")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600


def test_results_of_any_kind_are_no_traceback(exports: ExportBench) -> None:
    """Ids, names and values of kinds that the editor never writes; the good region beside them goes in."""
    strange: list[Json] = [
        {"id": [1], "type": ["x"], "from_name": {"a": 1}, "to_name": "image", "value": 3, "original_width": "a"},
        {"id": 5, "type": "brushlabels", "to_name": "image", "value": {"rle": [], "brushlabels": {"a": 1}}},
        {"type": "choices", "value": None},
        {},
    ]
    annotation = {"result": [*strange, *brush(CAR, "Car")], "lead_time": "soon", "completed_by": ["x"]}
    row = {"data": {"image": url("set/a.png")}, "annotations": [annotation]}
    (exports.folder / "x.json").write_text(json.dumps([row]))
    project = fill(exports, FUSED)
    assert exports.import_(project, "x.json").added == 1
    assert exports.server.annotations[task_of(exports, project, "a")][0]["lead_time"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DEEP, "is nested too deeply"),
        ('{"format": "\\ud800"}', "lone surrogate"),
        ('{"format": ["coco"]}', "does not say the format"),
        ("[]", "does not say the format"),
        ("{", "is not JSON: line 1"),
    ],
)
def test_malformed_manifest_gets_a_sentence(exports: ExportBench, text: str, message: str) -> None:
    (exports.folder / "out").mkdir()
    (exports.folder / "out" / "manifest.json").write_text(text)
    with pytest.raises(SettingsError, match=message):
        exports.import_(fill(exports, FUSED))


def test_what_python_writes_for_no_number_is_named(exports: ExportBench) -> None:
    content = coco({"segmentation": [[2, 3, 9, 3, 9, 8]], "area": float("nan")})
    (exports.folder / "x.json").write_text(json.dumps(content))
    with pytest.raises(SettingsError, match="is not JSON: NaN or Infinity stands where JSON has a number"):
        exports.import_(fill(exports, POLYGONS), "x.json")


def test_boxes_of_another_project_are_no_empty_annotation(exports: ExportBench) -> None:
    """Without a tag of the project they would be prompts: what is left says that nothing is in the image."""
    project = fill(exports, FUSED)
    box = result("rectanglelabels", "label", "one", (20, 10), {"x": 5, "y": 5, "width": 20, "height": -4})
    box["value"]["rectanglelabels"] = ["Car"]
    row = {"data": {"image": url("set/a.png")}, "annotations": [{"result": [box]}, {"result": brush(CAR, "Car")}]}
    (exports.folder / "x.json").write_text(json.dumps([row]))
    with pytest.raises(SettingsError, match=r"entry 1 \(set/a.png\): it has boxes only, by tags that the project"):
        exports.import_(project, "x.json")
    assert exports.import_(project, "x.json", skip_broken=True).added == 1
    assert [len(one) for one in shapes(exports, project)] == [1]


def test_boxes_by_a_name_of_another_kind_are_no_empty_one(exports: ExportBench) -> None:
    """The project has a tag of the name of theirs, and it draws something else."""
    project = fill(exports, POLYGONS.replace('"poly"', '"label"'))
    box = result("rectanglelabels", "label", "one", (20, 10), {"x": 5, "y": 5, "width": 20, "height": 4})
    box["value"]["rectanglelabels"] = ["Car"]
    row = {"data": {"image": url("set/a.png")}, "annotations": [{"result": [box]}]}
    (exports.folder / "x.json").write_text(json.dumps([row]))
    with pytest.raises(SettingsError, match="it has boxes only, by tags that the project does not have"):
        exports.import_(project, "x.json")
    assert shapes(exports, project) == []


@pytest.mark.parametrize("config", [FUSED, SPLIT], ids=["same tags", "other tags"])
def test_broken_region_without_an_id_is_left_out(exports: ExportBench, config: str) -> None:
    """As scripts write them: the one that is named is the one that is not stored."""
    broken = brush(CAR, "Road", "")[0]
    broken["value"]["rle"] = []
    row = {"data": {"image": url("set/a.png")}, "annotations": [{"result": [*brush(CAR, "Car", ""), broken]}]}
    (exports.folder / "x.json").write_text(json.dumps([row]))
    project = fill(exports, config)
    summary = exports.import_(project, "x.json", skip_broken=True)
    assert (summary.added, len(summary.broken)) == (1, 1)
    assert "region 'region-2' (Road): " in summary.broken[0]
    (stored,) = shapes(exports, project)
    labels = [one["value"][one["type"]] for one in stored if one["type"].endswith("labels")]
    assert labels == [["Car"]]


def test_region_on_a_page_that_the_task_lacks_is_named(exports: ExportBench) -> None:
    project = exports.server.project(FUSED.replace('value="$image"', 'valueList="$pages"'))
    pages = [url("set/1.png"), url("set/2.png")]
    task = exports.server.task(project, pages=pages)
    drawn = [*brush(CAR, "Car", "good", item_index=1), *brush(CAR, "Car", "gone", item_index=2)]
    row = {"data": {"pages": pages}, "annotations": [{"result": drawn}]}
    (exports.folder / "x.json").write_text(json.dumps([row]))
    with pytest.raises(SettingsError, match=r"region 'gone' \(Car\): it is on image 3 of 'image', .* the task has 2"):
        exports.import_(project, "x.json")
    assert exports.import_(project, "x.json", skip_broken=True).added == 1
    (stored,) = exports.server.annotations[task]
    assert [one["id"] for one in stored["result"]] == ["good"]
