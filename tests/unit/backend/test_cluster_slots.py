"""Places of replicas on one host."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backend.cluster.replica import of_replica
from backend.cluster.slots import MOST, Slot
from backend.errors import SettingsError
from backend.settings import Settings

HOLD = """
import sys, time
from pathlib import Path
from backend.cluster.slots import Slot
slot = Slot(Path(sys.argv[1]))
print(slot.number, flush=True)
time.sleep(60)
"""


def test_place_of_a_killed_process_is_free_again(tmp_path: Path) -> None:
    first = Slot(tmp_path)
    other = subprocess.Popen((sys.executable, "-c", HOLD, str(tmp_path)), stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "1\n"
        third = Slot(tmp_path)
        assert (first.number, third.number) == (0, 2)
        assert len({first.folder, third.folder}) == 2
    finally:
        os.kill(other.pid, signal.SIGKILL)
        other.communicate()
    fourth = Slot(tmp_path)
    assert fourth.number == 1
    for slot in (first, third, fourth):
        slot.close()
    again = Slot(tmp_path)
    assert again.number == 0
    again.close()


def test_full_host_is_one_sentence(tmp_path: Path) -> None:
    slots = [Slot(tmp_path) for _ in range(MOST)]
    with pytest.raises(SettingsError, match=f"has places for {MOST} replicas, and all are taken"):
        Slot(tmp_path)
    for slot in slots:
        slot.close()


def test_replicas_of_a_host_share_no_folder(settings: Settings, tmp_path: Path) -> None:
    password = tmp_path / "password"
    own = settings.model_copy(update={"embedding_cache_dir": tmp_path, "backend_password_file": password})
    one, other = Slot(tmp_path), Slot(tmp_path)
    found = [of_replica(own, slot) for slot in (one, other)]
    assert [of.embedding_cache_dir for of in found] == [tmp_path / "replica-0", tmp_path / "replica-1"]
    assert {of.backend_password_file for of in found} == {None}
    one.close()
    other.close()
