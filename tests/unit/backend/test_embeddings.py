"""One encoder run for all who want the same image, whatever becomes of each of them."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.embedding.disk_store import FOLDER, DiskStore
from backend.embedding.embeddings import Embeddings
from backend.errors import DeadlinePassed, ImageError, OutOfMemory, Superseded
from backend.queue.scheduling import ModelQueue, Priority, Ticket
from backend.segmenter import Embedding
from backend.serving.in_flight import InFlight, Token
from tests.unit.backend.caching import EMBEDDING_BYTES, WAIT, Encoder, eventually, info, pixels, soon, together

CLICK, OPEN, BATCH = Priority.CLICK, Priority.OPEN, Priority.BATCH


@pytest.fixture
def queue() -> Iterator[ModelQueue]:
    queue = ModelQueue()
    queue.start()
    yield queue
    queue.close()


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def embeddings(encoder: Encoder, queue: ModelQueue) -> Embeddings:
    return make(encoder, queue)


def make(
    encoder: Encoder,
    queue: ModelQueue,
    memory_bytes: int = 1_000_000,
    disk: DiskStore | None = None,
    version: str = "v",
) -> Embeddings:
    return Embeddings(encoder, queue, memory_bytes, disk, version)  # type: ignore[arg-type]


def on_disk(folder: Path) -> DiskStore:
    disk = DiskStore(folder, 1_000_000, spare_bytes=0)
    disk.start()
    return disk


def load(value: int = 7) -> Callable[[], NDArray[np.uint8]]:
    return lambda: pixels(value)


def never() -> NDArray[np.uint8]:
    raise AssertionError("pixels are not needed here")


class Waiter:
    """A call of `get` in a thread of its own; its outcome is what it returned or raised."""

    def __init__(self, call: Callable[..., Embedding], *args: Any, **options: Any) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._call = self._thread.submit(call, *args, **options)

    def join(self) -> Any:
        error = self._call.exception(WAIT)
        self._thread.shutdown()
        return error or self._call.result()


def test_ten_clicks_are_one_encoder_run(embeddings: Embeddings, encoder: Encoder) -> None:
    encoder.hold()
    waiters = [Waiter(embeddings.get, info(), load(), CLICK, soon()) for _ in range(10)]
    eventually(lambda: embeddings.stats.joined == 9)
    encoder.gate.set()
    first, *others = [one.join() for one in waiters]
    assert first.features == (7.0,)
    assert all(one is first for one in others)
    assert len(encoder.encoded) == 1


def test_simultaneous_annotators_share_one_encoder_run(embeddings: Embeddings, encoder: Encoder) -> None:
    """Two annotators at the same moment are one encoder run again and again."""
    for number in range(50):
        together(2, lambda _, number=number: embeddings.get(info(number), load(), CLICK, soon()))  # type: ignore[misc]
    assert len(encoder.encoded) == 50


def test_a_warm_click_asks_for_no_pixels_and_no_turn(embeddings: Embeddings, queue: ModelQueue) -> None:
    first = embeddings.get(info(), load(), CLICK, soon())
    queue.close()
    assert embeddings.get(info(), never, CLICK, time.monotonic()) is first
    assert embeddings.stats.memory_hits == 1


def test_image_crop_model_and_engine_are_each_part_of_the_key(queue: ModelQueue, tmp_path: Path) -> None:
    """Another image, another crop, another model and another engine are encoded apart."""
    disk = on_disk(tmp_path)
    one, other = Encoder("torch-float32"), Encoder("openvino-bfloat16")
    tiny, large = make(one, queue, disk=disk, version="tiny"), make(one, queue, disk=disk, version="large")
    fast = make(other, queue, disk=disk, version="tiny")
    whole = (0, 0, 8, 6)
    answers = [
        tiny.get(info(1), load(1), CLICK, soon()),
        tiny.get(info(2), load(2), CLICK, soon()),
        tiny.get(info(1), load(3), CLICK, soon(), crop_xyxy=whole),
        tiny.get(info(1), load(4), CLICK, soon(), crop_xyxy=(0, 0, 8, 5)),
        large.get(info(1), load(5), CLICK, soon()),
        fast.get(info(1), load(6), CLICK, soon()),
    ]
    assert [one.features[0] for one in answers] == [1, 2, 3, 4, 5, 6]
    assert disk.flush(WAIT)
    again = Encoder("torch-float32")
    assert make(again, queue, disk=disk, version="large").get(info(1), never, CLICK, soon()).features == (5.0,)
    assert make(again, queue, disk=disk, version="tiny").get(info(1), never, CLICK, soon()).features == (1.0,)
    assert again.encoded == []


def test_memory_is_bounded_and_the_oldest_goes(encoder: Encoder, queue: ModelQueue) -> None:
    embeddings = make(encoder, queue, memory_bytes=2 * EMBEDDING_BYTES)
    for number in (0, 1, 0, 2):
        embeddings.get(info(number), load(), CLICK, soon())
    assert [embeddings.where(info(number)) for number in range(3)] == ["memory", None, "memory"]
    assert embeddings.stats.held_bytes == 2 * EMBEDDING_BYTES
    assert embeddings.stats.evicted == 1


def test_without_any_memory_clicks_at_once_still_share_a_run(encoder: Encoder, queue: ModelQueue) -> None:
    embeddings = make(encoder, queue, memory_bytes=0)
    encoder.hold()
    waiters = [Waiter(embeddings.get, info(), load(), CLICK, soon()) for _ in range(5)]
    eventually(lambda: embeddings.stats.joined == 4)
    encoder.gate.set()
    assert [one.join().features for one in waiters] == [(7.0,)] * 5
    assert len(encoder.encoded) == 1


def test_a_restart_reads_from_the_disk(encoder: Encoder, queue: ModelQueue, tmp_path: Path) -> None:
    disk = on_disk(tmp_path)
    make(encoder, queue, disk=disk).get(info(), load(), CLICK, soon())
    disk.close(WAIT)
    embeddings = make(encoder, queue, disk=on_disk(tmp_path))
    assert embeddings.where(info()) == "disk"
    assert embeddings.get(info(), never, CLICK, soon()).features == (7.0,)
    assert embeddings.where(info()) == "memory"
    assert (embeddings.stats.disk_hits, len(encoder.encoded)) == (1, 1)


@pytest.mark.parametrize("damage", ["flipped", "of another model"])
def test_a_damaged_entry_is_computed_anew(damage: str, encoder: Encoder, queue: ModelQueue, tmp_path: Path) -> None:
    disk = on_disk(tmp_path)
    embeddings = make(encoder, queue, disk=disk)
    if damage == "flipped":
        embeddings.get(info(), load(), CLICK, soon())
        assert disk.flush(WAIT)
        entry = next((tmp_path / FOLDER).iterdir())
        entry.write_bytes(entry.read_bytes()[:-1] + b"\x55")
    else:
        disk.write(embeddings.key(info()), b"sound for the disk, but not for the model")
    restarted = make(encoder, queue, disk=disk)
    assert restarted.get(info(), load(9), CLICK, soon()).features == (9.0,)
    assert disk.flush(WAIT)
    assert make(encoder, queue, disk=disk).get(info(), never, CLICK, soon()).features == (9.0,)
    assert disk.stats.damaged == 1


def test_a_disk_that_fails_costs_no_click(encoder: Encoder, queue: ModelQueue, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    disk = on_disk(tmp_path / "file")
    embeddings = make(encoder, queue, disk=disk)
    assert embeddings.get(info(), load(), CLICK, soon()).features == (7.0,)
    assert disk.flush(WAIT)
    assert embeddings.stats.disk is not None
    assert "EMBEDDING_CACHE_DIR" in (embeddings.stats.disk.problem or "")


def test_a_click_moves_the_pre_warming_of_its_image_to_the_front(embeddings: Embeddings, encoder: Encoder) -> None:
    encoder.hold()
    running = Waiter(embeddings.get, info(0), load(0), CLICK, soon())
    encoder.wait_until_begun()
    tickets: list[Ticket[Embedding]] = []
    early = Waiter(embeddings.get, info(1), load(1), BATCH, soon(), claim=tickets.append)
    eventually(lambda: len(tickets) == 1)
    wanted = Waiter(embeddings.get, info(2), load(2), BATCH, soon(), claim=tickets.append)
    eventually(lambda: len(tickets) == 2)
    click = Waiter(embeddings.get, info(2), never, CLICK, soon(), claim=tickets.append)
    eventually(lambda: len(tickets) == 3)
    encoder.gate.set()
    for one in (running, early, wanted, click):
        one.join()
    assert encoder.encoded == [0, 2, 1]
    assert click.join() is wanted.join()


def test_cancelled_click_leaves_others_their_embedding(embeddings: Embeddings, encoder: Encoder) -> None:
    """A cancelled click leaves and the others get their embedding."""
    encoder.hold()
    running = Waiter(embeddings.get, info(0), load(0), CLICK, soon())
    encoder.wait_until_begun()
    in_flight = InFlight(10)
    with in_flight.enter("1", frozenset({"a"})) as older:
        first = Waiter(embeddings.get, info(1), load(1), CLICK, soon(), claim=older.attach)
        eventually(lambda: (encoding := embeddings._encodings.get(embeddings.key(info(1)))) is not None
                   and encoding.waiters == 1 and bool(older._tickets))  # fmt: skip
        second = Waiter(embeddings.get, info(1), never, CLICK, soon())
        eventually(lambda: embeddings.stats.joined == 1)
        older.supersede()
        assert isinstance(first.join(), Superseded)
    encoder.gate.set()
    assert second.join().features == (1.0,)
    running.join()
    assert encoder.encoded == [0, 1]
    assert embeddings._encodings == {}


def test_embeddings_of_a_batch_are_let_go(embeddings: Embeddings) -> None:
    """The token outlives many images, and holds none of them."""
    token, seen = Token(), list[weakref.ref[Embedding]]()
    for number in range(6):
        embedding = embeddings.get_in_batch(info(number), load(number), soon(), token.attach)
        seen.append(weakref.ref(embedding))
    del embedding
    eventually(lambda: all(one() is None for one in seen))


def test_click_superseded_before_ticket_leaves_no_run(
    embeddings: Embeddings, encoder: Encoder, queue: ModelQueue
) -> None:
    """A click that was superseded before its ticket leaves no run behind."""
    encoder.hold()
    running = Waiter(embeddings.get, info(0), load(0), CLICK, soon())
    encoder.wait_until_begun()
    with InFlight(10).enter("1", frozenset({"a"})) as token:
        token.supersede()
        with pytest.raises(Superseded):
            embeddings.get(info(1), load(1), CLICK, soon(), claim=token.attach)
    encoder.gate.set()
    running.join()
    queue.close()
    assert encoder.encoded == [0]
    assert embeddings._encodings == {}


def test_a_claim_that_fails_leaves_no_run_behind(embeddings: Embeddings, encoder: Encoder, queue: ModelQueue) -> None:
    def broken(ticket: Ticket[Embedding]) -> None:
        raise RuntimeError("no hands")

    blocked = threading.Event()
    busy = queue.submit(lambda: blocked.wait(WAIT), CLICK, deadline=soon())
    with pytest.raises(RuntimeError, match="no hands"):
        embeddings.get(info(), load(), CLICK, soon(), claim=broken)
    assert embeddings._encodings == {}
    blocked.set()
    busy.result()
    queue.close()
    assert encoder.encoded == []


def test_who_is_out_of_time_leaves_and_the_run_goes_on(embeddings: Embeddings, encoder: Encoder) -> None:
    encoder.hold()
    patient = Waiter(embeddings.get, info(), load(), CLICK, soon())
    encoder.wait_until_begun()
    with pytest.raises(DeadlinePassed):
        embeddings.get(info(), never, CLICK, time.monotonic() + 0.01)
    encoder.gate.set()
    assert patient.join().features == (7.0,)


def test_a_run_that_all_have_left_still_serves_the_next_click(embeddings: Embeddings, encoder: Encoder) -> None:
    encoder.hold()
    tickets: list[Ticket[Embedding]] = []
    only = Waiter(embeddings.get, info(), load(), CLICK, soon(), claim=tickets.append)
    encoder.wait_until_begun()
    eventually(lambda: len(tickets) == 1)
    tickets[0].cancel()
    assert isinstance(only.join(), Superseded)
    late = Waiter(embeddings.get, info(), load(), CLICK, soon())
    encoder.gate.set()
    assert late.join().features == (7.0,)
    assert len(encoder.encoded) == 1


def test_an_error_reaches_all_who_wait_and_is_not_kept(embeddings: Embeddings, encoder: Encoder) -> None:
    encoder.errors = [RuntimeError("the model broke")]
    encoder.hold()
    waiters = [Waiter(embeddings.get, info(), load(), CLICK, soon()) for _ in range(4)]
    eventually(lambda: embeddings.stats.joined == 3)
    encoder.gate.set()
    assert {str(one.join()) for one in waiters} == {"the model broke"}
    assert embeddings.get(info(), load(), CLICK, soon()).features == (7.0,)


def test_an_image_that_cannot_be_read_never_reaches_the_model(embeddings: Embeddings, encoder: Encoder) -> None:
    def broken() -> NDArray[np.uint8]:
        raise ImageError("the image 'a.png' is broken")

    outcomes = together(4, lambda _: embeddings.get(info(), broken, CLICK, soon()))
    assert all(isinstance(one, ImageError) for one in outcomes)
    assert not encoder.began.acquire(blocking=False)


def test_out_of_memory_empties_the_cache_and_tries_once_more(embeddings: Embeddings, encoder: Encoder) -> None:
    embeddings.get(info(0), load(0), CLICK, soon())
    encoder.errors = [OutOfMemory("full")]
    assert embeddings.get(info(1), load(1), CLICK, soon()).features == (1.0,)
    assert encoder.freed == 1
    assert [embeddings.where(info(number)) for number in range(2)] == [None, "memory"]
    assert embeddings.stats.emptied == 1


def test_out_of_memory_twice_is_an_error(embeddings: Embeddings, encoder: Encoder) -> None:
    encoder.errors = [OutOfMemory("full"), OutOfMemory("still full")]
    with pytest.raises(OutOfMemory, match="still full"):
        embeddings.get(info(), load(), CLICK, soon())
    assert encoder.freed == 1


def test_many_clicks_on_many_images_each_get_their_own(encoder: Encoder, queue: ModelQueue, tmp_path: Path) -> None:
    embeddings = make(encoder, queue, memory_bytes=3 * EMBEDDING_BYTES, disk=on_disk(tmp_path))

    def annotator(number: int) -> bool:
        order = np.random.default_rng(number).integers(0, 8, 100)
        return all(embeddings.get(info(i), load(i), CLICK, soon()).features == (i,) for i in map(int, order))

    assert together(8, annotator) == [True] * 8
    assert embeddings.stats.held_bytes <= 3 * EMBEDDING_BYTES
    assert embeddings._encodings == {}
