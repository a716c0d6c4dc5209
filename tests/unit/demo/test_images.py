"""The demo images: truth that fits the pictures, and a second call that changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo import images, palette

SMALL = (320, 180)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def test_the_truth_fits_the_pictures(tmp_path: Path) -> None:
    written = images.draw_demo_images(tmp_path, 10, size_wh=SMALL)

    assert sorted(file.name for file in (tmp_path / "images").iterdir()) == [f"scene-{n:02d}.png" for n in range(1, 11)]
    assert len(written) == len(snapshot(tmp_path)) - 1  # all but the manifest
    for number in range(1, 11):
        name = f"scene-{number:02d}"
        with Image.open(tmp_path / "images" / f"{name}.png") as picture:
            assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", SMALL)
        objects = json.loads((tmp_path / "truth" / f"{name}.json").read_text())
        assert 2 <= len(objects) <= 4
        masks = []
        for item in objects:
            with Image.open(tmp_path / "truth" / item["mask"]) as picture:
                assert (picture.mode, picture.size) == ("L", SMALL)
                mask = np.asarray(picture)
            assert set(np.unique(mask)) == {0, 255}
            masks.append(mask == 255)
        assert np.sum(masks, axis=0).max() == 1
        for index, item in enumerate(objects):
            assert set(item) == {"label", "click_xy", "box_xyxy", "negative_xy", "mask"}
            assert item["label"] in palette.LABELS
            x, y = item["click_xy"]
            assert masks[index][y, x]
            assert masks[index][y - 2 : y + 3, x - 2 : x + 3].all()
            x0, y0, x1, y1 = item["box_xyxy"]
            assert masks[index][y0:y1, x0:x1].sum() == masks[index].sum()
            assert all(edge.any() for edge in (masks[index][y0], masks[index][y1 - 1]))
            assert all(edge.any() for edge in (masks[index][:, x0], masks[index][:, x1 - 1]))
            x, y = item["negative_xy"]
            assert not masks[index][y, x]
            assert sum(bool(mask[y, x]) for mask in masks) == 1


def test_a_second_call_writes_nothing(tmp_path: Path) -> None:
    assert images.draw_demo_images(tmp_path, 3, size_wh=SMALL)
    before = snapshot(tmp_path)
    assert images.draw_demo_images(tmp_path, 3, size_wh=SMALL) == []
    assert snapshot(tmp_path) == before


def test_is_current_tells_whether_drawing_would_write(tmp_path: Path) -> None:
    assert not images.is_current(tmp_path / "absent", 2, size_wh=SMALL)
    images.draw_demo_images(tmp_path, 2, size_wh=SMALL)
    before = snapshot(tmp_path)
    assert images.is_current(tmp_path, 2, size_wh=SMALL)
    assert not images.is_current(tmp_path, 3, size_wh=SMALL)
    assert not images.is_current(tmp_path, 2, seed=images.SEED + 1, size_wh=SMALL)
    assert snapshot(tmp_path) == before
    (tmp_path / "truth" / "scene-01-0.png").write_bytes(b"")
    assert not images.is_current(tmp_path, 2, size_wh=SMALL)
    (tmp_path / images.MANIFEST).write_text("{}")
    assert not images.is_current(tmp_path, 2, size_wh=SMALL)


@pytest.mark.parametrize("damage", ["missing", "broken"])
@pytest.mark.parametrize("file", ["images/scene-02.png", "truth/scene-02.json", "truth/scene-02-1.png"])
def test_a_damaged_file_is_drawn_again_and_only_that(tmp_path: Path, file: str, damage: str) -> None:
    images.draw_demo_images(tmp_path, 3, size_wh=SMALL)
    before = snapshot(tmp_path)
    if damage == "missing":
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(before[file][1][:100])
    assert images.draw_demo_images(tmp_path, 3, size_wh=SMALL) == [tmp_path / file]
    after = snapshot(tmp_path)
    assert after[file][1] == before[file][1]
    assert {name: after[name] for name in after if name != file} == {
        name: before[name] for name in before if name != file
    }


@pytest.mark.parametrize("content", [None, b"{", b"[1]", b'{"scenes": 3}', b"\xff\xfe"])
def test_a_lost_or_broken_manifest_is_made_again(tmp_path: Path, content: bytes | None) -> None:
    images.draw_demo_images(tmp_path, 2, size_wh=SMALL)
    before = snapshot(tmp_path)
    manifest = tmp_path / images.MANIFEST
    manifest.unlink()
    if content is not None:
        manifest.write_bytes(content)
    assert images.draw_demo_images(tmp_path, 2, size_wh=SMALL) == []
    assert {name: entry[1] for name, entry in snapshot(tmp_path).items()} == {
        name: entry[1] for name, entry in before.items()
    }


def test_other_seed_or_count_leaves_no_leftovers(tmp_path: Path) -> None:
    """Another seed or count leaves no leftovers and touches no foreign file."""
    images.draw_demo_images(tmp_path, 4, size_wh=SMALL)
    mine = tmp_path / "images" / "holiday.png"
    mine.write_bytes(b"not the demo's")
    images.draw_demo_images(tmp_path, 2, seed=77, size_wh=SMALL)
    fresh = tmp_path / "fresh"
    images.draw_demo_images(fresh, 2, seed=77, size_wh=SMALL)
    expected = {name: entry[1] for name, entry in snapshot(fresh).items()}
    found = {name: entry[1] for name, entry in snapshot(tmp_path).items() if not name.startswith("fresh")}
    assert found == {**expected, "images/holiday.png": b"not the demo's"}


@pytest.mark.parametrize("count", [0, 100])
def test_a_bad_count_is_refused_before_anything_is_written(tmp_path: Path, count: int) -> None:
    with pytest.raises(ValueError, match=rf"^count must be within 1 to 99, got {count}$"):
        images.draw_demo_images(tmp_path / "new", count)
    assert not (tmp_path / "new").exists()


def test_the_command_prints_the_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert images.main(["--out", str(tmp_path), "--count", "1"]) == 0
    file = tmp_path / "images" / "scene-01.png"
    assert capsys.readouterr().out == f"{file}\n"
    with Image.open(file) as picture:
        assert picture.size == (1920, 1080)
    assert file.stat().st_size < 2_000_000
