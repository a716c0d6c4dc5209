from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from backend.geometry.cleanup import clean
from backend.labelstudio.options import ProjectOptions


def drawn(text: str) -> NDArray[np.bool_]:
    return np.asarray([[letter == "#" for letter in row] for row in text.split()])


def text(mask: NDArray[np.bool_]) -> str:
    return " ".join("".join("#" if one else "." for one in row) for row in mask)


HOLES = drawn("######## #.##..## ####..## ######## ........ ###.....")


def test_off_by_default() -> None:
    assert clean(HOLES, ProjectOptions()) is HOLES


@pytest.mark.parametrize(
    ("largest", "expected"),
    [
        (1, "######## ####..## ####..## ######## ........ ###....."),
        (3, "######## ####..## ####..## ######## ........ ###....."),
        (4, "######## ######## ######## ######## ........ ###....."),
        (1000, "######## ######## ######## ######## ........ ###....."),
    ],
)
def test_holes_up_to_an_area_are_filled(largest: int, expected: str) -> None:
    assert text(clean(HOLES, ProjectOptions(fill_holes_pixels=largest))) == expected


def test_a_notch_at_the_edge_and_a_gap_by_a_corner() -> None:
    notch = drawn("##.## ##.## #####")
    assert text(clean(notch, ProjectOptions(fill_holes_pixels=100))) == text(notch)
    by_a_corner = drawn(".###. #...# #...# .###.")  # joined by corners, so the middle is enclosed
    assert text(clean(by_a_corner, ProjectOptions(fill_holes_pixels=100))) == ".###. ##### ##### .###."


def test_holes_of_a_part_that_does_not_touch_the_edge() -> None:
    mask = drawn("...... .####. .#..#. .####. ......")
    assert text(clean(mask, ProjectOptions(fill_holes_pixels=2))) == "...... .####. .####. .####. ......"


PARTS = drawn("#....... ....##.. ....##.. ........ ###.....")


@pytest.mark.parametrize(
    ("largest", "expected"),
    [
        (1, "........ ....##.. ....##.. ........ ###....."),
        (3, "........ ....##.. ....##.. ........ ........"),
        (4, "........ ....##.. ....##.. ........ ........"),
        (1000, "........ ....##.. ....##.. ........ ........"),
    ],
)
def test_specks_up_to_an_area_are_removed_but_never_all(largest: int, expected: str) -> None:
    assert text(clean(PARTS, ProjectOptions(remove_specks_pixels=largest))) == expected


def test_largest_part() -> None:
    assert text(clean(PARTS, ProjectOptions(keep="largest"))) == "........ ....##.. ....##.. ........ ........"


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([[0.5, 0.5]], "#....... ........ ........ ........ ........"),
        ([[0.9, 0.9], [1.2, 4.0]], "#....... ........ ........ ........ ###....."),
        ([[7.0, 0.0]], "........ ....##.. ....##.. ........ ........"),
        ([[8.0, 5.0], [-3.0, 900.0]], "........ ....##.. ....##.. ........ ........"),
        ([], "........ ....##.. ....##.. ........ ........"),
        (None, "........ ....##.. ....##.. ........ ........"),
    ],
    ids=["one", "two", "beside", "outside", "no points", "box"],
)
def test_clicked_parts(points: list[list[float]] | None, expected: str) -> None:
    xy = None if points is None else np.asarray(points, dtype=np.float32).reshape(-1, 2)
    options = ProjectOptions(keep="clicked", remove_specks_pixels=2)
    assert text(clean(PARTS, options, xy)) == expected


def test_the_mask_that_came_is_not_changed() -> None:
    mask = HOLES.copy()
    clean(mask, ProjectOptions(fill_holes_pixels=9, remove_specks_pixels=9, keep="largest"))
    np.testing.assert_array_equal(mask, HOLES)


@given(
    hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)),
    st.builds(
        ProjectOptions,
        fill_holes_pixels=st.integers(0, 20),
        remove_specks_pixels=st.integers(0, 20),
        keep=st.sampled_from(["all", "largest", "clicked"]),
    ),
    hnp.arrays(np.float32, st.tuples(st.integers(0, 3), st.just(2)), elements=st.floats(-2, 14, width=32)),
)
def test_something_stays_and_nothing_appears_from_nothing(
    mask: NDArray[np.bool_], options: ProjectOptions, points: NDArray[np.float32]
) -> None:
    cleaned = clean(mask, options, points)
    assert cleaned.shape == mask.shape
    assert cleaned.dtype == np.bool_
    assert cleaned.any() == mask.any()
    if not options.fill_holes_pixels:
        assert not (cleaned & ~mask).any()
    if not options.remove_specks_pixels and options.keep == "all":
        assert not (mask & ~cleaned).any()
    if not options.remove_specks_pixels:
        # What is clean stays as it is. (A removed speck may leave a new hole, of its own size.)
        np.testing.assert_array_equal(clean(cleaned, options, points), cleaned)
