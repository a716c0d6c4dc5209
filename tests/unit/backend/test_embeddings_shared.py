"""What one process encoded is found by another, where their hosts share a folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.embedding.disk_store import DiskStore
from backend.embedding.embed_jobs import EmbedJobs
from backend.embedding.embeddings import Embeddings
from backend.embedding.shared_folder import SharedFolder
from backend.embedding.shared_store import SharedStore
from backend.images.image_store import ImageStore, TaskImage
from backend.queue.scheduling import ModelQueue, Priority
from tests.unit.backend.caching import WAIT, Encoder, Folder, eventually, info, pixels, soon


class Process:
    """A process of one host: its own encoder, memory and disk, and the folder that all share."""

    def __init__(self, own: Path, shared: Path, read_seconds: float = WAIT) -> None:
        self.encoder = Encoder()
        self.queue = ModelQueue()
        self.queue.start()
        self.disk = DiskStore(own, 1_000_000, spare_bytes=0)
        self.disk.start()
        self.folder = SharedFolder(shared, 1_000_000, spare_bytes=0)
        self.shared = SharedStore(self.folder, read_seconds=read_seconds)
        self.shared.start()
        self.embeddings = Embeddings(self.encoder, self.queue, 1_000_000, self.disk, "v", self.shared)  # type: ignore[arg-type]

    def get(self, number: int = 0, value: int = 7) -> float:
        found = self.embeddings.get(info(number), lambda: pixels(value), Priority.CLICK, soon())
        return float(found.features[0])

    def flush(self) -> None:
        assert self.disk.flush(WAIT)
        assert self.shared.flush(WAIT)

    def close(self) -> None:
        self.queue.close()
        self.disk.close()
        self.shared.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Process, Process]]:
    (tmp_path / "shared").mkdir()
    processes = [Process(tmp_path / name, tmp_path / "shared") for name in "ab"]
    yield processes[0], processes[1]
    for one in processes:
        one.close()


def test_moved_image_is_not_encoded_again(pair: tuple[Process, Process]) -> None:
    """Neither there, nor after that process has lost its memory: its own disk has a copy."""
    first, second = pair
    assert first.get() == 7
    first.flush()
    assert second.get(value=9) == 7
    assert (second.encoder.encoded, second.embeddings.stats.shared_hits) == ([], 1)
    second.flush()
    assert second.embeddings.key(info()) in second.disk
    again = Embeddings(second.encoder, second.queue, 1_000_000, second.disk, "v", second.shared)  # type: ignore[arg-type]
    assert again.get(info(), lambda: pixels(9), Priority.CLICK, soon()).features == (7.0,)
    assert (again.stats.disk_hits, again.stats.shared_hits, second.shared.stats.hits) == (1, 0, 1)


def test_entry_of_another_model_is_computed_anew(pair: tuple[Process, Process]) -> None:
    """Sound as a file, and not what this model reads: it goes, and the right one takes its place."""
    first, second = pair
    first.folder.write(first.embeddings.key(info()), b"of another model")
    assert second.get() == 7
    second.flush()
    assert first.get(value=9) == 7
    assert (first.encoder.encoded, second.shared.stats.damaged) == ([], 1)


def test_dead_server_costs_one_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then images are encoded as if there were no such folder."""
    gate, asked = threading.Event(), []

    def hanging(_self: SharedFolder, key: str) -> None:
        asked.append(key)
        assert gate.wait(WAIT)

    monkeypatch.setattr(SharedFolder, "read", hanging)
    process = Process(tmp_path / "own", tmp_path, read_seconds=0.05)
    assert [process.get(number, number) for number in range(4)] == [0, 1, 2, 3]
    assert len(asked) == 1
    assert process.shared.stats.problem is not None
    gate.set()
    process.close()


def test_job_takes_what_another_host_has(pair: tuple[Process, Process], tmp_path: Path) -> None:
    """`./inv embed` encodes an image once for all hosts, and shares what it encodes."""
    pictures = Folder(tmp_path)
    images = [TaskImage(pictures.draw(f"{value}.png", value), str(value)) for value in range(5)]
    counted = []
    for process, wanted in ((pair[0], images[:3]), (pair[1], images)):
        jobs = EmbedJobs(ImageStore(1_000_000, 1_000_000), process.embeddings, pictures.open)
        jobs.start()
        job = jobs.submit("p", wanted)
        eventually(lambda jobs=jobs: jobs.all()[0].state == "done")  # type: ignore[misc]
        progress = jobs.progress(job)
        assert progress is not None
        counted.append((progress.encoded, progress.skipped, progress.failed))
        jobs.close()
        process.flush()
    assert counted == [(3, 0, 0), (2, 3, 0)]
    assert pair[1].encoder.encoded == [3, 4]
    assert pair[1].shared.stats.written == 2
