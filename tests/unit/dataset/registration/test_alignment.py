"""What is written is read again; a file that was edited wrongly is one error that says where."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import SettingsError
from dataset.registration.alignment import NotAligned, alignment_text, read_alignment
from dataset.registration.pair_names import PairNames
from dataset.registration.register import PairResult, Registration
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
        ({"rgb": {"width": 0, "height": 4}}, "rgb must be the width and height"),
        ({"thermal": None}, "thermal must be the width and height"),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        read_alignment(alignment(tmp_path / "alignment.yaml", **change))
