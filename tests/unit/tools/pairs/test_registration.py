"""The measurement of registration: a known similarity is put on top of pairs, and found again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dataset.registration.pictures import pairs_in
from dataset.registration.transforms import distances
from tests.unit.dataset.registration.scenes import SIZE, draw_pair, similarity
from tools.pairs.registration import DEGREES, SCALE, injected, known_of, main, tried


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        draw_pair(tmp_path, f"0{number}", number, similarity(0.5, 1.01, (2.0, -1.0)))
    return tmp_path


def test_a_similarity_on_top_is_found_again(folder: Path, tmp_path: Path) -> None:
    """Nearer to the right answer than to the one without it."""
    known = similarity(2.0, 1.04, (9.0, -6.0))
    moved = injected(pairs_in(folder / "rgb", folder / "thermal"), known, tmp_path / "moved")
    right = known @ similarity(0.5, 1.01, (2.0, -1.0))
    found = tried(moved, right)
    assert (found["accepted"], found["of"]) == (3, 3)
    assert isinstance(found["away_px"], float)
    assert found["away_px"] < 1
    assert float(np.median(distances(right, similarity(0.5, 1.01, (2.0, -1.0)), SIZE))) > 8


def test_known_similarities_stay_in_their_ranges() -> None:
    for seed in range(50):
        matrix = known_of(np.random.default_rng(seed), SIZE)
        scale = np.sqrt(np.linalg.det(matrix[:2, :2]))
        assert abs(np.rad2deg(np.arctan2(matrix[1, 0], matrix[0, 0]))) <= DEGREES
        assert abs(scale - 1) <= SCALE + 1e-9


def test_each_registration_is_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--seeds", "1", "--singles", "1", "--no-pooled"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["seed"], one["kind"], one["of"]) for one in lines] == [(0, "right", 1), (0, "wrong", 1)]
    assert lines[1]["away_px"] is None
