"""Which images pair, what counts, the table, the page and the files."""

from __future__ import annotations

import csv
import json
import os
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import LabelrigError
from core.report import Report
from dataset.agreement.choice import chosen
from dataset.agreement.command import AgreementRequest, run_agreement
from tests.unit.dataset.agreement.drawn import HEIGHT, WIDTH, annotation, box, class_maps, task, tasks_file

CAR, HALF, ROAD = box(0, 0, 20, 10), box(0, 0, 10, 10), box(0, 20, 60, 40)
REAL = "LABELRIG_RGBT"


def run(a: Path, b: Path, **more: Any) -> tuple[dict[str, Any], str]:
    report = Report()
    text = run_agreement(AgreementRequest(chosen(str(a)), chosen(str(b)), **more), report)
    return json.loads(report.as_json()), text


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    a = tasks_file(
        tmp_path / "a.json",
        task("mine/one.png", annotation(("car", CAR), ("road", ROAD))),
        task("mine/two.png", annotation(("car", CAR))),
        task("mine/only.png", annotation()),
    )
    b = tasks_file(
        tmp_path / "b.json",
        task("yours/two.png", annotation(("car", HALF), ("tree", ROAD))),
        task("yours/one.png", annotation(("car", CAR), ("road", ROAD))),
        task("yours/else.png", annotation()),
    )
    return a, b


def test_figures_by_class_and_image(files: tuple[Path, Path]) -> None:
    facts, text = run(*files)
    assert facts["images"] == 2
    assert (facts["only_a"], facts["only_b"]) == (["mine/only.png"], ["yours/else.png"])
    assert facts["classes"]["car"] == {
        "iou": 300 / 400,
        "dice": 600 / 700,
        "pixels_a": 400,
        "pixels_b": 300,
        "pixels_both": 300,
    }
    assert facts["classes"]["tree"]["iou"] == 0
    assert facts["mean_iou"] == pytest.approx((300 / 400 + 1 + 0) / 3)
    assert facts["mean_iou_per_image"] == pytest.approx((1 + (100 / 200 + 0) / 2) / 2)
    assert facts["pixel_agreement"] == pytest.approx(1 - (1200 + 100) / (2 * WIDTH * HEIGHT))
    assert [one["image"] for one in facts["per_image"]] == ["mine/two.png", "mine/one.png"]
    assert facts["confusion"]["labels"][0] == "(unlabelled)"
    assert sum(map(sum, facts["confusion"]["pixels"])) == 2 * WIDTH * HEIGHT
    assert "2 images annotated in both" in text
    assert "25.0 %  (unlabelled) in A, tree in B" in text


def test_objects_match_one_to_one(tmp_path: Path) -> None:
    """Of two that cover one, the better one matches; half is not enough."""
    one, other = box(0, 0, 20, 10), box(0, 0, 19, 10)
    a = tasks_file(tmp_path / "a.json", task("a.png", annotation(("car", one), ("car", box(30, 0, 40, 10)))))
    b = tasks_file(
        tmp_path / "b.json", task("a.png", annotation(("car", other), ("car", one), ("car", box(35, 0, 45, 10))))
    )
    facts, _ = run(a, b)
    assert facts["objects"]["car"] == {
        "in_a": 2,
        "in_b": 3,
        "matched": 1,
        "precision": 1 / 2,
        "recall": 1 / 3,
        "mean_iou": 1.0,
    }


def test_what_is_drawn_later_lies_above(tmp_path: Path) -> None:
    a = tasks_file(tmp_path / "a.json", task("a.png", annotation(("road", ROAD), ("car", ROAD))))
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[ROAD] = 1
    facts, text = run(a, class_maps(tmp_path / "b", {"a.png": pixels}, {"1": "car"}))
    assert facts["classes"] == {"car": facts["classes"]["car"]}
    assert (facts["mean_iou"], facts["objects"]) == (1.0, None)
    assert "precision" not in text


def test_images_of_another_size_are_left_out(tmp_path: Path) -> None:
    small = annotation(("car", box(0, 0, 3, 3, (30, 20))))
    whole = annotation(("car", CAR))
    a = tasks_file(tmp_path / "a.json", task("a.png", whole), task("b.png", whole))
    b = tasks_file(tmp_path / "b.json", task("a.png", small), task("b.png", whole))
    facts, text = run(a, b)
    assert facts["images"] == 1
    assert facts["problems"] == ["a.png: has 30x20 and 60x40 pixels"]
    assert "left out: a.png: has 30x20 and 60x40 pixels" in text


def test_a_name_that_may_be_two_images(tmp_path: Path) -> None:
    one = annotation(("car", CAR))
    a = tasks_file(tmp_path / "a.json", task("a.png", one), task("b.png", one))
    b = tasks_file(tmp_path / "b.json", task("day/a.png", one), task("night/a.png", one), task("b.png", one))
    facts, _ = run(a, b)
    assert facts["images"] == 1
    assert facts["problems"] == ["a.png: may be day/a.png, night/a.png of the other side, which is not known"]


def test_what_does_not_count_is_said(tmp_path: Path) -> None:
    broken = annotation(("car", CAR), ("", HALF))
    broken["result"].append({**broken["result"][0], "id": "x", "value": {"rle": "?", "brushlabels": ["car"]}})
    a, b = (
        tasks_file(tmp_path / "a.json", task("a.png", broken)),
        tasks_file(tmp_path / "b.json", task("a.png", annotation(("car", CAR)))),
    )
    facts, _ = run(a, b)
    assert facts["notes"] == [
        "1 regions of A could not be read as masks and do not count",
        "1 masks of A have no label and count as unlabelled",
    ]
    assert facts["classes"]["car"]["pixels_a"] == 100  # the nameless one lies above


def test_no_common_image_is_an_error(tmp_path: Path) -> None:
    one = annotation(("car", CAR))
    a, b = tasks_file(tmp_path / "a.json", task("a.png", one)), tasks_file(tmp_path / "b.json", task("b.png", one))
    with pytest.raises(
        LabelrigError, match=r"no image is annotated on both sides: .*a\.json has a\.png, .* has b\.png"
    ):
        run(a, b)


def test_the_page_and_the_csv(files: tuple[Path, Path], tmp_path: Path) -> None:
    facts, text = run(*files, html=tmp_path / "out" / "page.html", csv=tmp_path / "out.csv")
    page = (tmp_path / "out" / "page.html").read_text()
    assert page.index("mine/two.png") < page.index("mine/one.png")
    assert page.count("data:image/png;base64,") == 6
    assert "<script" not in page
    HTMLParser().feed(page)
    assert str(tmp_path / "out.csv") in text
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    pooled = {row["class"]: float(row["iou"]) for row in rows if not row["image"]}
    assert pooled == {name: pytest.approx(one["iou"], abs=1e-6) for name, one in facts["classes"].items()}


def test_labels_of_others_are_escaped_in_the_page(tmp_path: Path) -> None:
    one = tasks_file(tmp_path / "a.json", task("<b>.png", annotation(("<script>", CAR))))
    run(one, one, html=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.skipif(REAL not in os.environ, reason=f"{REAL} names no folder with real exports")
def test_real_exports_as_scikit_learn_counts_them(tmp_path: Path) -> None:
    from sklearn import metrics

    folder = Path(os.environ[REAL])
    names = ["car", "person", "bike", "curve", "car_stop", "guardrail", "color_cone", "bump"]
    classes = tmp_path / "classes.json"
    classes.write_text(json.dumps({str(number): name for number, name in enumerate(names, 1)}))
    facts, _ = run(folder / "sam2_rgb.json", folder / "truth", classes=classes)
    ours, theirs = pixels_of(folder / "sam2_rgb.json", names), truth_of(folder / "truth")
    common = sorted(ours.keys() & theirs.keys())
    assert facts["images"] == len(common)
    a, b = (np.concatenate([maps[name].reshape(-1) for name in common]) for maps in (ours, theirs))
    assert facts["pixel_agreement"] == pytest.approx(metrics.accuracy_score(a, b))
    assert facts["kappa"] == pytest.approx(metrics.cohen_kappa_score(a, b))
    for name, one in facts["classes"].items():
        number = names.index(name) + 1
        assert one["iou"] == pytest.approx(metrics.jaccard_score(a == number, b == number))


def pixels_of(path: Path, names: list[str]) -> dict[str, Any]:
    """Class maps of Label Studio's JSON, read once more: brushes by its own decoder."""
    from label_studio_sdk.converter.brush import decode_rle

    from masks.raster import filled

    found = {}
    for one in json.loads(path.read_text()):
        if not one["annotations"]:
            continue
        newest = max(one["annotations"], key=lambda each: each["updated_at"])
        pixels = np.zeros((480, 640), np.int64)
        for result in newest["result"]:
            value, kind = result["value"], result["type"]
            if kind == "brushlabels" and "rle" in value:
                mask = decode_rle(value["rle"]).reshape(480, 640, 4)[..., 3] >= 128
            elif kind == "polygonlabels":
                mask = filled(np.asarray(value["points"]) * [6.4, 4.8], (640, 480))
            else:
                continue
            pixels[mask] = names.index(value[kind][0].strip()) + 1
        found[one["data"]["image"].rpartition("/")[2]] = pixels
    return found


def truth_of(folder: Path) -> dict[str, Any]:
    from PIL import Image

    return {path.name: np.asarray(Image.open(path)).astype(np.int64) for path in folder.glob("*.png")}


def test_the_time_stands_in_the_page(files: tuple[Path, Path], tmp_path: Path) -> None:
    request = AgreementRequest(chosen(str(files[0])), chosen(str(files[1])), html=tmp_path / "page.html")
    run_agreement(request, Report(), now=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert "2026-03-01 12:00 UTC" in (tmp_path / "page.html").read_text()
