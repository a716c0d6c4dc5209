"""The figures are scikit-learn's on the same pixels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from dataset.agreement.confusion import Confusion

Maps = Sequence[tuple[NDArray[np.int32], NDArray[np.int32]]]


def drawn(seed: int, classes: int, images: int = 3) -> Maps:
    """Maps that agree in about half of their pixels; not every class is in every map."""
    random = np.random.default_rng(seed)
    maps = []
    for number in range(images):
        size = (random.integers(5, 30), random.integers(5, 30))
        a = random.integers(0, classes + 1, size, dtype=np.int32)
        a[a == number + 1] = 0
        b = np.where(random.random(size) < 0.5, a, random.integers(0, classes + 1, size, dtype=np.int32))
        maps.append((a, b.astype(np.int32)))
    return maps


def counted(maps: Maps) -> Confusion:
    confusion = Confusion()
    for a, b in maps:
        confusion.add(a, b)
    return confusion


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", [1, 4, 11])
def test_all_figures_are_those_of_scikit_learn(seed: int, classes: int) -> None:
    from sklearn import metrics

    maps = drawn(seed, classes)
    a, b = (np.concatenate([pair[side].reshape(-1) for pair in maps]) for side in (0, 1))
    found = counted(maps)
    assert found.pixel_agreement == pytest.approx(metrics.accuracy_score(a, b))
    assert found.kappa == pytest.approx(metrics.cohen_kappa_score(a, b))
    there = sorted((set(a.tolist()) | set(b.tolist())) - {0})
    assert sorted(found.overlaps()) == there
    for number, one in found.overlaps().items():
        assert one.iou == pytest.approx(metrics.jaccard_score(a == number, b == number))
        assert one.dice == pytest.approx(metrics.f1_score(a == number, b == number))
    assert found.mean_iou == pytest.approx(metrics.jaccard_score(a, b, labels=there, average="macro"))
    square = metrics.confusion_matrix(a, b, labels=range(len(found.counts)))
    assert found.counts.tolist() == square.tolist()


def test_a_single_class_everywhere_has_no_kappa() -> None:
    """scikit-learn says nan there, and warns."""
    from sklearn.metrics import cohen_kappa_score

    same = np.ones((4, 4), np.int32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan(cohen_kappa_score(same.reshape(-1), same.reshape(-1)))
    found = counted([(same, same)])
    assert (found.kappa, found.pixel_agreement, found.mean_iou) == (None, 1.0, 1.0)


def test_nothing_has_no_figures() -> None:
    empty = Confusion()
    assert (empty.pixel_agreement, empty.kappa, empty.mean_iou) == (None, None, None)
    assert empty.unlabelled == (None, None)


def test_unlabelled_pixels_are_counted_and_no_class() -> None:
    a, b = np.zeros((2, 10), np.int32), np.zeros((2, 10), np.int32)
    a[0, :5] = 1
    b[0, :4] = 1
    found = counted([(a, b)])
    assert found.unlabelled == (15 / 20, 16 / 20)
    assert list(found.overlaps()) == [1]
    assert found.mean_iou == 4 / 5
