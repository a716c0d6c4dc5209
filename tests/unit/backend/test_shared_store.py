"""The level that hosts share: a click neither fails nor waits for what its server does."""

from __future__ import annotations

import errno
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from backend.embedding.entries import name_of
from backend.embedding.shared_folder import SharedFolder
from backend.embedding.shared_store import OFF_SECONDS, RETRY_SECONDS, WAITING_WRITES, SharedStore
from tests.unit.backend.caching import WAIT, eventually, soon

PAYLOAD = b"embedding" * 100


class Faulty(SharedFolder):
    """A folder whose server fails or hangs when it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, 1_000_000, spare_bytes=0)
        self.reading: OSError | None = None
        self.writing: OSError | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.reads = self.writes = 0

    def read(self, key: str) -> bytes | None:
        self.reads += 1
        assert self.gate.wait(WAIT)
        if self.reading is not None:
            raise self.reading
        return super().read(key)

    def write(self, key: str, payload: bytes) -> bool:
        self.writes += 1
        assert self.gate.wait(WAIT)
        if self.writing is not None:
            raise self.writing
        return super().write(key, payload)


class Clock:
    def __init__(self) -> None:
        self.now = time.monotonic()

    def __call__(self) -> float:
        return self.now


class Bench:
    def __init__(self, path: Path, **options: Any) -> None:
        self.folder = Faulty(path)
        self.clock = Clock()
        self.store = SharedStore(self.folder, clock=self.clock, **options)
        self.store.start()

    def read(self, key: str = "a", seconds: float = WAIT) -> bytes | None:
        return self.store.read(key, self.clock.now + seconds)

    def write(self, key: str = "a") -> bool:
        return self.store.write_later(key, lambda: PAYLOAD) and self.store.flush(WAIT)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_two_stores_on_one_folder(bench: Bench, tmp_path: Path) -> None:
    other = Bench(tmp_path)
    assert other.read() is None
    assert bench.write()
    assert other.read() == PAYLOAD
    assert (other.store.stats.hits, other.store.stats.misses, bench.store.stats.written) == (1, 1, 1)
    (tmp_path / name_of("a")).write_bytes(b"torn")
    assert other.read() is None
    assert not (tmp_path / name_of("a")).exists()
    stats = other.store.stats
    assert (stats.misses, stats.damaged, stats.errors, stats.problem) == (2, 1, 0, None)


def test_hanging_read_gives_up_and_is_left_out(tmp_path: Path) -> None:
    bench = Bench(tmp_path, read_seconds=0.05)
    bench.write()
    bench.folder.gate.clear()
    assert bench.read() is None
    assert "did not answer in 0.05 s" in (bench.store.stats.problem or "")
    bench.clock.now += OFF_SECONDS + 1
    for _ in range(3):  # still hanging: no one waits for it a second time
        assert bench.read() is None
    assert bench.folder.reads == 1
    bench.folder.gate.set()
    eventually(lambda: bench.store._late == 0)
    assert bench.read() is None  # it has just come back
    bench.clock.now += OFF_SECONDS + 1
    assert bench.read() == PAYLOAD
    stats = bench.store.stats
    assert (stats.hits, stats.misses, stats.errors, stats.problem) == (1, 1, 1, None)


def test_click_without_time_blames_no_server(bench: Bench) -> None:
    bench.folder.gate.clear()
    assert bench.read(seconds=0.01) is None
    assert (bench.store.stats.problem, bench.store.stats.misses) == (None, 1)
    bench.folder.gate.set()
    assert bench.read() is None
    assert bench.folder.reads == 2


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.EACCES])
def test_error_of_a_read_is_one_line(bench: Bench, caplog: pytest.LogCaptureFixture, code: int) -> None:
    bench.write()
    bench.folder.reading = OSError(code, "the reason")
    with caplog.at_level(logging.WARNING):
        assert [bench.read() for _ in range(3)] == [None] * 3
    assert [one.message for one in caplog.records if "the reason" in one.message] == [caplog.records[0].message]
    assert (bench.store.stats.errors, bench.store.stats.misses) == (3, 3)
    assert bench.store.stats.problem == "embeddings are not found in EMBEDDING_CACHE_SHARED_DIR: the reason"
    bench.folder.reading = None
    assert bench.read() == PAYLOAD
    assert bench.store.stats.problem is None


def test_full_disk_is_tried_again_later(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.folder.writing = OSError(errno.ENOSPC, "No space left on device")
    with caplog.at_level(logging.WARNING):
        bench.write("a")
        assert not bench.store.write_later("b", lambda: PAYLOAD)
    assert len(caplog.records) == 1
    assert (bench.folder.writes, bench.store.stats.errors) == (1, 1)
    assert "are not kept in EMBEDDING_CACHE_SHARED_DIR: No space" in (bench.store.stats.problem or "")
    assert bench.read("c") is None
    assert bench.store.stats.problem is not None  # a read says nothing about writes
    bench.folder.writing = None
    bench.clock.now += RETRY_SECONDS + 1
    assert bench.write("b")
    after = bench.store.stats
    assert (after.written, after.problem) == (1, None)


def test_hanging_write_holds_up_no_one(tmp_path: Path) -> None:
    """What waits behind it is dropped, with the embeddings that it holds."""
    bench = Bench(tmp_path, write_seconds=60.0)
    bench.folder.gate.clear()
    held = [bench.store.write_later(str(number), lambda: PAYLOAD) for number in range(2)]
    eventually(lambda: bench.folder.writes == 1)
    held += [bench.store.write_later(str(number), lambda: PAYLOAD) for number in range(2, WAITING_WRITES + 2)]
    assert held.count(False) == 1
    assert bench.store.stats.dropped == 1
    bench.clock.now += 61
    bench.store.write_later("x", lambda: PAYLOAD)
    assert bench.store.stats.dropped == 1 + WAITING_WRITES + 1
    assert "did not take an entry in 60 s" in (bench.store.stats.problem or "")
    began = time.monotonic()
    bench.store.close()
    assert time.monotonic() - began < WAIT
    assert not bench.store.write_later("y", lambda: PAYLOAD)
    bench.folder.gate.set()
    eventually(lambda: bench.store._began is None)
    bench.clock.now += 61
    assert bench.write("z")
    assert bench.read("z") == PAYLOAD


def test_defect_costs_one_entry(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> bytes:
        raise ZeroDivisionError

    bench.store.write_later("a", broken)
    assert bench.write("b")
    assert "could not be packed" in caplog.text
    assert bench.read("b") == PAYLOAD


def test_close_writes_what_waits(bench: Bench, tmp_path: Path) -> None:
    for number in range(4):
        bench.store.write_later(str(number), lambda: PAYLOAD)
    bench.store.close(WAIT)
    assert len(list(tmp_path.iterdir())) == 4
    assert soon() > time.monotonic()
