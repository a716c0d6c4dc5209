"""Numbers and matrices are two ways to say one thing, and derivatives are what small changes do."""

from __future__ import annotations

import numpy as np
import pytest

from dataset.registration.transforms import COUNTS, MODELS, Frame, Model, Numbers, distances

FRAME = Frame((64, 48), (80, 40))


def some_numbers(model: Model) -> Numbers:
    return np.random.default_rng(3).uniform(-0.05, 0.05, COUNTS[model])


@pytest.mark.parametrize("model", MODELS)
def test_numbers_come_back_from_the_matrix(model: Model) -> None:
    numbers = some_numbers(model)
    assert FRAME.numbers(FRAME.matrix(numbers, model), model) == pytest.approx(numbers)


@pytest.mark.parametrize("model", MODELS)
def test_no_numbers_put_middle_on_middle(model: Model) -> None:
    middle = FRAME.matrix(np.zeros(COUNTS[model]), model) @ [31.5, 23.5, 1]
    assert middle == pytest.approx([39.5, 19.5, 1])


@pytest.mark.parametrize("model", MODELS)
def test_derivatives_are_those_of_small_changes(model: Model) -> None:
    numbers, step = some_numbers(model), 1e-5
    of_x, of_y = FRAME.derivatives(numbers, model)
    place = np.array([10.0, 30.0, 1])
    for number in range(COUNTS[model]):
        change = np.zeros(COUNTS[model])
        change[number] = step
        ends = [FRAME.matrix(numbers + sign * change, model) @ place for sign in (1, -1)]
        (x1, y1), (x0, y0) = (end[:2] / end[2] for end in ends)
        assert of_x[number, 30, 10] == pytest.approx((x1 - x0) / (2 * step), rel=1e-3, abs=1e-3)
        assert of_y[number, 30, 10] == pytest.approx((y1 - y0) / (2 * step), rel=1e-3, abs=1e-3)


def test_a_shift_is_as_far_everywhere() -> None:
    shift = np.array([[1.0, 0, 3], [0, 1, 4], [0, 0, 1]])
    assert distances(np.eye(3), shift, (64, 48)) == pytest.approx(np.full(300, 5.0))


def test_similarities_lie_apart_in_pixels() -> None:
    none, shifted = np.zeros(4), np.array([0, 0, 3 / 32, 4 / 32])
    assert FRAME.apart(none, shifted) == pytest.approx(5)
