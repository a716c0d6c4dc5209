"""What makes the backend degraded, and what does not."""

from __future__ import annotations

import pytest

from backend.errors import Busy, DeadlinePassed, ImageError, OutOfMemory, Superseded
from backend.queue.scheduling import DEFAULT_LIMITS, ModelQueue, Priority, QueueState, Running
from backend.serving.watch import LoadState, Watch

IDLE = QueueState(dict.fromkeys(Priority, 0), DEFAULT_LIMITS)
NO_MEMORY = OutOfMemory("cuda:0 has no memory left")


class Backend:
    """What a watch asks."""

    def __init__(self) -> None:
        self.load: tuple[LoadState, str | None] = ("ready", None)
        self.queue = IDLE
        self.problems: list[str] = []
        self.now = 0.0
        self.watch = Watch(
            lambda: self.load,
            lambda: self.queue,
            lambda: self.problems,
            failure_seconds=600,
            stuck_seconds=100,
            clock=lambda: self.now,
        )


@pytest.fixture
def backend() -> Backend:
    return Backend()


def test_ready(backend: Backend) -> None:
    assert backend.watch.state() == ("ready", None)


@pytest.mark.parametrize("load", [("loading", None), ("failed", "the weights are damaged")])
def test_load_comes_first(backend: Backend, load: tuple[LoadState, str | None]) -> None:
    backend.load = load
    backend.problems = ["the disk is full"]
    backend.watch.report_failure("encode", NO_MEMORY)
    assert backend.watch.state() == load


def test_failure_counts_until_the_same_stage_works(backend: Backend) -> None:
    backend.watch.report_finished("encode", NO_MEMORY)
    assert backend.watch.state() == ("degraded", "the last encode failed: cuda:0 has no memory left")
    backend.watch.report_finished("decode", None)
    assert backend.watch.state()[0] == "degraded"
    backend.watch.report_finished("encode", None)
    assert backend.watch.state() == ("ready", None)


def test_failure_is_forgotten_after_a_while(backend: Backend) -> None:
    backend.watch.report_failure("encode", NO_MEMORY)
    backend.now = 600
    assert backend.watch.state()[0] == "degraded"
    backend.now = 601
    assert backend.watch.state() == ("ready", None)


def test_unexpected_error_is_named_without_its_text(backend: Backend) -> None:
    backend.watch.report_failure("", KeyError("secret"))
    assert backend.watch.state() == ("degraded", "the last job failed: unexpected KeyError, see the log")


@pytest.mark.parametrize("error", [ImageError("torn"), Superseded("newer"), DeadlinePassed("late"), Busy("full")])
def test_faults_of_a_request_say_nothing(backend: Backend, error: Exception) -> None:
    backend.watch.report_failure("encode", error)
    assert backend.watch.state() == ("ready", None)


@pytest.mark.parametrize(("seconds", "health"), [(100.0, "ready"), (101.0, "degraded")])
def test_job_that_does_not_end(backend: Backend, seconds: float, health: str) -> None:
    backend.queue = QueueState(IDLE.waiting, IDLE.limits, Running("encode", Priority.BATCH, seconds))
    assert backend.watch.state()[0] == health


def test_all_reasons_are_told(backend: Backend) -> None:
    backend.queue = QueueState(
        {**IDLE.waiting, Priority.CLICK: 64}, IDLE.limits, Running("", Priority.CLICK, 130.4), 120.0, closed=True
    )
    backend.problems = ["embeddings are not kept: the disk is full"]
    backend.watch.report_failure("decode", NO_MEMORY)
    assert backend.watch.state() == (
        "degraded",
        "the model's thread has ended, restart the backend; "
        "a job has been running for 130 s and holds up all others; "
        "64 clicks wait for the model, new ones are refused; "
        "the last decode failed: cuda:0 has no memory left; "
        "embeddings are not kept: the disk is full",
    )


@pytest.mark.parametrize("priority", [Priority.OPEN, Priority.BATCH])
def test_full_background_is_normal(backend: Backend, priority: Priority) -> None:
    backend.queue = QueueState({**IDLE.waiting, priority: IDLE.limits[priority]}, IDLE.limits)
    assert backend.watch.state() == ("ready", None)


def test_with_the_queue_itself() -> None:
    """`report_finished` is called before the ticket ends, so an answer and `/health` never disagree."""
    queue = ModelQueue(on_finished=lambda stage, error: watch.report_finished(stage, error))
    watch = Watch(lambda: ("ready", None), queue.state)

    def encode() -> None:
        raise NO_MEMORY

    queue.start()
    with pytest.raises(OutOfMemory):
        queue.submit(encode, Priority.CLICK, name="encode").result()
    assert watch.state()[0] == "degraded"
    queue.submit(lambda: None, Priority.CLICK, name="encode").result()
    assert watch.state() == ("ready", None)
    queue.close()
