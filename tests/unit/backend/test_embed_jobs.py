"""Many images ahead of the clicks: resumed, cancelled, and going on after single failures."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.embedding.disk_store import FOLDER, DiskStore
from backend.embedding.embed_jobs import WAITING_LIMIT, EmbedJobs
from backend.embedding.embed_progress import SHOWN_FAILURES, EmbedProgress
from backend.embedding.embeddings import Embeddings
from backend.embedding.entries import HEADER
from backend.errors import BadRequest, Busy, OutOfMemory
from backend.images.image_store import ImageStore, TaskImage
from backend.queue.scheduling import ModelQueue, Priority
from tests.unit.backend.caching import WAIT, Encoder, Folder, eventually, soon
from tests.unit.backend.queues import depth

PACKED_BYTES = 20


class House:
    """Everything that a job touches."""

    def __init__(self, path: Path, batch_size: int = 1, limit_bytes: int = 1_000_000) -> None:
        self.path = path
        self.folder = Folder(path)
        self.encoder = Encoder()
        self.queue = ModelQueue()
        self.queue.start()
        self.store = ImageStore(1_000_000, 1_000_000)
        self.disk = DiskStore(path / "cache", limit_bytes, spare_bytes=0)
        self.disk.start()
        self.embeddings = Embeddings(self.encoder, self.queue, 1_000_000, self.disk, "v")  # type: ignore[arg-type]
        self.now = 100.0
        self.jobs = EmbedJobs(self.store, self.embeddings, self.folder.open, batch_size, clock=lambda: self.now)
        self.jobs.start()

    def images(self, *values: int) -> list[TaskImage]:
        return [TaskImage(self.folder.draw(f"{value}.png", value), str(value)) for value in values]

    def progress(self, job: str) -> EmbedProgress:
        found = self.jobs.progress(job)
        assert found is not None
        return found

    def ended(self, job: str) -> EmbedProgress:
        eventually(lambda: self.progress(job).state not in ("waiting", "running"))
        return self.progress(job)

    def close(self) -> None:
        self.encoder.gate.set()
        self.jobs.close()
        self.queue.close()
        self.disk.close()


@pytest.fixture
def house(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[House]:
    options: dict[str, Any] = getattr(request, "param", {})
    house = House(tmp_path, **options)
    # Deadlines of the queue are in real time: the house's clock must be near it.
    house.now = soon() - WAIT
    yield house
    house.close()


def counts(found: EmbedProgress) -> tuple[int, int, int]:
    return found.encoded, found.skipped, found.failed


def test_every_image_is_on_the_disk_and_the_memory_is_left_alone(house: House) -> None:
    done = house.ended(house.jobs.submit("p1", house.images(1, 2, 3)))
    assert (done.state, done.total, counts(done), done.failures) == ("done", 3, (3, 0, 0), ())
    assert house.encoder.encoded == [1, 2, 3]
    assert len(list((house.path / "cache" / FOLDER).iterdir())) == 3
    assert house.embeddings.stats.held_images == 0
    assert house.store.memory_bytes == 0


def test_a_second_job_skips_what_is_there(house: House) -> None:
    house.ended(house.jobs.submit("p1", house.images(1, 2)))
    done = house.ended(house.jobs.submit("p1", house.images(1, 2, 3)))
    assert counts(done) == (1, 2, 0)
    assert house.encoder.encoded == [1, 2, 3]


def test_an_embedding_of_a_job_serves_a_click(house: House) -> None:
    house.ended(house.jobs.submit("p1", house.images(5)))
    info = house.store.describe(house.folder.file("5.png"))
    restarted = Embeddings(house.encoder, house.queue, 1_000_000, house.disk, "v")  # type: ignore[arg-type]
    answer = restarted.get(info, lambda: pytest.fail("needs no pixels"), Priority.CLICK, soon())
    assert answer.features == (5.0,)


@pytest.mark.parametrize("house", [{"batch_size": 4}], indirect=True)
def test_batches_keep_images_and_embeddings_together(house: House) -> None:
    images = house.images(*range(10))
    done = house.ended(house.jobs.submit("p1", images))
    assert counts(done) == (10, 0, 0)
    assert house.encoder.batches == [4, 4, 2]
    for value in range(10):
        info = house.store.describe(house.folder.file(f"{value}.png"))
        packed = house.disk.read(house.embeddings.key(info))
        assert packed is not None
        assert house.encoder.unpack(packed).features == (value,)


def test_failures_are_counted_and_named_and_the_rest_goes_on(house: House) -> None:
    (house.path / "broken.png").write_bytes(b"no image")
    missing = [TaskImage(f"missing{number}.png") for number in range(SHOWN_FAILURES + 5)]
    done = house.ended(house.jobs.submit("p1", [*missing, TaskImage("broken.png"), *house.images(7)]))
    assert (done.state, counts(done)) == ("done", (1, 0, SHOWN_FAILURES + 6))
    assert len(done.failures) == SHOWN_FAILURES
    assert (done.failures[0].image, done.failures[0].reason) == (
        "missing0.png",
        "the image 'missing0.png' is not there",
    )


def test_a_failing_url_is_named_without_its_secrets(house: House) -> None:
    urls = ["https://user:pass@host/bucket/a.png?X-Amz-Signature=secret", "https://[secret"]
    done = house.ended(house.jobs.submit("p1", [TaskImage(url) for url in urls]))
    assert {one.image for one in done.failures} == {"https://host/bucket/a.png", "a URL that cannot be read"}


def test_a_cancelled_job_leaves_nothing_at_the_model(house: House) -> None:
    gate = threading.Event()
    blocked = house.queue.submit(lambda: gate.wait(WAIT), Priority.CLICK, deadline=soon())
    job = house.jobs.submit("p1", house.images(1, 2, 3))
    eventually(lambda: depth(house.queue, Priority.BATCH) == 2)
    assert house.jobs.cancel(job)
    assert house.ended(job).state == "cancelled"
    assert depth(house.queue, Priority.BATCH) == 0
    gate.set()
    blocked.result()
    assert house.encoder.batches == []


@pytest.mark.parametrize("house", [{"batch_size": 3}], indirect=True)
def test_a_batch_without_memory_is_done_image_by_image(house: House) -> None:
    # Both tries of the batch fail, then both of the first image alone.
    house.encoder.errors = [OutOfMemory("full") for _ in range(4)]
    done = house.ended(house.jobs.submit("p1", house.images(1, 2, 3)))
    assert counts(done) == (2, 0, 1)
    assert done.failures[0].reason == "full"
    assert house.encoder.encoded == [2, 3]


@pytest.mark.parametrize("house", [{"batch_size": 4}], indirect=True)
def test_batches_become_smaller_once_the_memory_did_not_suffice(house: House) -> None:
    house.encoder.errors = [OutOfMemory("full"), OutOfMemory("full")]
    done = house.ended(house.jobs.submit("p1", house.images(*range(14))))
    assert counts(done) == (14, 0, 0)
    # The second batch was queued already. A batch that fails is tried twice, then image by image.
    assert house.encoder.batches == [4, 4, 4, 1, 1, 1, 1, 2, 2, 2]


def test_a_click_goes_before_the_rest_of_a_job(house: House) -> None:
    house.encoder.hold()
    job = house.jobs.submit("p1", house.images(1, 2, 3))
    house.encoder.wait_until_begun()
    eventually(lambda: depth(house.queue, Priority.BATCH) == 1)  # the next one is read already
    click = house.queue.submit(lambda: house.encoder.encoded.append(-1.0), Priority.CLICK, deadline=soon())
    house.encoder.gate.set()
    click.result()
    house.ended(job)
    assert house.encoder.encoded == [1, -1, 2, 3]


def test_a_cancelled_job_stops_and_another_begins(house: House) -> None:
    house.encoder.hold()
    images = house.images(*range(1, 6))
    first = house.jobs.submit("p1", images)
    house.encoder.wait_until_begun()
    second = house.jobs.submit("p2", images[4:])
    assert house.progress(second).state == "waiting"
    assert house.jobs.cancel(first)
    assert not house.jobs.cancel(first)
    house.encoder.gate.set()
    assert house.ended(first).state == "cancelled"
    assert house.ended(second).state == "done"
    assert len(house.encoder.encoded) <= 3
    assert not house.jobs.cancel(second)
    assert not house.jobs.cancel("unknown")
    assert house.jobs.progress("unknown") is None


def test_a_waiting_job_can_be_cancelled(house: House) -> None:
    house.encoder.hold()
    first = house.jobs.submit("p1", house.images(1))
    house.encoder.wait_until_begun()
    second = house.jobs.submit("p2", house.images(2))
    assert house.jobs.cancel(second)
    assert house.progress(second).state == "cancelled"
    house.encoder.gate.set()
    house.ended(first)
    assert house.encoder.encoded == [1]


def test_the_same_key_again_is_the_same_job_while_it_runs(house: House) -> None:
    house.encoder.hold()
    first = house.jobs.submit("p1", house.images(1))
    house.encoder.wait_until_begun()
    assert house.jobs.submit("p1", house.images(1)) == first
    house.encoder.gate.set()
    house.ended(first)
    assert house.jobs.submit("p1", house.images(1)) != first


def test_waiting_jobs_are_bounded(house: House) -> None:
    house.encoder.hold()
    images = house.images(1)
    house.jobs.submit("running", images)
    house.encoder.wait_until_begun()
    for number in range(WAITING_LIMIT):
        house.jobs.submit(str(number), images)
    with pytest.raises(Busy, match="16 embed jobs wait already"):
        house.jobs.submit("one more", images)
    assert len(house.jobs.all()) == WAITING_LIMIT + 1


def test_rate_and_time_left(house: House) -> None:
    house.encoder.hold()
    job = house.jobs.submit("p1", house.images(1, 2, 3, 4))
    house.encoder.wait_until_begun()
    assert house.progress(job).eta_seconds is None
    house.now += 2.0
    house.encoder.gate.set()
    done = house.ended(job)
    assert (done.seconds, done.images_per_second, done.eta_seconds) == (2.0, 2.0, None)


def test_time_left_while_it_runs(house: House) -> None:
    gate, encode = threading.Event(), house.encoder.encode

    def held_at_the_third(image: Any) -> Any:
        if image.values.mean() == 3:
            assert gate.wait(WAIT)
        return encode(image)

    house.encoder.encode = held_at_the_third  # type: ignore[method-assign]
    job = house.jobs.submit("p1", house.images(1, 2, 3, 4))
    eventually(lambda: house.progress(job).encoded == 2)
    house.now += 4.0
    found = house.progress(job)
    assert (found.state, found.images_per_second, found.eta_seconds) == ("running", 0.5, 4.0)
    gate.set()
    house.ended(job)


def test_a_disk_that_fails_ends_the_job_with_the_reason(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("backend.caching.disk_lru.os.write", full)
    done = house.ended(house.jobs.submit("p1", house.images(*range(1, 9))))
    assert (done.state, done.problem) == (
        "failed",
        "embeddings are not kept in EMBEDDING_CACHE_DIR: No space left on device",
    )
    assert len(house.encoder.encoded) <= 2


@pytest.mark.parametrize("house", [{"limit_bytes": 2 * (PACKED_BYTES + HEADER.size)}], indirect=True)
def test_says_when_the_disk_cache_is_too_small_for_all(house: House) -> None:
    done = house.ended(house.jobs.submit("p1", house.images(*range(9))))
    assert done.state == "done"
    assert "of 9 images: raise EMBEDDING_CACHE_DISK_MB" in (done.problem or "")


def test_a_defect_ends_one_job_not_the_next(house: House, caplog: pytest.LogCaptureFixture) -> None:
    images = house.images(1, 2)
    house.encoder.errors = [RuntimeError("a defect")]
    failed = house.ended(house.jobs.submit("p1", images))
    assert (failed.state, failed.problem) == ("failed", "unexpected RuntimeError; the log has the details")
    assert house.ended(house.jobs.submit("p1", images)).state == "done"
    assert "failed unexpectedly" in caplog.text


def test_refuses_what_cannot_be_done(house: House) -> None:
    nowhere = EmbedJobs(house.store, Embeddings(house.encoder, house.queue, 1, None, "v"), house.folder.open)  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="set EMBEDDING_CACHE_DIR"):
        nowhere.submit("p1", house.images(1))
    with pytest.raises(ValueError, match="got 0 and 2"):
        EmbedJobs(house.store, house.embeddings, house.folder.open, batch_size=0)
