"""Embeddings on the disk: never a wrong one, never too much, and never somebody else's file touched."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backend.embedding.disk_store import FOLDER, RETRY_SECONDS, WAITING_WRITES, DiskStore
from backend.embedding.entries import HEADER
from tests.unit.backend.caching import WAIT, together

PAYLOAD = bytes(range(256)) * 4
ENTRY_BYTES = HEADER.size + len(PAYLOAD)


def make(folder: Path, limit_bytes: int = 1_000_000, **options: Any) -> DiskStore:
    store = DiskStore(folder, limit_bytes, **{"spare_bytes": 0, **options})
    store.start()
    return store


def files(folder: Path) -> list[Path]:
    return sorted((folder / FOLDER).iterdir())


def used_at(folder: Path, seconds: int) -> None:
    """Pretend that the newest entry was last used then."""
    newest = max(files(folder), key=lambda one: one.stat().st_mtime_ns)
    os.utime(newest, (seconds, seconds))


def test_gives_back_what_was_written_also_after_a_restart(tmp_path: Path) -> None:
    store = make(tmp_path)
    assert store.read("a") is None
    assert "a" not in store
    assert store.write("a", PAYLOAD)
    assert "a" in store
    for one in (store, make(tmp_path)):
        assert one.read("a") == PAYLOAD
        assert one.read("b") is None
    assert (store.stats.hits, store.stats.misses, store.stats.written) == (1, 2, 1)
    assert store.stats.held_bytes == files(tmp_path)[0].stat().st_size == ENTRY_BYTES


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.data())
def test_an_entry_damaged_in_any_way_is_removed_and_never_given(tmp_path: Path, data: st.DataObject) -> None:
    store = make(tmp_path)
    store.write("a", PAYLOAD)
    path = files(tmp_path)[0]
    sound = path.read_bytes()
    kind = data.draw(st.sampled_from(["cut", "flip", "zeros", "longer"]))
    at = data.draw(st.integers(0, len(sound) - 1))
    damaged = {
        "cut": sound[:at],
        "flip": sound[:at] + bytes([sound[at] ^ (1 << data.draw(st.integers(0, 7)))]) + sound[at + 1 :],
        "zeros": sound[:at] + bytes(len(sound) - at),
        "longer": sound + b"\0" * (at + 1),
    }[kind]
    path.write_bytes(damaged)
    before = store.stats.damaged
    if damaged != sound:
        assert store.read("a") is None
        assert files(tmp_path) == []
        assert store.stats.damaged == before + 1
    assert store.write("a", PAYLOAD)
    assert store.read("a") == PAYLOAD


def test_an_entry_under_anothers_name_is_not_taken_for_it(tmp_path: Path) -> None:
    store = make(tmp_path)
    store.write("a", PAYLOAD)
    as_a = files(tmp_path)[0].read_bytes()
    store.write("b", PAYLOAD[::-1])
    b = next(one for one in files(tmp_path) if one.read_bytes() != as_a)
    b.write_bytes(as_a)
    assert store.read("b") is None
    assert store.read("a") == PAYLOAD


def test_holds_its_limit_and_forgets_what_was_used_longest_ago(tmp_path: Path) -> None:
    store = make(tmp_path, 3 * ENTRY_BYTES + HEADER.size)
    for seconds, key in enumerate("abc", start=1):
        store.write(key, PAYLOAD)
        used_at(tmp_path, seconds)
    assert store.read("a") == PAYLOAD  # now the one used last
    store.write("d", PAYLOAD)
    assert [key in store for key in "abcd"] == [True, False, True, True]
    assert store.stats.evicted == 1


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(sizes=st.lists(st.integers(0, 3000), max_size=40), limit=st.integers(0, 8000))
def test_never_exceeds_its_limit(tmp_path: Path, sizes: list[int], limit: int) -> None:
    shutil.rmtree(tmp_path / FOLDER, ignore_errors=True)
    store = make(tmp_path, limit)
    for number, size in enumerate(sizes):
        assert store.write(str(number), bytes(size)) == (size + HEADER.size <= limit)
        held = sum(one.stat().st_size for one in files(tmp_path))
        assert held <= limit
        assert store.stats.held_bytes == held


def test_makes_room_at_the_start_when_the_limit_has_shrunk(tmp_path: Path) -> None:
    store = make(tmp_path)
    for key in "abcdef":
        store.write(key, PAYLOAD)
    make(tmp_path, 2 * ENTRY_BYTES)
    assert 0 < len(files(tmp_path)) <= 2


def test_two_processes_hold_the_limit_together(tmp_path: Path) -> None:
    limit = 40 * ENTRY_BYTES
    stores = [make(tmp_path, limit) for _ in range(2)]
    for number in range(200):
        assert stores[number % 2].write(str(number), PAYLOAD)
        assert len(files(tmp_path)) * ENTRY_BYTES <= limit * (1 + 1 / 16) + ENTRY_BYTES


def test_removes_leftovers_of_killed_writers_only(tmp_path: Path) -> None:
    make(tmp_path)
    left = tmp_path / FOLDER / f"{'a' * 64}.{'1' * 16}.part"
    alive = tmp_path / FOLDER / f"{'b' * 64}.{'2' * 16}.part"
    left.write_bytes(PAYLOAD)
    with alive.open("xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        make(tmp_path)
        assert files(tmp_path) == [alive]
    make(tmp_path)
    assert files(tmp_path) == []


def test_never_touches_a_file_that_is_not_its_own(tmp_path: Path) -> None:
    store = make(tmp_path)
    strangers = [
        tmp_path / "a.embedding",
        tmp_path / f"{'a' * 64}.embedding",
        tmp_path / FOLDER / "thesis.docx",
        tmp_path / FOLDER / "download.part",
        tmp_path / FOLDER / f"{'a' * 63}.embedding",
        tmp_path / FOLDER / f"{'a' * 64}.embedding.bak",
    ]
    for one in strangers:
        one.write_bytes(PAYLOAD)
    (tmp_path / FOLDER / f"{'c' * 64}.embedding").mkdir()
    for number in range(20):
        store.write(str(number), PAYLOAD)
    make(tmp_path, 0)
    assert all(one.read_bytes() == PAYLOAD for one in strangers)
    assert len(files(tmp_path)) == 5


def test_a_vanished_folder_is_made_again(tmp_path: Path) -> None:
    store = make(tmp_path)
    store.write("a", PAYLOAD)
    shutil.rmtree(tmp_path / FOLDER)
    assert store.read("a") is None
    assert store.write("a", PAYLOAD)
    assert store.read("a") == PAYLOAD


def test_full_disk_switches_it_off_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now = 100.0
    store = make(tmp_path, clock=lambda: now)
    store.write("a", PAYLOAD)

    def full(descriptor: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("backend.caching.disk_lru.os.write", full)
        for key in "bcd":
            assert not store.write(key, PAYLOAD)
        assert store.stats.problem == "embeddings are not kept in EMBEDDING_CACHE_DIR: No space left on device"
        assert len(files(tmp_path)) == 1  # nothing half-written is left
        now += RETRY_SECONDS
        assert not store.write("b", PAYLOAD)
    assert len([one for one in caplog.records if one.levelno >= logging.WARNING]) == 1
    assert store.read("a") == PAYLOAD  # what is there still serves
    assert not store.write("b", PAYLOAD)
    now += RETRY_SECONDS
    assert store.write("b", PAYLOAD)
    assert store.stats.problem is None


def test_leaves_the_disk_some_space(tmp_path: Path) -> None:
    store = make(tmp_path, spare_bytes=2**60)
    assert not store.write("a", PAYLOAD)
    assert "MiB would stay free on its disk" in (store.stats.problem or "")


def test_a_folder_that_cannot_be_made_switches_it_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    store = make(tmp_path / "file")
    assert store.stats.problem == "embeddings are not kept in EMBEDDING_CACHE_DIR: Not a directory"
    assert not store.write("a", PAYLOAD)
    assert store.read("a") is None
    assert "a" not in store
    assert len(caplog.records) >= 1


def test_a_folder_without_the_right_to_write_switches_it_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path).write("a", PAYLOAD)
    monkeypatch.setattr("backend.embedding.disk_store.os.access", lambda path, mode: False)  # root may write anywhere
    store = make(tmp_path)
    assert store.stats.problem == "embeddings are not kept in EMBEDDING_CACHE_DIR: the folder cannot be written to"
    assert store.read("a") == PAYLOAD


def test_writes_later_in_its_own_thread(tmp_path: Path) -> None:
    store = make(tmp_path)
    threads: list[str] = []

    def pack() -> bytes:
        threads.append(threading.current_thread().name)
        return PAYLOAD

    assert store.write_later("a", pack)
    assert store.flush(WAIT)
    assert store.read("a") == PAYLOAD
    assert threads[0].startswith("embedding-writer")
    assert store.write_later("a", pack)
    store.close(WAIT)
    assert len(threads) == 1  # it is there: not even packed again


def test_drops_what_it_cannot_write_fast_enough(tmp_path: Path) -> None:
    store, gate = make(tmp_path), threading.Event()

    def pack() -> bytes:
        assert gate.wait(WAIT)
        return PAYLOAD

    taken = [store.write_later(str(number), pack) for number in range(WAITING_WRITES + 3)]
    assert taken == [True] * WAITING_WRITES + [False] * 3
    assert store.stats.dropped == 3
    gate.set()
    store.close(WAIT)
    assert len(files(tmp_path)) == WAITING_WRITES
    assert not store.write_later("late", pack)
    assert not store.flush(WAIT)


def test_an_embedding_that_cannot_be_packed_costs_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> bytes:
        raise RuntimeError("no bytes today")

    store = make(tmp_path)
    store.write_later("a", broken)
    store.write_later("b", lambda: PAYLOAD)
    store.close(WAIT)
    assert store.read("a") is None
    assert store.read("b") == PAYLOAD
    assert "could not be packed" in caplog.text


def test_many_threads_and_two_stores_on_a_few_keys(tmp_path: Path) -> None:
    stores = [make(tmp_path, 3 * ENTRY_BYTES + HEADER.size) for _ in range(2)]

    def churn(number: int) -> bool:
        store = stores[number % 2]
        for step in range(60):
            key = str((number + step) % 6)
            payload = key.encode() * len(PAYLOAD)
            if store.read(key) not in (None, payload):
                return False
            store.write(key, payload)
            if step % 20 == 0:
                make(tmp_path, 3 * ENTRY_BYTES + HEADER.size)  # a third one starts beside them
        return True

    assert together(8, churn) == [True] * 8
    assert sum(store.stats.damaged for store in stores) == 0
    assert all(store.stats.problem is None for store in stores)
