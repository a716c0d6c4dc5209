"""Data sets of pairs: both pictures and their masks on one grid, in one PNG of four channels, of two projects."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from core.errors import SettingsError
from dataset.export.command import ExportRequest
from dataset.pair_sides import project_sides
from labelstudio.models import Project
from masks.measure import intersection_over_union as iou
from masks.stretching import stretch_of
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.transfer.drawn import KNOWN, RGB_WH, THERMAL_WH, alignment, drawn, thermal_picture
from tests.unit.labelstudio.annotated import FUSED, Result, brush, url

PAIR = """<View>
  <Image name="rgb" value="$rgb"/>
  <BrushLabels name="brush_rgb" toName="rgb"><Label value="car"/><Label value="person"/></BrushLabels>
  <Image name="thermal" value="$thermal"/>
  <BrushLabels name="brush_thermal" toName="thermal"><Label value="car"/><Label value="person"/></BrushLabels>
</View>"""
THERMAL = """<View><Image name="photo" value="$photo"/>
  <BrushLabels name="brush" toName="photo"><Label value="Car"/><Label value="Fire"/></BrushLabels></View>"""


def colour_picture() -> NDArray[np.uint8]:
    pixels = np.full((RGB_WH[1], RGB_WH[0], 3), 60, np.uint8)
    pixels[drawn("car")] = (200, 30, 40)
    pixels[drawn("person")] = (30, 60, 210)
    return pixels


def stored(exports: ExportBench, path: str, pixels: NDArray[Any], kind: str = "PNG") -> None:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    exports.server.images[path] = content.getvalue()


def on(tag: str, mask: NDArray[np.bool_], label: str) -> list[Result]:
    return [{**one, "to_name": tag, "from_name": f"brush_{tag}"} for one in brush(mask, label, f"{tag}-{label}")]


@pytest.fixture
def pairs(exports: ExportBench) -> Project:
    """Two pairs: a car in both pictures' masks, a person in those of RGB alone."""
    project = exports.server.project(PAIR, "Pairs")
    for name in ("a", "b"):
        stored(exports, f"set/RGB/{name}.png", colour_picture())
        stored(exports, f"set/T/{name}.tiff", thermal_picture("car"), "TIFF")
        task = exports.server.task(project, rgb=url(f"set/RGB/{name}.png"), thermal=url(f"set/T/{name}.tiff"))
        results = [*on("rgb", drawn("car"), "car"), *on("rgb", drawn("person"), "person")]
        exports.server.annotate(task, [*results, *on("thermal", drawn("car", KNOWN, THERMAL_WH), "car")])
    return project


def export(exports: ExportBench, project: Project, target: Project | None = None, **options: Any) -> Any:
    if "alignment" not in options:
        options["alignment"] = alignment(exports.folder / "alignment.yaml")
    return exports.export(project, "dataset", sides=project_sides(project, target, None, None), **options)


def numbers(path: Path) -> NDArray[Any]:
    with Image.open(path) as opened:
        return np.asarray(opened)


def test_four_channels_lie_on_the_rgb_grid(exports: ExportBench, pairs: Project) -> None:
    """The car is warm in the fourth channel where its RGB mask is, and so lies its mask of the thermal picture."""
    export(exports, pairs, pictures="rgbt")
    out = exports.folder / "out"
    found = numbers(out / "images" / "rgbt" / "a.png")
    assert found.shape == (RGB_WH[1], RGB_WH[0], 4)
    assert found.dtype == np.uint8
    assert (found[..., :3] == colour_picture()).all()
    assert float(found[..., 3][drawn("car")].mean()) > 200
    labels = {tag: numbers(out / "labels" / tag / "a.png") for tag in ("rgb", "thermal")}
    assert (labels["rgb"] == np.where(drawn("person"), 2, np.where(drawn("car"), 1, 255))).all()
    assert iou(labels["thermal"] == 1, drawn("car")) > 0.95
    assert sorted(one.name for one in (out / "images").iterdir()) == ["rgbt"]
    assert not (out / "parts").exists()
    about = yaml.safe_load((out / "dataset.yaml").read_text())
    assert about["images"] == {"rgbt": "images/rgbt"}
    assert about["labels"] == {"rgb": "labels/rgb", "thermal": "labels/thermal"}
    assert (about["grid"], about["alignment"]["matrix"]) == ("rgb", np.round(KNOWN, 9).tolist())


def test_thermal_grid_keeps_thermal_picture_whole(exports: ExportBench, pairs: Project) -> None:
    """Its file is copied byte by byte; the RGB picture and its masks are drawn on its pixels."""
    export(exports, pairs, grid="thermal")
    out = exports.folder / "out"
    assert (out / "images" / "thermal" / "a.tiff").read_bytes() == exports.server.images["set/T/a.tiff"]
    colour = numbers(out / "images" / "rgb" / "a.png")
    assert colour.shape == (THERMAL_WH[1], THERMAL_WH[0], 3)
    inside = drawn("car", KNOWN, THERMAL_WH) & ~drawn("person", KNOWN, THERMAL_WH)
    assert np.abs(np.median(colour[inside], axis=0) - (200, 30, 40)).max() <= 2
    labels = numbers(out / "labels" / "rgb" / "a.png")
    assert iou(labels == 2, drawn("person", KNOWN, THERMAL_WH)) > 0.93


def test_thermal_depth_stays_on_the_rgb_grid(exports: ExportBench, pairs: Project) -> None:
    export(exports, pairs)
    found = numbers(exports.folder / "out" / "images" / "thermal" / "a.png")
    assert found.dtype == np.uint16
    assert found.shape == (RGB_WH[1], RGB_WH[0])
    assert abs(float(np.median(found[drawn("car")])) - 29800) < 60


def test_refused_pairs_are_left_out_by_name(exports: ExportBench, pairs: Project) -> None:
    """It is no failure: the registration has said so before."""
    file = alignment(exports.folder / "alignment.yaml", refused=["RGB/b"])
    summary = export(exports, pairs, alignment=file, pictures="rgbt")
    out = exports.folder / "out"
    assert summary.problems == ()
    assert (out / "train.txt").read_text() == "a\n"
    assert [one.name for one in out.rglob("b.*")] == []
    assert any("1 pairs are left out, because the registration refused them: b" in one for one in exports.shown())
    assert exports.json("out/manifest.json")["counts"]["left_out"]["refused pair"] == 2


def test_pairs_of_another_flight_are_written(exports: ExportBench, pairs: Project) -> None:
    """Pairs called as refused ones are refused where a picture is theirs, and else follow the rig."""
    theirs = hashlib.sha256(exports.server.images["set/T/a.tiff"]).hexdigest()
    ours = hashlib.sha256(exports.server.images["set/RGB/a.png"]).hexdigest()
    known = {"a": {"rgb": ours, "thermal": theirs}, "b": {"rgb": "of another flight", "thermal": "too"}}
    file = alignment(exports.folder / "alignment.yaml", refused=["a", "b"], pictures=known)
    summary = export(exports, pairs, alignment=file, pictures="rgbt")
    assert summary.problems == ()
    assert (exports.folder / "out" / "train.txt").read_text() == "b\n"
    assert any("1 pairs are left out, because the registration refused them: a" in one for one in exports.shown())
    assert any("1 pictures are called as pairs that do not follow the rig" in one for one in exports.shown())


def test_other_sizes_than_registered_are_named(exports: ExportBench, pairs: Project) -> None:
    stored(exports, "set/T/b.tiff", thermal_picture("car")[:90], "TIFF")
    exports.server.annotations[sorted(exports.server.tasks)[1]][0]["result"].pop()
    (problem,) = export(exports, pairs, pictures="rgbt").problems
    assert "set/T/b.tiff was left out: it has 128x90 pixels, and the registration is of thermal pictures" in problem
    assert (exports.folder / "out" / "train.txt").read_text() == "a\n"


def test_grey_of_eight_and_sixteen_bits(exports: ExportBench) -> None:
    """Without an alignment too: stretched as people see it, or in its own whole numbers; others are named."""
    project = exports.server.project(FUSED)
    thermal = thermal_picture("car")
    celsius = (thermal / 100 - 273.15).astype(np.float32)
    for name, pixels, kind in (("a.tiff", thermal, "TIFF"), ("b.tiff", celsius, "TIFF"), ("c.png", None, "PNG")):
        grey = np.full(THERMAL_WH[::-1], 200, np.uint8) if pixels is None else pixels
        stored(exports, f"set/{name}", grey, kind)
        exports.server.annotate(
            exports.server.task(project, image=url(f"set/{name}")), brush(drawn("car", KNOWN, THERMAL_WH), "Car")
        )
    exports.export(project, "dataset", "eight", pictures="8-bit")
    for name, values in (("a", thermal.astype(np.float32)), ("b", celsius)):
        expected = stretch_of(lambda values=values: [values]).applied(values)  # type: ignore[misc]
        assert (numbers(exports.folder / "eight" / "images" / "image" / f"{name}.png") == expected).all()
    (problem,) = exports.export(project, "dataset", "sixteen", pictures="16-bit").problems
    assert "set/b.tiff was left out: the values of its picture are not whole numbers of 0 to 65535" in problem
    found = [numbers(exports.folder / "sixteen" / "images" / "image" / f"{name}.png") for name in "ac"]
    assert (found[0] == thermal).all()
    assert found[1].dtype == np.uint16
    assert (found[1] == 200 * 257).all()


def two_projects(exports: ExportBench) -> tuple[Project, Project]:
    """Three RGB pictures; the first two have twins in the thermal project, whose second one is not annotated."""
    rgb, thermal = exports.server.project(FUSED, "RGB"), exports.server.project(THERMAL, "Thermal")
    for name in ("a", "b", "c"):
        stored(exports, f"set/RGB/{name}.png", colour_picture())
        task = exports.server.task(rgb, image=url(f"set/RGB/{name}.png"))
        exports.server.annotate(task, brush(drawn("car"), "Car"))
    for name in ("b", "a", "z"):
        stored(exports, f"set/T/{name}.tiff", thermal_picture("car"), "TIFF")
        task = exports.server.task(thermal, photo=url(f"set/T/{name}.tiff"))
        if name == "a":
            fire = brush(drawn("car", KNOWN, THERMAL_WH), "Fire")
            exports.server.annotate(task, [{**one, "to_name": "photo"} for one in fire])
    return rgb, thermal


def test_two_projects_are_one_data_set(exports: ExportBench) -> None:
    """Each side has its own class maps, by the numbers of all labels; pictures without a twin are named."""
    rgb, thermal = two_projects(exports)
    summary = export(exports, rgb, thermal, alignment=None)
    out = exports.folder / "out"
    assert summary.problems == ()
    assert {path.relative_to(out).as_posix() for path in (out / "images").rglob("*.*")} == {
        f"images/{path}" for path in ("rgb/a.png", "rgb/b.png", "thermal/a.tiff", "thermal/b.tiff")
    }
    assert (numbers(out / "labels" / "rgb" / "a.png") == np.where(drawn("car"), 1, 255)).all()
    on_thermal = np.where(drawn("car", KNOWN, THERMAL_WH), 3, 255)
    assert (numbers(out / "labels" / "thermal" / "a.png") == on_thermal).all()
    assert (numbers(out / "labels" / "thermal" / "b.png") == 255).all()
    assert (out / "train.txt").read_text() == "a\nb\n"
    about = yaml.safe_load((out / "dataset.yaml").read_text())
    assert about["classes"] == {1: "Car", 2: "Road", 3: "Fire"}
    assert any("1 pictures have no twin and are left out: set/RGB/c.png" in one for one in exports.shown())
    manifest = exports.json("out/manifest.json")
    assert (manifest["counts"]["left_out"], manifest["options"]["to"]["title"]) == (
        {"picture without twin": 1},
        "Thermal",
    )
    assert not any(one.get("retired") for one in exports.json("classes.lock")["classes"])


def test_two_projects_on_one_grid(exports: ExportBench) -> None:
    rgb, thermal = two_projects(exports)
    export(exports, rgb, thermal, pictures="rgbt")
    out = exports.folder / "out"
    assert iou(numbers(out / "labels" / "thermal" / "a.png") == 3, drawn("car")) > 0.95
    assert numbers(out / "images" / "rgbt" / "b.png").shape == (RGB_WH[1], RGB_WH[0], 4)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"pictures": "4-bit"}, "--pictures is one of original, 8-bit, 16-bit, rgbt, not '4-bit'"),
        ({"pictures": "rgbt"}, "--pictures rgbt needs --alignment FILE"),
        ({"grid": "lidar"}, "--grid is rgb or thermal, not 'lidar'"),
        ({"alignment": Path("/nowhere.yaml")}, "--alignment /nowhere.yaml"),
        ({"format": "coco", "to": "Thermal"}, "--to and --alignment are of --format dataset, not of coco"),
    ],
)
def test_wrong_options_of_pairs_are_one_error(options: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError) as error:
        ExportRequest(**{"format": "dataset", **options})
    assert text in str(error.value)
