"""Opened images and their neighbours are encoded early, and no click waits for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from backend.embedding.disk_store import DiskStore
from backend.embedding.embeddings import Embeddings
from backend.embedding.prewarm import OPENED_LIMIT, Prewarmer
from backend.errors import ImageError
from backend.images.image_store import ImageStore, TaskImage
from backend.queue.scheduling import ModelQueue, Priority
from backend.segmenter import Embedding
from tests.unit.backend.caching import WAIT, Encoder, Folder, eventually, soon
from tests.unit.backend.queues import depth


class House:
    """Everything that pre-warming touches, with six images of greys 0 to 5."""

    def __init__(self, path: Path) -> None:
        self.folder = Folder(path)
        self.images = [TaskImage(self.folder.draw(f"{value}.png", value), str(value)) for value in range(6)]
        self.encoder = Encoder()
        self.queue = ModelQueue()
        self.queue.start()
        self.store = ImageStore(1_000_000, 1_000_000)
        self.disk = DiskStore(path / "cache", 1_000_000, spare_bytes=0)
        self.disk.start()
        self.embeddings = self.with_memory()
        self.prewarmer = Prewarmer(self.store, self.embeddings, self.folder.open)
        self.prewarmer.start()

    def with_memory(self) -> Embeddings:
        return Embeddings(self.encoder, self.queue, 1_000_000, self.disk, "v")  # type: ignore[arg-type]

    def opened(self, number: int, neighbours: Sequence[int] = (), group: str = "ana") -> None:
        self.prewarmer.opened(group, self.images[number], lambda: [self.images[one] for one in neighbours])

    def click(self, number: int, **options: Any) -> float:
        file = self.folder.file(f"{number}.png")
        info = self.store.describe(file)
        embedding = self.embeddings.get(info, lambda: self.store.pixels(file, info), Priority.CLICK, soon(), **options)
        return float(embedding.features[0])

    def idle(self) -> None:
        eventually(lambda: self.prewarmer.waiting == 0)

    def where(self, number: int) -> str | None:
        return self.embeddings.where(self.store.describe(self.folder.file(f"{number}.png")))

    def close(self) -> None:
        self.encoder.gate.set()
        self.prewarmer.close()
        self.queue.close()
        self.disk.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def test_the_opened_image_comes_first_then_its_neighbours(house: House) -> None:
    house.opened(2, [3, 4, 5, 0, 1])
    house.idle()
    assert house.encoder.encoded == [2, 3, 4, 5]  # three neighbours at most
    assert house.click(2) == 2
    assert len(house.encoder.encoded) == 4


def test_a_click_waits_for_no_more_than_the_run_that_has_begun(house: House) -> None:
    house.encoder.hold()
    house.opened(0, [1, 2])
    house.encoder.wait_until_begun()
    for group in "bcd":
        house.opened(ord(group) - ord("a"), [4], group)
    clicked = threading.Thread(target=house.click, args=(5,))
    clicked.start()
    eventually(lambda: depth(house.queue, Priority.CLICK) == 1)
    house.encoder.gate.set()
    clicked.join(WAIT)
    house.idle()
    assert house.encoder.encoded[:2] == [0, 5]
    assert sorted(house.encoder.encoded) == [0, 1, 2, 3, 4, 5]


def test_a_click_on_the_opened_image_joins_its_run(house: House) -> None:
    house.encoder.hold()
    house.opened(0)
    house.encoder.wait_until_begun()
    clicked = threading.Thread(target=house.click, args=(0,))
    clicked.start()
    eventually(lambda: house.embeddings.stats.joined == 1)
    house.encoder.gate.set()
    clicked.join(WAIT)
    assert house.encoder.encoded == [0]


def test_a_newer_opening_drops_the_neighbours_of_the_older(house: House) -> None:
    house.encoder.hold()
    house.opened(0, [1, 2])
    house.encoder.wait_until_begun()
    house.opened(3, [4])
    house.encoder.gate.set()
    house.idle()
    assert house.encoder.encoded == [0, 3, 4]


def test_only_newest_opening_brings_neighbours(house: House) -> None:
    """Of several openings only the newest brings its neighbours."""
    house.encoder.hold()
    house.opened(0)
    house.encoder.wait_until_begun()
    house.opened(1, [4])
    house.opened(2, [5])
    house.encoder.gate.set()
    house.idle()
    assert house.encoder.encoded == [0, 2, 1, 5]


@pytest.mark.parametrize(("annotator", "encoded"), [("ben", [5, 3, 1, 2]), ("ana", [5, 3])])
def test_neighbour_gives_way_to_opened_image(house: House, annotator: str, encoded: list[int]) -> None:
    """A neighbour gives way to an opened image, and comes next if it is another's."""
    house.encoder.hold()
    blocked = threading.Thread(target=house.click, args=(5,))
    blocked.start()
    house.encoder.wait_until_begun()
    # Image 0 is encoded already, as far as the pre-warmer can see: only its neighbour needs the model.
    info = house.store.describe(house.folder.file("0.png"))
    house.disk.write(house.embeddings.key(info), house.encoder.pack(Embedding((8, 6), (0.0,))))
    house.opened(0, [1, 2])
    eventually(lambda: depth(house.queue, Priority.BATCH) == 1)
    house.opened(3, [], annotator)
    eventually(lambda: depth(house.queue, Priority.OPEN) == 1)
    assert depth(house.queue, Priority.BATCH) == 0
    house.encoder.gate.set()
    blocked.join(WAIT)
    house.idle()
    assert house.encoder.encoded == encoded


def test_opened_image_moves_to_memory_neighbour_stays_on_disk(house: House) -> None:
    """An opened image comes from the disk into the memory, and a neighbour stays on the disk."""
    house.opened(0, [1])
    house.idle()
    assert house.disk.flush(WAIT)
    house.embeddings = house.with_memory()
    house.prewarmer.close()
    house.prewarmer = Prewarmer(house.store, house.embeddings, house.folder.open)
    house.prewarmer.start()
    house.opened(0, [1])
    house.idle()
    assert [house.where(0), house.where(1)] == ["memory", "disk"]
    assert len(house.encoder.encoded) == 2


def test_images_are_encoded_ahead_of_another_process(house: House) -> None:
    """Those that the group was given last, nearest first, and below what is opened here."""
    house.encoder.hold()
    house.opened(0)
    house.encoder.wait_until_begun()
    house.prewarmer.ahead("ana", [house.images[1], house.images[2]])
    house.prewarmer.ahead("ana", [house.images[3], house.images[2]])
    house.prewarmer.ahead("ben", [house.images[4]])
    house.prewarmer.ahead("ben", [])
    house.opened(5, [], "eva")
    house.encoder.gate.set()
    house.idle()
    assert house.encoder.encoded == [0, 5, 3, 2]


@pytest.mark.parametrize(("given", "encoded"), [([1, 2], [5, 1, 2]), ([2], [5, 2])])
def test_image_given_again_goes_on(house: House, given: list[int], encoded: list[int]) -> None:
    """One that waits for the model already; one that is given no more makes room."""
    house.encoder.hold()
    blocked = threading.Thread(target=house.click, args=(5,))
    blocked.start()
    house.encoder.wait_until_begun()
    house.prewarmer.ahead("ana", [house.images[1]])
    eventually(lambda: depth(house.queue, Priority.BATCH) == 1)
    house.prewarmer.ahead("ana", [house.images[one] for one in given])
    house.encoder.gate.set()
    blocked.join(WAIT)
    house.idle()
    assert house.encoder.encoded == encoded


def test_many_opened_tasks_are_bounded_and_the_latest_come_first(house: House) -> None:
    house.encoder.hold()
    house.opened(0)
    house.encoder.wait_until_begun()
    for number in range(OPENED_LIMIT + 5):
        house.opened(1 + number % 5)
    assert house.prewarmer.waiting == OPENED_LIMIT + 1
    house.encoder.gate.set()
    house.idle()
    last = 1 + (OPENED_LIMIT + 4) % 5
    assert house.encoder.encoded[:2] == [0, last]
    assert len(house.encoder.encoded) == 6


@pytest.mark.parametrize("error", [ImageError("no such folder"), RuntimeError("a defect")])
def test_what_fails_costs_only_itself(house: House, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    def broken() -> Sequence[TaskImage]:
        raise error

    house.prewarmer.opened("ana", TaskImage("missing.png", "9"), broken)
    house.idle()
    house.encoder.errors = [error]
    house.opened(1, [2])
    house.idle()
    assert house.encoder.encoded == [2]
    assert ("failed unexpectedly" in caplog.text) == isinstance(error, RuntimeError)


def test_asking_for_neighbours_is_not_done_in_the_request(house: House) -> None:
    asked: list[str] = []

    def neighbours() -> Sequence[TaskImage]:
        asked.append(threading.current_thread().name)
        return []

    house.prewarmer.opened("ana", house.images[0], neighbours)
    eventually(lambda: bool(asked))
    assert asked == ["prewarm"]


def test_nothing_begins_after_the_end(house: House) -> None:
    house.encoder.hold()
    ask: Callable[[], Sequence[TaskImage]] = lambda: house.images  # noqa: E731 - a name for a type
    house.prewarmer.opened("ana", house.images[0], ask)
    house.encoder.wait_until_begun()
    house.opened(1, [], "ben")
    house.prewarmer.close(0.0)
    house.opened(2)
    house.encoder.gate.set()
    house.prewarmer.close()
    house.queue.close()
    assert house.encoder.encoded == [0]
    assert house.prewarmer.waiting == 0
