from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.caching.disk_lru import Part, TooManyParts
from backend.sources.file_cache import Cached, FileCache


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def cache_in(folder: Path, clock: Clock, limit: int = 1000, keep: int = 0) -> FileCache:
    return FileCache(folder / "cache", limit, keep, clock)


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "cache").iterdir()}


def bytes_in(folder: Path) -> int:
    """Of the images, without their notes."""
    return sum(path.stat().st_size for path in (folder / "cache").iterdir() if path.suffix != ".json")


def content(cache: FileCache, url: str) -> bytes | None:
    cached = cache.find(url)
    return None if cached is None else cache.path(url, cached).read_bytes()


def test_what_was_stored_is_found_also_after_a_restart(tmp_path: Path, clock: Clock) -> None:
    cache = cache_in(tmp_path, clock)
    assert cache.find("u") is None
    stored = cache.store("u", [b"ab", b"c"], '"v1"', "Mon")
    assert stored == Cached(hashlib.sha256(b"abc").hexdigest(), 3, '"v1"', "Mon", 1000.0)
    for one in (cache, cache_in(tmp_path, clock)):
        assert one.find("u") == stored
        assert content(one, "u") == b"abc"
        assert bytes_in(tmp_path) == 3
    assert len(names(tmp_path)) == 2


def test_only_the_backend_reads_what_was_fetched(tmp_path: Path, clock: Clock) -> None:
    cache = cache_in(tmp_path, clock)
    path = cache.path("u", cache.store("u", [b"abc"]))
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_is_left_of_a_body_that_breaks_off(tmp_path: Path, clock: Clock) -> None:
    def body() -> Iterator[bytes]:
        yield b"half"
        assert [name for name in names(tmp_path) if name.endswith(".part")]
        raise ConnectionError

    cache = cache_in(tmp_path, clock)
    with pytest.raises(ConnectionError):
        cache.store("u", body())
    assert cache.find("u") is None
    assert names(tmp_path) == set()


def test_least_recently_used_goes_first(tmp_path: Path, clock: Clock) -> None:
    cache = cache_in(tmp_path, clock, limit=10)
    for url in "abc":
        cache.store(url, [b"xxx"])
    cache.find("a")
    cache.store("d", [b"xxx"])
    assert [url for url in "abcd" if cache.find(url)] == ["a", "c", "d"]
    assert bytes_in(tmp_path) == 9
    assert len(names(tmp_path)) == 6


def test_order_of_use_survives_a_restart(tmp_path: Path, clock: Clock) -> None:
    cache = cache_in(tmp_path, clock)
    for url in "abc":
        cache.store(url, [b"xxx"])
    cache.find("a")
    smaller = cache_in(tmp_path, clock, limit=7)
    assert [url for url in "abc" if smaller.find(url)] == ["a", "c"]


def test_newest_are_kept_even_when_too_large(tmp_path: Path, clock: Clock) -> None:
    cache = cache_in(tmp_path, clock, limit=5, keep=2)
    for url in "abc":
        cache.store(url, [b"0123456789"])
    assert [url for url in "abc" if cache.find(url)] == ["b", "c"]


def test_fewer_files_than_are_kept_are_all_kept(tmp_path: Path, clock: Clock) -> None:
    cache = cache_in(tmp_path, clock, limit=5, keep=4)
    for url in "abc":
        cache.store(url, [b"0123456789"])
    smaller = cache_in(tmp_path, clock, limit=1, keep=4)
    assert [url for url in "abc" if smaller.find(url)] == ["a", "b", "c"]


def test_older_version_stays_readable_until_there_is_no_room(tmp_path: Path, clock: Clock) -> None:
    cache = cache_in(tmp_path, clock, limit=10)
    old = cache.store("u", [b"old!"])
    new = cache.store("u", [b"new!"])
    assert cache.path("u", old).read_bytes() == b"old!"
    assert cache.find("u") == new
    cache.store("v", [b"other"])
    assert not cache.path("u", old).exists()
    assert content(cache, "u") == b"new!"


def test_same_content_again_is_one_file(tmp_path: Path, clock: Clock) -> None:
    cache = cache_in(tmp_path, clock)
    cache.store("u", [b"same"], "1")
    clock.now += 10
    again = cache.store("u", [b"same"], "2")
    assert (again.etag, again.checked, bytes_in(tmp_path)) == ("2", 1010.0, 4)
    assert content(cache, "u") == b"same"


def test_age_and_confirmation(tmp_path: Path, clock: Clock) -> None:
    cache = cache_in(tmp_path, clock)
    stored = cache.store("u", [b"x"], "1")
    clock.now += 400
    assert cache.age(stored) == 400
    cache.confirm("u", stored)
    found = cache_in(tmp_path, clock).find("u")
    assert found is not None
    assert cache.age(found) == 0
    cache.confirm("u", stored, 99)  # no longer what is there
    assert cache.find("u") == found
    cache.confirm("u", found, 270)
    renewed = cache.find("u")
    assert renewed is not None
    assert cache.age(renewed) == 270
    clock.now -= 10_000
    assert cache.age(renewed) == float("inf")


def test_dropped(tmp_path: Path, clock: Clock) -> None:
    cache = cache_in(tmp_path, clock)
    cache.store("u", [b"x"])
    cache.drop("u")
    cache.drop("u")
    assert cache.find("u") is None
    assert names(tmp_path) == set()
    assert bytes_in(tmp_path) == 0


def test_half_files_are_removed_and_foreign_ones_are_not(tmp_path: Path, clock: Clock) -> None:
    cache = cache_in(tmp_path, clock)
    kept = cache.store("kept", [b"kept"])
    for url in ("short", "no note", "bad note", "odd note"):
        cache.store(url, [url.encode()])
    key = {url: hashlib.sha256(url.encode()).hexdigest() for url in ("short", "no note", "bad note", "odd note")}
    folder = tmp_path / "cache"
    next(folder.glob(f"{key['short']}.*[!n]")).write_bytes(b"s")
    (folder / f"{key['no note']}.json").unlink()
    (folder / f"{key['bad note']}.json").write_text("{")
    (folder / f"{key['odd note']}.json").write_text(json.dumps({"content": "../../x", "size": 1}))
    (folder / f"{'a' * 64}.k3_j.part").write_bytes(b"half")
    (folder / f"{'a' * 64}.note.part").write_bytes(b"half")
    (folder / "somebody's.txt").write_bytes(b"theirs")
    again = cache_in(tmp_path, clock)
    assert again.find("kept") == kept
    assert [url for url in key if again.find(url)] == []
    mine = hashlib.sha256(b"kept").hexdigest()
    assert names(tmp_path) == {f"{mine}.json", again.path("kept", kept).name, "somebody's.txt"}


def test_file_that_vanished_or_shrank_is_not_found(tmp_path: Path, clock: Clock) -> None:
    cache = cache_in(tmp_path, clock)
    cache.path("a", cache.store("a", [b"abc"])).unlink()
    cache.path("b", cache.store("b", [b"abc"])).write_bytes(b"a")
    assert cache.find("a") is None
    assert cache.find("b") is None
    assert names(tmp_path) == set()


def test_cleared_folder_is_made_again(tmp_path: Path, clock: Clock) -> None:
    cache = cache_in(tmp_path, clock)
    (tmp_path / "cache").rmdir()
    cache.store("u", [b"x"])
    assert content(cache, "u") == b"x"
    assert cache.problem is None


def kept(cache: FileCache, url: str) -> bytes | None:
    """What is read of an image, wherever it is."""
    cached = cache.find(url)
    return None if cached is None else cache.source_file(url, cached, "a.png").path.read_bytes()


def test_what_no_disk_takes_is_read_from_memory(tmp_path: Path, clock: Clock) -> None:
    """A click on it was answered with 502, though the log said that clicks go on."""
    (tmp_path / "cache").touch()
    cache = cache_in(tmp_path, clock)
    stored = cache.store("u", [b"ab", b"c"], "1")
    assert kept(cache, "u") == b"abc"
    assert cache.problem == "fetched images are not kept in IMAGE_CACHE_DIR: File exists"
    clock.now += 400
    cache.confirm("u", stored)
    confirmed = cache.find("u")
    assert confirmed is not None
    assert cache.age(confirmed) == 0
    cache.drop("u")
    assert cache.find("u") is None
    (tmp_path / "cache").unlink()
    cache.store("u", [b"abc"])
    assert content(cache, "u") == b"abc"
    assert cache.problem is None


def test_disk_that_fills_up_in_the_middle_loses_nothing(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, write, room = cache_in(tmp_path, clock), Part.write, [4]

    def fills(part: Part, data: bytes) -> None:
        room[0] -= len(data)
        if room[0] < 0:
            os.write(part.file.fileno(), data[:1])  # as much as it took
            raise OSError(errno.ENOSPC, "No space left on device")
        write(part, data)

    monkeypatch.setattr(Part, "write", fills)
    cache.store("u", [b"ab", b"cd", b"ef", b"gh"])
    assert kept(cache, "u") == b"abcdefgh"
    assert cache.problem == "fetched images are not kept in IMAGE_CACHE_DIR: No space left on device"
    assert names(tmp_path) == set()


def test_disk_without_spare_room_is_left_alone(tmp_path: Path, clock: Clock) -> None:
    cache = FileCache(tmp_path / "cache", 1000, 0, clock, spare_bytes=1 << 60)
    cache.store("u", [b"x"])
    assert kept(cache, "u") == b"x"
    assert names(tmp_path) == set()
    assert "MiB would stay free on its disk" in str(cache.problem)


def test_memory_holds_no_more_than_its_limit(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "cache").touch()
    cache = FileCache(tmp_path / "cache", 1000, 0, clock, memory_bytes=10)
    read = cache.source_file("a", cache.store("a", [b"123456"]), "a.png")
    with pytest.raises(OSError, match="no disk takes it"):
        cache.store("b", [b"123456"])
    assert cache.find("a") is None
    assert read.path.read_bytes() == b"123456"  # for as long as it is read
    del read
    cache.store("b", [b"123456"])
    cache.store("c", [b"1234"])
    assert [url for url in "abc" if cache.find(url)] == ["b", "c"]
    with pytest.raises(OSError, match="no disk takes it"):
        cache.store("d", [b"12345678901"])


def test_what_arrives_counts_against_the_limit(tmp_path: Path, clock: Clock) -> None:
    """Only what was whole was counted."""
    cache = cache_in(tmp_path, clock, limit=10)
    cache.store("old", [b"1234"])

    def body() -> Iterator[bytes]:
        yield b"123456"
        assert cache.find("old") is not None
        yield b"7"
        assert cache.find("old") is None  # made room
        with pytest.raises(TooManyParts, match="others that arrive now take all of its 0 MB"):
            cache.store("other", [b"1234"])
        cache.store("small", [b"123"])

    cache.store("new", body())
    assert kept(cache, "new") == b"1234567"
    assert kept(cache, "small") == b"123"
    assert cache.problem is None
