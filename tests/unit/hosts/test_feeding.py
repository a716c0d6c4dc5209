"""A command whose standard input is written while it runs: which error is the one to show."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import IO

import pytest

from core.errors import CommandFailed, SettingsError
from hosts.feeding import run_fed
from hosts.local import LocalHost

MIB = 1024**2


def test_what_is_written_is_its_input() -> None:
    assert run_fed(LocalHost(), "cat", write=lambda pipe: _write(pipe, b"abc")).stdout == "abc"


def test_the_cause_is_shown_and_not_its_effect(tmp_path: Path) -> None:
    """A stick that is pulled out: tar fails too, since half of an archive came."""

    class PulledOut(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= MIB:
                raise SettingsError("out.tar cannot be read: Input/output error")
            return super().read(size)

    def pulled_out(pipe: IO[bytes]) -> None:
        with tarfile.open(fileobj=pipe, mode="w|") as tar:
            entry = tarfile.TarInfo("one.deb")
            entry.size = 4 * MIB
            tar.addfile(entry, PulledOut(b"a" * 4 * MIB))

    with pytest.raises(SettingsError, match=r"^out.tar cannot be read: Input/output error$") as raised:
        run_fed(LocalHost(), "tar", "--extract", "--file", "-", "--directory", str(tmp_path), write=pulled_out)
    assert isinstance(raised.value.__cause__, CommandFailed)


def test_a_command_that_ends_early_is_the_cause_itself() -> None:
    with pytest.raises(CommandFailed, match=r"`sh -c 'exit 3'` ended with exit code 3"):
        run_fed(LocalHost(), "sh", "-c", "exit 3", write=lambda pipe: _write(pipe, b"a" * 4 * MIB))


def _write(pipe: IO[bytes], content: bytes) -> None:
    pipe.write(content)
