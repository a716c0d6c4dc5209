"""Masks inside Label Studio: from one image of a task to the other, and between two projects."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.errors import LabelStudioError, SettingsError
from dataset.export.regions import Region
from dataset.transfer.command import ProjectRequest, run_in_label_studio
from dataset.transfer.regions import Transfer
from labelstudio.masks import masks_in
from labelstudio.models import Project
from masks.measure import intersection_over_union as iou
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.transfer.drawn import KNOWN, RGB_WH, THERMAL_WH, alignment, drawn, thermal_picture
from tests.unit.labelstudio.annotated import OTHER, Result, brush, key_point, result, split_brush, url

PAIR = """<View>
  <Image name="rgb" value="$rgb"/>
  <BrushLabels name="brush_rgb" toName="rgb"><Label value="car"/><Label value="person"/></BrushLabels>
  <KeyPointLabels name="kpts" toName="rgb" smart="true"><Label value="car"/><Label value="person"/></KeyPointLabels>
  <Image name="thermal" value="$thermal"/>
  <Brush name="brush_thermal" toName="thermal"/>
  <Labels name="label_thermal" toName="thermal"><Label value="car"/><Label value="person"/></Labels>
</View>"""
RGB = """<View><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="car"/><Label value="person"/></BrushLabels>
  <PolygonLabels name="poly" toName="image"><Label value="car"/></PolygonLabels></View>"""
THERMAL = """<View><Image name="photo" value="$photo"/>
  <PolygonLabels name="outline" toName="photo"><Label value="Vehicle"/></PolygonLabels></View>"""


@pytest.fixture
def pairs(exports: ExportBench) -> Project:
    """Three tasks of pairs: two annotated, one of them by two people; the third is not."""
    project = exports.server.project(PAIR, "Pairs")
    for name in ("a", "b", "c"):
        picture(exports, f"set/T/{name}.tiff", "car", "person")
        exports.server.task(project, rgb=url(f"set/RGB/{name}.png"), thermal=url(f"set/T/{name}.tiff"))
    first, second, _ = exports.server.tasks
    exports.server.annotate(first, on_rgb("car"), completed_by=2, updated_at="2026-03-02T10:00:00Z")
    exports.server.annotate(first, [*on_rgb("person"), {**key_point("car"), "to_name": "rgb"}])
    exports.server.annotate(second, on_rgb("car", "person"))
    return project


def picture(exports: ExportBench, path: str, *labels: str) -> None:
    content = io.BytesIO()
    Image.fromarray(thermal_picture(*labels)).save(content, "TIFF")
    exports.server.images[path] = content.getvalue()


def on_rgb(*labels: str, to_name: str = "rgb", name: str = "brush_rgb") -> list[Result]:
    found = [one for label in labels for one in brush(drawn(label), label, f"r-{label}")]
    return [{**one, "to_name": to_name, "from_name": name} for one in found]


def transfer(exports: ExportBench, source: Project, target: Project | None = None, **options: Any) -> Transfer:
    """`sam2` and `inside` are what runs commands in the containers; without `sam2` masks lie as the transform says."""
    execs = (options.pop("inside", None), options.pop("sam2", None))
    path = exports.folder / "alignment.yaml"
    if not path.exists():
        alignment(path)
    request = ProjectRequest(path, **{"refine": "none", **options})
    request.check(None if target is None else target.title)
    return run_in_label_studio(exports.client, *execs, source, target, request, exports.report)


def test_a_pair_gets_a_prediction_with_both_images(exports: ExportBench, pairs: Project) -> None:
    """The newest annotation counts; without its prompts it is in the prediction, whose thermal masks lie right."""
    found = transfer(exports, pairs)
    assert [(one.name, one.twin) for one in found.images] == [
        ("set/RGB/a.png", "set/T/a.tiff"),
        ("set/RGB/b.png", "set/T/b.tiff"),
    ]
    first, second, third = (exports.server.predictions[task] for task in exports.server.tasks)
    assert third == []
    ((one,), (two,)) = first, second
    assert one["model_version"] == "transfer"
    assert one["score"] > 0.6
    assert {each["to_name"] for each in one["result"]} == {"rgb", "thermal"}
    assert [each["type"] for each in one["result"]] == ["brushlabels", "brush", "labels"]
    assert len({(each["to_name"], each["id"]) for each in two["result"]}) == 4
    masks = {each.labels: each for each in masks_in([r for r in two["result"] if r["to_name"] == "thermal"])}
    for label in ("car", "person"):
        assert iou(masks[label,].mask, drawn(label, KNOWN, THERMAL_WH)) > 0.95
    notes = {each["meta"]["text"][0] for each in two["result"] if each["to_name"] == "thermal"}
    assert sorted(text.partition(",")[0] for text in notes) == ["from rgb r-car", "from rgb r-person"]


def test_a_second_run_adds_nothing(exports: ExportBench, pairs: Project) -> None:
    transfer(exports, pairs)
    again = transfer(exports, pairs)
    assert (again.images, again.before) == ([], 2)
    assert [len(each) for each in exports.server.predictions.values()] == [1, 1, 0]
    assert "2 images had theirs already" in "\n".join(again.lines())


def test_people_and_refused_pairs_are_left_alone(exports: ExportBench, pairs: Project) -> None:
    first, second, third = exports.server.tasks
    drawn_there = [{**one, "to_name": "thermal"} for one in split_brush(drawn("car", KNOWN, THERMAL_WH), "car", "t")]
    exports.server.annotate(third, on_rgb("car") + drawn_there)
    alignment(exports.folder / "alignment.yaml", refused=["RGB/b"])
    found = transfer(exports, pairs)
    assert {one.name: one.reason for one in found.left_out} == {
        "set/RGB/b.png": "the registration refused its pair",
        "set/RGB/c.png": f"people have drawn on its twin (task {third}), which is left alone",
    }
    assert [len(exports.server.predictions[task]) for task in (first, second, third)] == [1, 0, 0]


def test_a_broken_region_is_named_and_the_rest_carried(exports: ExportBench, pairs: Project) -> None:
    _, second, _ = exports.server.tasks
    broken = {**on_rgb("car")[0], "id": "bad", "value": {"format": "rle", "rle": [1, 2], "brushlabels": ["car"]}}
    exports.server.annotate(second, [broken, *on_rgb("person")], updated_at="2026-03-03T10:00:00Z")
    found = transfer(exports, pairs)
    assert [one.label for one in found.images[1].regions] == ["person"]
    assert found.problems == ["set/RGB/b.png: region bad (car) cannot be read: rle: expected at least 7 bytes, got 2"]


def test_one_persons_annotations_are_carried_over(exports: ExportBench, pairs: Project) -> None:
    found = transfer(exports, pairs, annotators=OTHER)
    assert [[one.label for one in image.regions] for image in found.done] == [["car"]]


def test_the_other_project_gets_its_own_tags_and_labels(exports: ExportBench) -> None:
    """A mask becomes a polygon where nothing else is there, a polygon stays one by its corners."""
    source, target = exports.server.project(RGB, "RGB"), exports.server.project(THERMAL, "Thermal")
    picture(exports, "set/T/a.png", "car")
    rgb = exports.server.task(source, image=url("set/RGB/a.png"))
    twin = exports.server.task(target, photo=url("set/T/a.png"))
    corners = [[20.0, 20.0], [60.0, 30.0], [40.0, 70.0]]
    value = {"points": corners, "closed": True, "polygonlabels": ["car"]}
    polygon = result("polygonlabels", "poly", "p", RGB_WH, value)
    exports.server.annotate(rgb, [*on_rgb("car", "person", to_name="image", name="brush"), polygon])
    labels = {"car": "Vehicle", "person": ""}
    found = transfer(exports, source, target, labels=labels, kind="annotation")
    (made,) = exports.server.annotations[twin]
    assert [(one["from_name"], one["type"], one["value"]["polygonlabels"]) for one in made["result"]] == [
        ("outline", "polygonlabels", ["Vehicle"])
    ] * 2
    regions = [Region("", "polygon", ("",), "", None, THERMAL_WH, one["value"]) for one in made["result"]]
    assert iou(regions[0].mask(), drawn("car", KNOWN, THERMAL_WH)) > 0.95
    assert len(made["result"][1]["value"]["points"]) == 3
    middle = np.asarray(corners) * RGB_WH / 100 - 0.5
    places = KNOWN @ np.vstack([middle.T, np.ones(3)])
    seen = np.asarray(made["result"][1]["value"]["points"]) * THERMAL_WH / 100 - 0.5
    assert seen == pytest.approx(places[:2].T)
    assert found.notes == ['1 masks with the label "person" are left out, as --label says']
    again = transfer(exports, source, target, labels=labels, kind="annotation")
    assert (again.images, again.before) == ([], 1)
    assert len(exports.server.annotations[twin]) == 1


def test_back_goes_by_the_name_of_the_rgb_picture(exports: ExportBench, pairs: Project) -> None:
    """The pair `RGB/c` has a transform of its own; its thermal picture has other folders in its path."""
    _, _, third = exports.server.tasks
    own = KNOWN.copy()
    own[0, 2] += 11
    alignment(exports.folder / "alignment.yaml", own={"RGB/c": own.tolist()})
    content = io.BytesIO()
    Image.effect_noise(RGB_WH, 60).save(content, "PNG")
    exports.server.images["set/RGB/c.png"] = content.getvalue()
    on_thermal = split_brush(drawn("car", own, THERMAL_WH), "car")
    exports.server.annotate(
        third, [{**one, "to_name": "thermal", "from_name": f"{one['from_name']}_thermal"} for one in on_thermal]
    )
    transfer(exports, pairs, image="thermal", to_image="rgb", back=True)
    (one,) = exports.server.predictions[third]
    (mask,) = masks_in([each for each in one["result"] if each["to_name"] == "rgb"])
    assert iou(mask.mask, drawn("car")) > 0.95


def test_another_picture_of_a_pairs_name_follows_the_rig(exports: ExportBench, pairs: Project) -> None:
    """`a` was registered with a transform of its own, and so was a `b` of another flight."""
    own = KNOWN.copy()
    own[0, 2] += 11
    digests = {name: hashlib.sha256(exports.server.images[f"set/T/{name}.tiff"]).hexdigest() for name in ("a", "b")}
    pictures = {"a": {"thermal": digests["a"]}, "b": {"rgb": "of another flight"}}
    apart = {name: own.tolist() for name in pictures}
    alignment(exports.folder / "alignment.yaml", own=apart, pictures=pictures)
    found = transfer(exports, pairs)
    for task, matrix in zip(exports.server.tasks, (own, KNOWN), strict=False):
        (one,) = exports.server.predictions[task]
        masks = masks_in([each for each in one["result"] if each["to_name"] == "thermal"])
        assert iou(masks[0].mask, drawn(masks[0].labels[0], matrix, THERMAL_WH)) > 0.95
    assert [note for note in found.notes if "(set/RGB/b.png)" in note] == found.notes


def test_sizes_that_differ_are_named(exports: ExportBench, pairs: Project) -> None:
    content = io.BytesIO()
    Image.effect_noise((64, 48), 60).save(content, "PNG")
    exports.server.images["set/T/a.tiff"] = content.getvalue()
    del exports.server.images["set/T/b.tiff"]
    first, second = (one.reason for one in transfer(exports, pairs).images)
    assert first == "its twin has 64x48 pixels, and the registration is of pictures of 128x96"
    assert second.startswith("its twin set/T/b.tiff cannot be read: ")
    assert not any(exports.server.predictions.values())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"image": "depth"},
            r"--image depth: the labeling configuration has no such image \(there are: rgb, thermal\)",
        ),
        ({"to_image": "depth"}, r"--to-image depth: the labeling configuration has no such image"),
        ({"to_image": "rgb"}, "--image and --to-image both name rgb"),
        ({"kind": "sketch"}, "--kind sketch: must be prediction, draft or annotation"),
        ({"kind": "annotation"}, "a task of pairs has one annotation for both pictures"),
    ],
)
def test_bad_options_are_one_error(exports: ExportBench, pairs: Project, options: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        transfer(exports, pairs, **options)


def test_a_project_of_single_images_needs_another(exports: ExportBench) -> None:
    source = exports.server.project(RGB, "RGB")
    with pytest.raises(SettingsError, match="'RGB' shows one image a task; --to PROJECT says which project"):
        transfer(exports, source)
    target = exports.server.project(THERMAL, "Thermal")
    with pytest.raises(LabelStudioError, match="RGB has no annotation that was submitted"):
        transfer(exports, source, target)


def test_the_alignment_is_read_before_the_server(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml: cannot be read"):
        ProjectRequest(tmp_path / "none.yaml").check(None)
