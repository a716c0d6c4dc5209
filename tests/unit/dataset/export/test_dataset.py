"""The data set that a training script reads: pictures, class maps, colours and lists fit together."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from core.errors import LabelrigError, SettingsError
from dataset.export.command import ExportRequest
from labelstudio.models import Project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import FUSED, PAIR, Result, brush, rectangle_mask, url

SIZE = (20, 10)
CAR, ROAD = rectangle_mask(SIZE, 2, 3, 9, 8), rectangle_mask(SIZE, 0, 6, 20, 10)


def picture(seed: int, mode: str = "RGB", size: tuple[int, int] = SIZE, **more: Any) -> bytes:
    content = io.BytesIO()
    values = np.random.default_rng(seed).integers(0, 60000, (*size[::-1], 3))
    pixels = values[..., 0].astype(np.uint16) if mode == "I;16" else (values // 256).astype(np.uint8)
    Image.fromarray(pixels).save(content, more.pop("format", "PNG"), **more)
    return content.getvalue()


def scenes(exports: ExportBench, count: int = 4) -> Project:
    """Frames of as many flights: each with a road, every second one with a car above it."""
    project = exports.server.project(FUSED)
    for number in range(count):
        name = f"set/flight {number}/0001.png"
        exports.server.images[name] = picture(number)
        results = [*brush(ROAD, "Road", "r"), *(brush(CAR, "Car", "c") if number % 2 else [])]
        exports.server.annotate(exports.server.task(project, image=url(name)), results)
    return project


def numbers(path: Path) -> Any:
    with Image.open(path) as opened:
        return np.asarray(opened)


def content(folder: Path) -> dict[str, Any]:
    found = yaml.safe_load((folder / "dataset.yaml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_pictures_maps_and_colours_lie_side_by_side(exports: ExportBench) -> None:
    exports.export(scenes(exports), "dataset", shares="50,25,25")
    out = exports.folder / "out"
    names = sorted(path.relative_to(out / "images" / "image").as_posix() for path in (out / "images").rglob("*.png"))
    assert names == [f"flight {number}/0001.png" for number in range(4)]
    assert (out / "images" / "image" / names[1]).read_bytes() == picture(1)
    found = numbers(out / "labels" / "image" / names[1])
    assert found.dtype == np.uint8
    expected = np.where(CAR, 1, np.where(ROAD, 2, 255))
    assert (found == expected).all()
    colours = numbers(out / "colours" / "image" / names[1])
    assert colours[CAR].tolist() == [[0xE5, 0x39, 0x35]] * int(CAR.sum())
    assert not colours[expected == 255].any()
    lists = [set((out / f"{part}.txt").read_text().splitlines()) for part in ("train", "val", "test")]
    assert [len(one) for one in lists] == [2, 1, 1]
    assert set.union(*lists) == {f"flight {number}/0001" for number in range(4)}
    read = content(out)
    assert (read["classes"], read["ignore"]) == ({1: "Car", 2: "Road"}, 255)
    assert read["palette"] == {1: "#E53935", 2: "#1E88E5"}
    shares = read["splits"]["train"]["pixels"]["image"]
    assert shares["(unlabelled)"] + shares["Road"] + shares.get("Car", 0) == pytest.approx(1)
    assert {"dataset.yaml", "train.txt", "images/image/flight 1/0001.png"} <= set(
        exports.json("out/manifest.json")["files"]
    )


def test_a_pair_is_one_sample_with_two_pictures(exports: ExportBench) -> None:
    """The 16 bits of a thermal picture stay; a pair without its thermal picture is in no list, and named."""
    project = exports.server.project(PAIR)
    for name in ("a", "b"):
        exports.server.images[f"set/RGB/{name}.png"] = picture(3)
        results: list[Result] = [{**one, "to_name": "rgb", "from_name": "brush_rgb"} for one in brush(CAR, "Car")]
        task = exports.server.task(project, rgb=url(f"set/RGB/{name}.png"), thermal=url(f"set/T/{name}_t.png"))
        exports.server.annotate(task, results)
    exports.server.images["set/T/a_t.png"] = picture(5, "I;16", (12, 8))
    summary = exports.export(project, "dataset", group=("nothing",))
    out = exports.folder / "out"
    assert (numbers(out / "images" / "thermal" / "a.png") == numbers_of(picture(5, "I;16", (12, 8)))).all()
    assert numbers(out / "images" / "thermal" / "a.png").max() > 255
    assert numbers(out / "labels" / "thermal" / "a.png").tolist() == [[255] * 12] * 8
    assert (numbers(out / "labels" / "rgb" / "a.png") == np.where(CAR, 1, 255)).all()
    assert (out / "train.txt").read_text() == "a\n"
    assert any("1 samples lack one of rgb, thermal and are in no list: b" in line for line in exports.shown())
    assert len(summary.problems) == 1
    assert "set/T/b_t.png" in summary.problems[0]


def test_a_set_without_any_thermal_picture_has_no_sample(exports: ExportBench) -> None:
    """A wrong --link, for one: it is not a data set of RGB alone, whatever could be written."""
    project = exports.server.project(PAIR)
    exports.server.images["set/RGB/a.png"] = picture(3)
    results: list[Result] = [{**one, "to_name": "rgb", "from_name": "brush_rgb"} for one in brush(CAR, "Car")]
    task = exports.server.task(project, rgb=url("set/RGB/a.png"), thermal=url("set/T/a_t.png"))
    exports.server.annotate(task, results)
    summary = exports.export(project, "dataset")
    out = exports.folder / "out"
    assert [(out / f"{part}.txt").read_text() for part in ("train", "val", "test")] == ["", "", ""]
    read = content(out)
    assert list(read["images"]) == list(read["labels"]) == ["rgb", "thermal"]
    assert read["splits"]["train"]["samples"] == 0
    assert len(summary.problems) == 1
    assert any("1 samples lack one of rgb, thermal and are in no list: a" in line for line in exports.shown())


def numbers_of(content: bytes) -> Any:
    with Image.open(io.BytesIO(content)) as opened:
        return np.asarray(opened)


def test_overlaps_by_order_priority_or_refused(exports: ExportBench) -> None:
    project = exports.server.project(FUSED)
    for number, results in enumerate(([*brush(CAR, "Car", "c"), *brush(ROAD, "Road", "r")], brush(CAR, "Car"))):
        exports.server.images[f"set/{number}.png"] = picture(number)
        exports.server.annotate(exports.server.task(project, image=url(f"set/{number}.png")), results)
    path = Path("labels/image/0.png")
    exports.export(project, "dataset", "drawn")
    assert (numbers(exports.folder / "drawn" / path)[CAR & ROAD] == 2).all()
    exports.export(project, "dataset", "first", priority=("Car",), ignore=0)
    found = numbers(exports.folder / "first" / path)
    assert (found[CAR & ROAD] == 1).all()
    assert (found[~CAR & ~ROAD] == 0).all()
    summary = exports.export(project, "dataset", "refused", overlap="refuse")
    assert len(summary.problems) == 1
    assert "14 pixels have two classes, one of them 'Road'" in summary.problems[0]
    assert not (exports.folder / "refused" / path).exists()
    with pytest.raises(SettingsError, match="--priority: the project 'Scenes' has no 'Bike'"):
        exports.export(project, "dataset", "none", priority=("Bike",))
    with pytest.raises(LabelrigError, match="nothing in the project"):
        exports.export(project, "dataset", "none", ignore=1)


def test_unused_classes_beyond_eight_bits_do_not_matter(exports: ExportBench) -> None:
    """One with the value of unlabelled pixels does not either; one that is used is refused in a sentence."""
    known = [{"id": 1, "name": "Car"}, {"id": 255, "name": "Gone", "retired": True}, {"id": 256, "name": "Road"}]
    (exports.folder / "classes.lock").write_text(json.dumps({"format": 1, "classes": known}))
    project = scenes(exports, 1)
    exports.server.images["set/z.png"] = picture(9)
    exports.server.annotate(exports.server.task(project, image=url("set/z.png")), brush(CAR, "Car"))
    (problem,) = exports.export(project, "dataset").problems
    assert "the class 'Road' has the number 256, which a class map with the value 255" in problem
    out = exports.folder / "out"
    assert (numbers(out / "labels" / "image" / "z.png") == np.where(CAR, 1, 255)).all()
    read = content(out)
    assert (read["classes"], list(read["palette"])) == ({1: "Car"}, [1])
    assert set(read["splits"]["train"]["pixels"]["image"]) == {"(unlabelled)", "Car"}


def test_pictures_are_linked_where_they_lie(exports: ExportBench) -> None:
    project = scenes(exports, 2)
    root = exports.folder / "nas"
    for number in range(2):
        (root / "set" / f"flight {number}").mkdir(parents=True)
        (root / "set" / f"flight {number}" / "0001.png").write_bytes(picture(number))
    exports.export(project, "dataset", link=root)
    linked = exports.folder / "out" / "images" / "image" / "flight 0" / "0001.png"
    assert linked.is_symlink()
    assert linked.resolve() == root / "set" / "flight 0" / "0001.png"


def test_a_turned_photograph_is_written_upright(exports: ExportBench) -> None:
    """Browsers turn it, and so lie its masks; training scripts mostly do not."""
    project = exports.server.project(FUSED)
    exif = Image.Exif()
    exif[0x0112] = 6
    exports.server.images["set/a.jpg"] = picture(4, size=(10, 20), format="JPEG", exif=exif)
    exports.server.annotate(exports.server.task(project, image=url("set/a.jpg")), brush(CAR, "Car"))
    exports.export(project, "dataset")
    assert numbers(exports.folder / "out" / "images" / "image" / "a.png").shape == (10, 20, 3)


def test_groups_and_near_duplicates_share_a_part(exports: ExportBench) -> None:
    project = exports.server.project(FUSED)
    for number in range(12):
        name = f"set/flight {number // 4}/{number}.png"
        exports.server.images[name] = picture(99 if number in (3, 4) else number)
        exports.server.annotate(exports.server.task(project, image=url(name)), brush(CAR, "Car"))
    exports.export(project, "dataset", group=(r"flight \d", "never"), shares="50,50,0")
    lists = [(exports.folder / "out" / f"{part}.txt").read_text().splitlines() for part in ("train", "val")]
    of_flight = [{name.partition("/")[0] for name in one} for one in lists]
    assert sorted(map(sorted, of_flight)) == [["flight 0", "flight 1"], ["flight 2"]]


def test_pictures_without_a_measure_of_likeness_are_apart(exports: ExportBench) -> None:
    """Radiometric ones with a value that is not finite, and ones that show nothing: neither are near-duplicates."""
    project = exports.server.project(FUSED)
    for number in range(8):
        values = np.full(SIZE[::-1], 20, np.float32)
        if number < 4:
            values = np.random.default_rng(number).normal(20, 4, SIZE[::-1]).astype(np.float32)
            values[0, 0] = np.nan
        content = io.BytesIO()
        Image.fromarray(values).save(content, "TIFF")
        exports.server.images[f"set/{number}.tiff"] = content.getvalue()
        exports.server.annotate(exports.server.task(project, image=url(f"set/{number}.tiff")), brush(CAR, "Car"))
    exports.export(project, "dataset", shares="50,50,0")
    lists = [(exports.folder / "out" / f"{part}.txt").read_text().splitlines() for part in ("train", "val")]
    assert [len(one) for one in lists] == [4, 4]


def test_other_servers_are_not_asked_for_pictures(exports: ExportBench) -> None:
    """The token of Label Studio would go there; an image in the task itself is at hand."""
    project = scenes(exports, 1)
    inside = "data:image/png;base64," + base64.b64encode(picture(7)).decode("ascii")
    for address in ("https://elsewhere.example/a.png", "http://[x/a.png", inside):
        exports.server.annotate(exports.server.task(project, image=address), brush(CAR, "Car"))
    first, second = exports.export(project, "dataset").problems
    assert "https://elsewhere.example/a.png lies outside Label Studio" in first
    assert "http://[x/a.png lies outside Label Studio" in second
    assert sum(1 for _ in (exports.folder / "out" / "labels").rglob("*.png")) == 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ignore": 256}, "--ignore is a number from 0 to 255, not 256"),
        ({"overlap": "mix"}, "--overlap is drawn or refuse, not 'mix'"),
        ({"shares": "1,2"}, "--shares 1,2: must be three numbers"),
        ({"group": ("(",)}, "--group (: is not a regular expression"),
        ({"link": Path("/nowhere")}, "--link /nowhere: there is no such folder"),
    ],
)
def test_wrong_options_are_one_error(options: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError) as error:
        ExportRequest(format="dataset", **options)
    assert text in str(error.value)
