"""Groups stay together, classes are spread, the same seed gives the same parts; nearly equal pictures are found."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest

from core.errors import SettingsError
from dataset.export.duplicates import near_duplicates, picture_hash
from dataset.export.splits import Sample, group_of, read_group, read_shares, split

SHARES = (0.6, 0.2, 0.2)


def samples() -> list[Sample]:
    """Forty groups of five frames: class 1 in all, 2 in every fourth group, 3 in five groups."""
    return [
        Sample(
            f"{group:02}/{frame}",
            frozenset([1, *([2] if group % 4 == 0 else []), *([3] if group in (1, 6, 11, 17, 22) else [])]),
            f"{group:02}",
        )
        for group in range(40)
        for frame in range(5)
    ]


def test_groups_stay_together_and_classes_are_spread() -> None:
    parts = split(samples(), SHARES, seed=1)
    for group in range(40):
        assert len({parts[f"{group:02}/{frame}"] for frame in range(5)}) == 1
    seen: dict[str, Counter[int]] = {part: Counter() for part in ("train", "val", "test")}
    for one in samples():
        seen[parts[one.name]].update(one.classes)
    assert [seen[part][3] // 5 for part in seen] == [3, 1, 1]
    assert [seen[part][2] // 5 for part in seen] == [6, 2, 2]
    assert [seen[part][1] // 5 for part in seen] == [24, 8, 8]


def test_the_seed_decides_and_the_order_does_not() -> None:
    first = split(samples(), SHARES, seed=1)
    assert split(samples()[::-1], SHARES, seed=1) == first
    assert split(samples(), SHARES, seed=2) != first


def test_a_part_without_a_share_stays_empty() -> None:
    parts = split(samples(), (0.9, 0.1, 0.0), seed=1)
    assert set(parts.values()) == {"train", "val"}


def test_samples_without_a_class_are_parted_too() -> None:
    parts = split([Sample(str(number), frozenset(), str(number)) for number in range(10)], SHARES, 0)
    assert Counter(parts.values()) == {"train": 6, "val": 2, "test": 2}


@pytest.mark.parametrize("text", ["80,20", "80,10,20", "0,50,50", "a,b,c", "120,-10,-10", "nan,50,50"])
def test_shares_that_are_none(text: str) -> None:
    with pytest.raises(SettingsError, match="must be three numbers whose sum is 100"):
        read_shares(text)


def test_a_group_is_what_the_expression_finds() -> None:
    assert read_shares("70, 20,10") == (0.7, 0.2, 0.1)
    assert group_of(read_group(r"flight \d+"), "set/flight 12/0001.png") == "flight 12"
    assert group_of(read_group(r"(\w+)_\d+\.png"), "set/rome_0001.png") == "rome"
    assert group_of(read_group("x"), "set/a.png") is None
    with pytest.raises(SettingsError, match="is not a regular expression"):
        read_group("(")


def scene(seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    small = np.random.default_rng(seed).random((9, 12)).astype(np.float32)
    return np.asarray(cv2.resize(small, (160, 120), interpolation=cv2.INTER_CUBIC))  # type: ignore[return-value]


def test_nearly_equal_pictures_are_joined() -> None:
    """A second frame with noise and a little more light; other scenes are not; what joins two of them joins all."""
    noise = np.random.default_rng(9).normal(0, 0.01, (120, 160)).astype(np.float32)
    pictures = [scene(1), scene(2), scene(1) * 1.05 + noise, scene(3), np.roll(scene(1), 1, axis=1)]
    hashes = np.stack([picture_hash(one) for one in pictures])
    assert near_duplicates(hashes) == [0, 1, 0, 3, 0]
    assert near_duplicates(hashes[:1]) == [0]
