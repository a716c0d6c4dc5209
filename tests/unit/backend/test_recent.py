"""The last clicks and errors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import ImageError, OutOfMemory
from backend.serving.recent import CLICKS, ERRORS, Percentiles, Recent, RecentClick, percentile

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Clock:
    now = START

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def test_click_is_kept_as_given() -> None:
    recent = Recent(Clock())
    stages = {"decode": 17.0, "total": 21.0}
    recent.add_click(
        request_id="r1", task="17", prompt="box, 1 point +", label="Boat", size_wh=(64, 48), stages_ms=stages,
        embedding="disk",
    )  # fmt: skip
    stages.clear()
    recent.add_click(request_id="r2", task="18", prompt="brush", status=422)
    newest, oldest = recent.clicks()
    assert oldest == RecentClick(
        START + timedelta(seconds=1), "r1", "17", "box, 1 point +", "Boat", (64, 48),
        {"decode": 17.0, "total": 21.0}, "disk", 200,
    )  # fmt: skip
    assert newest == RecentClick(START + timedelta(seconds=2), "r2", "18", "brush", status=422)


def test_only_the_last_clicks_are_kept() -> None:
    recent = Recent(Clock())
    for number in range(CLICKS + 5):
        recent.add_click(request_id="r", task=str(number), prompt="box")
    assert [int(click.task) for click in recent.clicks()] == list(range(CLICKS + 4, 4, -1))


def test_error_that_comes_again_is_counted() -> None:
    recent = Recent(Clock())
    for request_id, error in enumerate(
        [ImageError("torn"), OutOfMemory("torn"), ImageError("gone"), ImageError("torn")]
    ):
        recent.add_error(error, str(request_id))
    seen = [(one.kind, one.sentence, one.count, one.request_id) for one in recent.errors()]
    assert seen == [("ImageError", "torn", 2, "3"), ("ImageError", "gone", 1, "2"), ("OutOfMemory", "torn", 1, "1")]
    again = recent.errors()[0]
    assert (again.first, again.last) == (START + timedelta(seconds=1), START + timedelta(seconds=4))


def test_only_the_last_errors_are_kept() -> None:
    recent = Recent(Clock())
    for number in range(ERRORS + 5):
        recent.add_error(ImageError(str(number)), "r")
        recent.add_error(ImageError("always"), "r")
    sentences = [one.sentence for one in recent.errors()]
    assert len(sentences) == ERRORS
    assert sentences[:2] == ["always", str(ERRORS + 4)]
    assert recent.errors()[0].count == ERRORS + 5


def test_text_of_an_unexpected_error_is_not_kept() -> None:
    recent = Recent(Clock())
    recent.add_error(KeyError("a secret token"), "r")
    assert recent.errors()[0].sentence == "unexpected KeyError; the log has the details"


def test_long_sentence_is_cut() -> None:
    recent = Recent(Clock())
    recent.add_error(ImageError("x" * 100_000), "r")
    assert recent.errors()[0].sentence == "x" * 399 + "…"


def test_percentiles_of_answered_clicks_in_the_order_of_stages() -> None:
    recent = Recent(Clock())
    for value in range(1, 21):
        recent.add_click(
            request_id="r", task="1", prompt="box", stages_ms={"crop": 1.0, "decode": value, "total": 2 * value}
        )
    recent.add_click(request_id="r", task="1", prompt="box", stages_ms={"encode": 900.0, "total": 950.0})
    recent.add_click(request_id="r", task="1", prompt="box", stages_ms={"read": 1.0, "total": 1.0}, status=422)
    assert recent.percentiles() == [
        Percentiles("encode", 900.0, 900.0, 1),
        Percentiles("decode", 10, 19, 20),
        Percentiles("crop", 1.0, 1.0, 20),
        Percentiles("total", 22, 40, 21),
    ]


def test_percentiles_of_nothing() -> None:
    assert Recent(Clock()).percentiles() == []


@given(
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1),
    percent=st.integers(1, 100),
)
def test_percentile_is_the_nearest_rank(values: list[float], percent: int) -> None:
    """The smallest value that at least `percent` of all do not exceed, counted in whole numbers: numpy's own rounds."""
    enough = [value for value in values if 100 * sum(one <= value for one in values) >= percent * len(values)]
    assert percentile(values, percent) == min(enough)


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_percentile_that_does_not_exist(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="a percentile needs values"):
        percentile(values, percent)


def test_from_many_threads() -> None:
    recent, threads, each = Recent(clicks=5), 8, 500

    def work(number: int) -> None:
        for _ in range(each):
            recent.add_error(ImageError("torn"), str(number))
            recent.add_click(request_id="r", task=str(number), prompt="box", stages_ms={"total": 1.0})
            assert len(recent.percentiles()) <= 1

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    assert recent.errors()[0].count == threads * each
    assert len(recent.clicks()) == 5
