"""kill -9 while embeddings are written: the next start finds whole entries or none, and nothing half-written."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from backend.caching.disk_lru import PART
from backend.embedding.disk_store import FOLDER, DiskStore

ROOT = Path(__file__).parents[3]
LIMIT = 40 * 1024**2
PAYLOAD_BYTES = 4 * 1024**2
KEYS = 30
ROUNDS = 12

PAYLOAD = f"""
import hashlib, sys
from pathlib import Path
from backend.embedding.disk_store import DiskStore

def payload(key):
    return hashlib.sha256(key.encode()).digest() * ({PAYLOAD_BYTES} // 32)

store = DiskStore(Path(sys.argv[1]), {LIMIT}, spare_bytes=0)
store.start()
"""

WRITE_FOREVER = (
    PAYLOAD
    + f"""
import random
print("ready", flush=True)
while True:
    key = str(random.randrange({KEYS}))
    if store.read(key) is None:
        store.write_later(key, lambda: payload(key))
        store.flush(30)
"""
)

# Ends itself, as by kill -9, in the middle of the second write: at the point that the second argument names.
DIE_AT = (
    PAYLOAD
    + """
import os, signal
from pathlib import Path
point, real_write, real_replace, real_open = sys.argv[2], os.write, Path.replace, Path.open
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def write(descriptor, data):
    if point == "empty":
        die()
    if point == "after the header" and len(data) > 1000:
        die()
    if point == "in the payload" and len(data) > 1000:
        real_write(descriptor, data[: len(data) // 2])
        die()
    return real_write(descriptor, data)
def replace(self, target):
    if point == "before the move":
        die()
    real_replace(self, target)
    if point == "after the move":
        die()
store.write("0", payload("0"))
os.write, Path.replace = write, replace
store.write("1", payload("1"))
"""
)


def expected(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest() * (PAYLOAD_BYTES // 32)


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen((sys.executable, "-c", code, *arguments), cwd=ROOT, stdout=subprocess.PIPE, text=True)


def restarted(folder: Path) -> DiskStore:
    store = DiskStore(folder, LIMIT, spare_bytes=0)
    store.start()
    return store


def leftovers(folder: Path) -> list[str]:
    return [one.name for one in (folder / FOLDER).iterdir() if PART.fullmatch(one.name)]


@pytest.mark.parametrize("point", ["empty", "after the header", "in the payload", "before the move", "after the move"])
def test_killed_at_each_point_of_a_write(tmp_path: Path, point: str) -> None:
    process = child(DIE_AT, str(tmp_path), point)
    with process:
        assert process.wait(60) == -signal.SIGKILL
    assert bool(leftovers(tmp_path)) == (point != "after the move")
    store = restarted(tmp_path)
    assert leftovers(tmp_path) == []
    assert store.read("0") == expected("0")
    assert store.read("1") == (expected("1") if point == "after the move" else None)
    assert store.stats.damaged == 0
    assert store.write("1", expected("1"))
    assert store.read("1") == expected("1")


def test_killed_repeatedly_beside_another_process(tmp_path: Path) -> None:
    """The other process is this one: it reads, writes and makes room all the time."""
    chance = random.Random(1)
    ours, over, wrong = restarted(tmp_path), threading.Event(), []

    def use() -> None:
        while not over.is_set():
            key = str(random.randrange(KEYS))
            found = ours.read(key)
            if found is None:
                ours.write(key, expected(key))
            elif found != expected(key):
                wrong.append(key)

    user = threading.Thread(target=use)
    user.start()
    try:
        for _ in range(ROUNDS):
            with child(WRITE_FOREVER, str(tmp_path)) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                over.wait(chance.uniform(0, 0.08))  # the moment of the kill is the point of the test
                os.kill(process.pid, signal.SIGKILL)
    finally:
        over.set()
        user.join(60)
    store = restarted(tmp_path)
    assert leftovers(tmp_path) == []
    held = [one.stat().st_size for one in (tmp_path / FOLDER).iterdir()]
    assert held
    assert sum(held) <= LIMIT
    for key in map(str, range(KEYS)):
        assert store.read(key) in (None, expected(key))
    assert wrong == []
    assert ours.stats.damaged == store.stats.damaged == 0
    assert ours.stats.problem is None
