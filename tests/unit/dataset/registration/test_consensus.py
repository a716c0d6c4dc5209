"""Of several guesses the tiles choose the right one, and it stands out only where one similarity fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dataset.registration.consensus import chosen, peak_ratio
from dataset.registration.judging import LEAST_PEAK, PairResult
from dataset.registration.levels import COARSE, FINE, GUESS, Loaded
from dataset.registration.pictures import PicturePair, pairs_in, read_pair
from dataset.registration.register import register
from dataset.registration.search import APART, Ranges, guesses
from dataset.registration.transforms import Numbers, distances
from tests.unit.dataset.registration.scenes import draw_pair, similarity

SMALL = (160, 120)
KNOWN = similarity(2.0, 1.04, (6.0, -4.0), SMALL)


def quiet(_text: str) -> None:
    pass


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    for number in range(4):
        draw_pair(folder, f"scene-{number}", number, KNOWN, SMALL)
    return folder


@pytest.fixture(scope="module")
def one(drawn: Path) -> Loaded:
    pair = pairs_in(drawn / "rgb", drawn / "thermal")[0]
    return Loaded(pair, *read_pair(pair))


@pytest.fixture(scope="module")
def torn(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The thermal picture of the first pair, with its four quarters beside their places by as much in four ways."""
    with Image.open(drawn / "thermal" / "scene-0.png") as picture:
        pixels: NDArray[np.uint16] = np.asarray(picture)
    parts = [
        [np.roll(half, (side, 8 * way), (0, 1)) for side, half in zip((-8, 8), np.hsplit(row, 2), strict=True)]
        for way, row in zip((-1, 1), np.vsplit(pixels, 2), strict=True)
    ]
    path = tmp_path_factory.mktemp("torn") / "scene-0.png"
    Image.fromarray(np.block(parts)).save(path)
    return path


def away(pair: Loaded, numbers: Numbers) -> float:
    return float(np.median(distances(pair.whole(numbers, "similarity"), KNOWN, SMALL)))


def test_tiles_choose_among_guesses(one: Loaded) -> None:
    """The right one is last; it is found to two pixels, from four pixels beside it."""
    levels = [one.at(step) for step in (COARSE, FINE)]
    wrong = [one.frame.numbers(similarity(-5.0, 0.9, (x, 20.0), SMALL), "similarity") for x in (-30.0, 30.0)]
    near = one.frame.numbers(similarity(1.0, 1.02, (9.0, -6.0), SMALL), "similarity")
    assert away(one, near) > 3
    assert away(one, chosen([levels[0]], [levels[1]], [*wrong, near])) < 2
    assert away(one, chosen([levels[0]], [levels[1]], wrong)) > 10


def test_a_place_is_reached_in_several_looks(one: Loaded) -> None:
    """A look turns by two degrees at most; the guess is eight degrees off."""
    fine = [one.at(FINE)]
    far = one.frame.numbers(similarity(-6.0, 1.0, (6.0, -4.0), SMALL), "similarity")
    assert away(one, chosen(fine, fine, [far])) < 2


def test_only_the_right_place_stands_out(one: Loaded) -> None:
    fields = one.at(FINE)
    right = one.frame.numbers(KNOWN, "similarity")
    beside = one.frame.numbers(similarity(2.0, 1.04, (14.0, 4.0), SMALL), "similarity")
    assert peak_ratio(fields, right) > LEAST_PEAK
    assert peak_ratio(fields, beside) < LEAST_PEAK
    assert peak_ratio(replace(fields, b=np.zeros_like(fields.b)), right) == 0


def test_guesses_are_apart_and_begin_with_the_best(one: Loaded) -> None:
    rough = one.at(GUESS)
    found = guesses([rough.a], [rough.b], np.zeros(4), Ranges(), quiet, 5)
    alone = guesses([rough.a], [rough.b], np.zeros(4), Ranges(), quiet, 1)
    assert len(found) == 5
    assert (found[0] == alone[0]).all()
    matrices = [rough.frame.matrix(numbers, "similarity") for numbers in found]
    for count, first in enumerate(matrices):
        for second in matrices[:count]:
            assert float(np.median(distances(first, second, rough.frame.first))) >= APART


def test_a_pair_alone_has_the_rigs_transform(drawn: Path) -> None:
    (result,) = registered(drawn, None)
    assert (result.accepted, result.residual_px, result.own) == (True, None, None)


def test_a_pair_in_pieces_is_refused_alone(drawn: Path, torn: Path) -> None:
    (result,) = registered(drawn, torn)
    assert not result.accepted
    assert "its transform stands out from those around it by" in result.reason
    assert "register it with others of the rig, 4 pairs or more" in result.reason


def registered(drawn: Path, thermal: Path | None) -> list[PairResult]:
    pair = pairs_in(drawn / "rgb", drawn / "thermal")[0]
    pair = pair if thermal is None else PicturePair(pair.name, pair.rgb, thermal)
    return register([pair], quiet, model="similarity").pairs
