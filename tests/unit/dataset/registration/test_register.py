"""A known transform is found again, wrong pairs are refused, and what is written says so."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from core.errors import LabelrigError, SettingsError
from core.report import Report
from dataset.registration.command import RegisterRequest, run_register, sentences
from dataset.registration.pictures import PicturePair, pairs_in
from dataset.registration.register import register
from dataset.registration.transforms import distances
from tests.unit.dataset.registration.scenes import SIZE, draw_pair, similarity

REAL = "LABELRIG_RGBT"
KNOWN = similarity(2.0, 1.05, (9.0, -6.0))


def quiet(_text: str) -> None:
    pass


def away(found: Any, known: Any) -> float:
    return float(np.median(distances(np.asarray(found), known, SIZE)))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three right pairs, and one whose thermal picture is of another place."""
    folder = tmp_path_factory.mktemp("pairs")
    for number in range(3):
        draw_pair(folder, f"scene-{number}", number, KNOWN)
    draw_pair(folder, "wrong", 40, KNOWN)
    draw_pair(folder / "other", "wrong", 41, KNOWN)
    (folder / "other" / "thermal" / "wrong.png").replace(folder / "thermal" / "wrong.png")
    return folder


@pytest.fixture(scope="module")
def found(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    out = tmp_path_factory.mktemp("out")
    request = RegisterRequest(
        drawn / "rgb", drawn / "thermal", out / "alignment.yaml", "similarity", html=out / "page.html"
    )
    report = Report()
    result = run_register(request, report)
    return json.loads(report.as_json()), sentences(result, request), out


def test_the_transform_of_a_rig_is_found_again(found: tuple[dict[str, Any], str, Path]) -> None:
    facts, text, _ = found
    assert facts["model"] == "similarity"
    assert away(facts["matrix"], KNOWN) < 0.5
    assert facts["residual_px"] < 1
    assert "3 of 4 pairs accepted: similarity" in text


def test_a_pair_of_two_places_is_refused(found: tuple[dict[str, Any], str, Path]) -> None:
    facts, text, _ = found
    assert {one["name"]: one["accepted"] for one in facts["pairs"]} == {
        "scene-0": True,
        "scene-1": True,
        "scene-2": True,
        "wrong": False,
    }
    assert all(one["residual_px"] < 1 for one in facts["pairs"] if one["accepted"])
    assert "refused: wrong: the edges of both pictures agree by 0." in text


def test_what_is_written(found: tuple[dict[str, Any], str, Path]) -> None:
    facts, _, out = found
    written = yaml.safe_load((out / "alignment.yaml").read_text())
    assert away(written["matrix"], np.asarray(facts["matrix"])) < 1e-3
    assert (written["rgb"], written["refused"]) == ({"width": SIZE[0], "height": SIZE[1]}, ["wrong"])
    assert written["inputs"]["pairs"] == 4
    page = (out / "page.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 9
    assert "<script" not in page


@pytest.mark.slow
def test_a_homography_is_chosen_where_pairs_say_so(tmp_path: Path) -> None:
    known = similarity(-1.0, 0.97, (5.0, 4.0))
    known[2, :2] = [2e-4, -1.5e-4]
    for number in range(4):
        draw_pair(tmp_path, f"scene-{number}", number, known)
    result = register(pairs_in(tmp_path / "rgb", tmp_path / "thermal"), quiet)
    assert result.model == "homography"
    assert result.matrix is not None
    assert away(result.matrix, known) < 1


@pytest.mark.slow
def test_sizes_may_differ_and_a_calibration_begins(tmp_path: Path) -> None:
    """A colour camera of twice the pixels; with two points that a person found it begins where they say."""
    wide = similarity(1.0, 1.0, (6.0, 3.0))
    for number in range(4):
        draw_pair(tmp_path, f"scene-{number}", number, wide)
        path = tmp_path / "rgb" / f"scene-{number}.png"
        with Image.open(path) as picture:
            picture.resize((2 * SIZE[0], 2 * SIZE[1])).save(path)
    half = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])
    result = register(pairs_in(tmp_path / "rgb", tmp_path / "thermal"), quiet)
    assert result.matrix is not None
    known = wide @ half
    assert float(np.median(distances(result.matrix, known, (2 * SIZE[0], 2 * SIZE[1])))) < 0.7
    points = tmp_path / "points.csv"
    corners = np.array([[100.0, 80.0, 1], [500.0, 380.0, 1]]) @ known.T
    rows = [f"{x},{y},{u},{v}" for (x, y), (u, v, _) in zip([(100, 80), (500, 380)], corners, strict=True)]
    points.write_text("\n".join(["rgb_x,rgb_y,thermal_x,thermal_y", *rows]))
    request = RegisterRequest(tmp_path / "rgb", tmp_path / "thermal", None, "similarity", points)
    begun = run_register(request, Report())
    assert begun.matrix is not None
    assert float(np.median(distances(begun.matrix, known, (2 * SIZE[0], 2 * SIZE[1])))) < 0.7


def test_no_pair_accepted_writes_nothing(drawn: Path, tmp_path: Path) -> None:
    for side in ("rgb", "thermal"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "wrong.png").write_bytes((drawn / side / "wrong.png").read_bytes())
    request = RegisterRequest(tmp_path / "rgb", tmp_path / "thermal", tmp_path / "alignment.yaml", "similarity")
    result = run_register(request, Report())
    assert (result.matrix, (tmp_path / "alignment.yaml").exists()) == (None, False)
    assert "0 of 1 pairs accepted; no transform" in sentences(result, request)


def test_a_file_that_is_no_picture_is_one_refused_pair(drawn: Path, tmp_path: Path) -> None:
    broken, good = tmp_path / "broken.png", drawn / "rgb" / "scene-0.png"
    broken.write_bytes(b"\x89PNG\r\n")
    pairs = [
        PicturePair("good", good, drawn / "thermal" / "scene-0.png"),
        PicturePair("broken", broken, drawn / "thermal" / "scene-1.png"),
    ]
    result = register(pairs, quiet, model="similarity")
    assert [(one.name, one.accepted) for one in result.pairs] == [("good", True), ("broken", False)]
    with pytest.raises(LabelrigError, match=r"no pair can be read; broken: "):
        register(pairs[1:], quiet)


def test_pictures_of_two_rigs_are_refused(drawn: Path, tmp_path: Path) -> None:
    Image.new("L", (100, 80)).save(tmp_path / "small.png")
    Image.effect_noise((100, 80), 50).save(tmp_path / "noise.png")
    right = PicturePair("a", drawn / "rgb" / "scene-0.png", drawn / "thermal" / "scene-0.png")
    with pytest.raises(LabelrigError, match=r"b: RGB pictures of 320x240 and 100x80 pixels are not of one rig"):
        register([right, PicturePair("b", tmp_path / "noise.png", right.thermal)], quiet)
    flat = register([right, PicturePair("c", right.rgb, tmp_path / "small.png")], quiet, model="similarity")
    assert flat.pairs[1].reason == "all its pixels are alike"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"rgb": Path("/nowhere")}, r"--rgb /nowhere: there is no such folder"),
        ({"model": "rigid"}, r"--model rigid: must be similarity, affine or homography"),
        ({"points": Path("/nowhere.csv")}, r"--points /nowhere.csv: cannot be read"),
        ({"thermal": Path("/proc/self/fdinfo")}, r"no picture of .* has the name of one of /proc/self/fdinfo"),
    ],
)
def test_bad_input_is_one_error(drawn: Path, change: dict[str, Any], text: str) -> None:
    options: dict[str, Any] = {"rgb": drawn / "rgb", "thermal": drawn / "thermal", "out": None, **change}
    with pytest.raises(SettingsError, match=text):
        run_register(RegisterRequest(**options), Report())


def test_a_file_that_is_there_is_not_replaced(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "alignment.yaml").write_text("mine")
    with pytest.raises(SettingsError, match="is there already; --force replaces it"):
        run_register(RegisterRequest(drawn / "rgb", drawn / "thermal", tmp_path / "alignment.yaml"), Report())
    assert (tmp_path / "alignment.yaml").read_text() == "mine"


@pytest.mark.skipif(REAL not in os.environ, reason=f"{REAL} names no folder with real pairs")
@pytest.mark.timeout(300)
def test_real_pairs_agree_with_each_other() -> None:
    folder = Path(os.environ[REAL])
    pairs = pairs_in(folder / "rgb", folder / "thermal")
    whole = register(pairs, quiet, model="similarity")
    assert all(one.accepted for one in whole.pairs)
    others = [PicturePair(one.name, one.rgb, other.thermal) for one, other in zip(pairs[9:], pairs, strict=False)]
    mixed = register([*pairs[:9], *others], quiet, model="similarity")
    assert [one.accepted for one in mixed.pairs] == [True] * 9 + [False] * 3
    assert whole.matrix is not None
    assert mixed.matrix is not None
    assert float(np.median(distances(whole.matrix, mixed.matrix, whole.rgb_wh))) < 1.5
