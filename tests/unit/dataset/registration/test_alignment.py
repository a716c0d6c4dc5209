"""What is written is read again; a file that was edited wrongly is one error that says where."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import SettingsError
from dataset.registration.alignment import NotAligned, Refused, alignment_text, read_alignment
from dataset.registration.judging import PairResult
from dataset.registration.pair_names import PairNames
from dataset.registration.pictures import PicturePair, digest_of_file
from dataset.registration.register import Registration
from tests.unit.dataset.registration.scenes import similarity
from tests.unit.dataset.transfer.drawn import KNOWN, alignment

OWN = similarity(-2.0, 0.9, (1.0, 2.0))


def test_a_registration_comes_back_from_its_file(tmp_path: Path) -> None:
    pairs = [
        PairResult("vuelo 1/0001", True, 0.3, 1.0),
        PairResult("vuelo 1/0002", True, 0.3, 9.0, OWN),
        PairResult("vuelo 2/0001", False, 0.1, reason="no"),
    ]
    found = Registration("homography", KNOWN, (160, 120), (128, 96), 0.3, 0.5, pairs)
    path = tmp_path / "alignment.yaml"
    path.write_text(alignment_text(found, [], datetime(2026, 3, 1, tzinfo=UTC)), encoding="utf-8")
    read = read_alignment(path)
    assert (read.source_wh, read.target_wh) == ((160, 120), (128, 96))
    assert read.of("set/RGB/vuelo 1/0001.png") == pytest.approx(KNOWN, abs=1e-8)
    assert read.of("/data/local-files/?d=set/vuelo%201/0002.jpg") == pytest.approx(OWN, abs=1e-8)
    with pytest.raises(NotAligned, match="the registration refused its pair"):
        read.of("vuelo 2/0001.png")
    back = read.backwards()
    assert back.of("vuelo 1/0002") @ OWN == pytest.approx(np.eye(3), abs=1e-6)
    assert (back.source_wh, back.target_wh) == ((128, 96), (160, 120))


def files(folder: Path, flight: str, *frames: str) -> list[PicturePair]:
    """Pictures of a flight; what registration reads of them does not matter here."""
    found = []
    for frame in frames:
        paths = [folder / flight / side / f"{frame}.png" for side in ("rgb", "thermal")]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{flight} {path.parent.name} {frame}")
        found.append(PicturePair(frame, *paths))
    return found


def test_another_flight_has_frames_of_the_same_names(tmp_path: Path) -> None:
    """The folder of one flight was registered, so its pairs are called `0001` and `0002`: what is in them tells."""
    pairs = files(tmp_path, "flight1", "0001", "0002", "0003")
    files(tmp_path, "flight2", "0001", "0002")
    results = [
        PairResult("0001", True, 0.3, 9.0, OWN),
        PairResult("0002", False, 0.1, reason="no"),
        PairResult("0003", True, 0.3, 1.0),
    ]
    found = Registration("homography", KNOWN, (160, 120), (128, 96), 0.3, 0.5, results)
    path = tmp_path / "alignment.yaml"
    path.write_text(alignment_text(found, pairs, datetime(2026, 3, 1, tzinfo=UTC)), encoding="utf-8")
    read = read_alignment(path)
    for side in ("rgb", "thermal"):
        first, second = (partial(digest_of_file, getattr(one, side)) for one in pairs[:2])
        assert read.of("flight1/0001.png", first) == pytest.approx(OWN, abs=1e-8)
        assert read.backwards().of("flight1/0001.png", first) @ OWN == pytest.approx(np.eye(3), abs=1e-6)
        with pytest.raises(Refused):
            read.of("flight1/0002.png", second)
    assert read.notes() == []
    for frame in ("0001", "0002"):
        thermal = tmp_path / "flight2" / "thermal" / f"{frame}.png"
        assert read.of(f"flight2/{frame}.png", partial(digest_of_file, thermal)) == pytest.approx(KNOWN, abs=1e-8)
    assert read.of("flight2/0003.png") == pytest.approx(KNOWN, abs=1e-8)
    (note,) = read.notes()
    assert note.startswith("2 pictures are called as pairs that do not follow the rig, and are others")
    assert "flight2/0001.png, flight2/0002.png" in note


def test_without_a_picture_a_bare_name_tells_nothing(tmp_path: Path) -> None:
    """A whole path with folders does."""
    own = {"0001": OWN.tolist(), "vuelo/rgb/0002": OWN.tolist()}
    digests = {name: {"rgb": "a", "thermal": "b"} for name in own}
    read = read_alignment(alignment(tmp_path / "alignment.yaml", own=own, pictures=digests))
    for name in ("0001.png", "flight2/0001.png"):
        with pytest.raises(NotAligned, match="is called as the pair 0001, which does not follow the rig, and may be"):
            read.of(name)
    assert read.of("/data/local-files/?d=vuelo/rgb/0002.png") == pytest.approx(OWN)
    with pytest.raises(NotAligned, match="is called as the pair vuelo/rgb/0002"):
        read.of("0002.png")


def test_what_a_picture_holds_tells_two_pairs_apart(tmp_path: Path) -> None:
    own = {"a/0001": OWN.tolist(), "b/0001": KNOWN.tolist()}
    digests = {"a/0001": {"rgb": "1"}, "b/0001": {"rgb": "2"}}
    read = read_alignment(alignment(tmp_path / "alignment.yaml", own=own, pictures=digests))
    assert read.of("0001.png", lambda: "1") == pytest.approx(OWN)


def test_a_short_path_that_fits_two_pairs_is_refused(tmp_path: Path) -> None:
    own = {"a/0001": OWN.tolist(), "b/0001": KNOWN.tolist()}
    read = read_alignment(alignment(tmp_path / "alignment.yaml", own=own))
    with pytest.raises(NotAligned, match="may be of the pairs a/0001, b/0001: its path does not tell which"):
        read.of("0001.png")
    assert read.of("c/0001.png") == pytest.approx(KNOWN)


def test_the_longest_name_that_ends_a_path_is_meant() -> None:
    names = PairNames(["0001", "b/0001", "b/c/0002"])
    assert names.fitting("set/b/0001.png") == ["b/0001"]
    assert names.fitting("set/a/0001.png") == ["0001"]
    assert names.fitting("c/0002.tiff") == ["b/c/0002"]
    assert names.fitting("x/c/0002.tiff") == []
    assert names.fitting("0003.png") == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": 2}, "is not an alignment of format 1"),
        ({"matrix": [[1, 0], [0, 1]]}, "matrix must be three rows of three numbers"),
        ({"matrix": [[1, 0, 0], [0, 1, 0], [0, 0, float("nan")]]}, "matrix must be three rows"),
        ({"matrix": [[0, 0, 0], [0, 0, 0], [0, 0, 1]]}, "matrix does not take a picture of 160x120 pixels to another"),
        ({"own": {"a": [[1, 0, 0], [0, 1, 0], [-1, 0, 1]]}}, "own.a does not take a picture"),
        ({"own": ["a"]}, "own must be matrices by name"),
        ({"pictures": {"a": "0"}}, "pictures must be SHA-256 of rgb and thermal by name"),
        ({"rgb": {"width": 0, "height": 4}}, "rgb must be the width and height"),
        ({"thermal": None}, "thermal must be the width and height"),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        read_alignment(alignment(tmp_path / "alignment.yaml", **change))
