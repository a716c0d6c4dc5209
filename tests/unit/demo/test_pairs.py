"""The drawn pairs: thermal pictures lie where the transform says, masks can be read, and registration finds it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.export import coco_rle
from dataset.registration.pictures import pairs_in
from dataset.registration.register import Registration, register
from dataset.registration.transforms import distances
from demo import pairs, palette
from masks.warp import carried

SMALL = pairs.Rig((320, 240), (160, 128), shift_xy=(4.0, -3.0))


def test_things_are_warm_where_the_transform_says() -> None:
    for pair in list(pairs.draw_pairs(SMALL, 4))[:-1]:
        assert pair.thermal.dtype == np.uint16
        assert pair.thermal.shape == (128, 160)
        for item in pair.scene.objects:
            inside = carried(item.mask, SMALL.matrix, SMALL.thermal_wh)
            assert inside.sum() > 20
            found = float(np.median(pair.thermal[inside])) / pairs.SENSOR
            assert abs(found - pairs.KELVIN[item.label]) < 4, item.label


def test_every_label_has_a_temperature() -> None:
    assert set(pairs.KELVIN) == set(palette.LABELS)


def test_written_pairs_hold_pictures_and_truth(tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    written = pairs.write_pairs(folder, 5, rig=SMALL)
    assert [path.relative_to(folder).as_posix() for path in written[:2]] == [
        "rgb/flight-1/0001.png",
        "thermal/flight-1/0001.tiff",
    ]
    assert written[-1].parent.name == "flight-2"
    with Image.open(written[1]) as thermal:
        assert thermal.mode.startswith("I;16")
    rows = [json.loads(line) for line in (folder / "truth" / "masks.jsonl").read_text().splitlines()]
    assert [row["file_name"] for row in rows] == [f"rgb/{pairs.pair_name(index)}.png" for index in range(5)]
    (first, *_) = pairs.draw_pairs(SMALL, 5)
    for region, item in zip(rows[0]["regions"], first.scene.objects, strict=True):
        assert region["labels"] == [item.label]
        assert (coco_rle.decoded(region["rle"], SMALL.rgb_wh) == item.mask).all()
    with Image.open(folder / "truth" / "maps" / "rgb" / "flight-1" / "0001.png") as picture:
        numbers = np.asarray(picture)
    names = json.loads((folder / "truth" / "maps" / "classes.json").read_text())
    for item in first.scene.objects:
        assert {names[str(one)] for one in np.unique(numbers[item.mask])} == {item.label}
    truth = json.loads((folder / "truth" / "transform.json").read_text())
    assert (truth["matrix"], truth["wrong"]) == (SMALL.matrix.tolist(), ["flight-2/0005"])


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        pairs.write_pairs(tmp_path / name, 2, rig=SMALL)
    files = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 9
    for path in files:
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_a_folder_with_files_and_a_bad_count_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds something already"):
        pairs.write_pairs(tmp_path, 2, rig=SMALL)
    with pytest.raises(ValueError, match="count must be within 2 to 99, got 1"):
        pairs.write_pairs(tmp_path / "new", 1, rig=SMALL)
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]


def test_registration_finds_the_known_transform(tmp_path: Path) -> None:
    """Small pictures tell less: the last pair, of two places, is only the worst here."""
    found = registered(tmp_path, SMALL, 5)
    scores = [one.score for one in found.pairs]
    assert min(scores) == scores[-1]
    assert [one.accepted for one in found.pairs[:-1]] == [True] * 4
    assert found.matrix is not None
    assert float(distances(found.matrix, SMALL.matrix, SMALL.rgb_wh).max()) < 1


@pytest.mark.slow
def test_pair_of_two_places_is_refused_at_full_size(tmp_path: Path) -> None:
    rig = pairs.Rig()
    found = registered(tmp_path, rig, pairs.COUNT)
    assert [one.accepted for one in found.pairs] == [True] * (pairs.COUNT - 1) + [False]
    assert found.matrix is not None
    assert float(distances(found.matrix, rig.matrix, rig.rgb_wh).max()) < 0.5


def registered(folder: Path, rig: pairs.Rig, count: int) -> Registration:
    pairs.write_pairs(folder, count, rig=rig)
    return register(pairs_in(folder / "rgb", folder / "thermal"), lambda _line: None, None, "similarity")


def test_the_command_prints_the_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pairs.main(["--out", str(tmp_path / "out"), "--count", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    with Image.open(lines[0]) as rgb, Image.open(lines[1]) as thermal:
        assert (rgb.size, thermal.size) == (pairs.Rig().rgb_wh, pairs.Rig().thermal_wh)
