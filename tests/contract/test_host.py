"""What every host must do: the same body on the fake and on the real one."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import CommandFailed, CommandTimedOut, FileAccessError
from hosts.base import Host
from hosts.local import LocalHost
from hosts.ssh import SshHost
from tests.fakes import FakeHost
from tests.sshd import Sshd


def scripted() -> FakeHost:
    host = FakeHost()
    host.script("printf", "%s\\n", "a b", "$HOME", stdout="a b\n$HOME\n")
    host.script("sh", "-c", "echo out; echo err >&2; exit 3", exit_code=3, stdout="out\n", stderr="err\n")
    host.script("printf", "a\\nb\\n\\nc", stdout="a\nb\n\nc")
    host.script("no-such-program", exit_code=127, stderr="no-such-program: No such file or directory")
    host.answers["sleep", "60"] = CommandTimedOut(
        "fake host: `sleep 60` did not end in 0.2 s and was stopped; its last line: (none)"
    )
    return host


@pytest.fixture(params=["fake", "local", "ssh"])
def host(request: pytest.FixtureRequest) -> Host:
    if request.param == "ssh":
        server: Sshd = request.getfixturevalue("sshd")
        make: Callable[..., SshHost] = request.getfixturevalue("connected")
        return make(server)
    return scripted() if request.param == "fake" else LocalHost()


@pytest.fixture(params=["local", "ssh"])
def real_host(request: pytest.FixtureRequest) -> Host:
    """Where files and processes are looked at beside the host: both are on this machine."""
    return LocalHost() if request.param == "local" else request.getfixturevalue("lab")


def test_arguments_arrive_as_they_are(host: Host) -> None:
    assert host.run("printf", "%s\\n", "a b", "$HOME").stdout == "a b\n$HOME\n"


def test_an_unexpected_exit_code_raises_with_the_last_lines(host: Host) -> None:

    with pytest.raises(CommandFailed) as caught:
        host.run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert str(caught.value) == (
        f"{host.name}: `sh -c 'echo out; echo err >&2; exit 3'` ended with exit code 3; its last lines:\n"
        "    out\n    err"
    )


def test_an_exit_code_that_is_an_answer_is_returned(host: Host) -> None:
    result = host.run("sh", "-c", "echo out; echo err >&2; exit 3", ok=(0, 3))
    assert (result.exit_code, result.stdout, result.stderr, result.ok) == (3, "out\n", "err\n", False)


def test_lines_are_shown_as_they_come(host: Host) -> None:
    seen: list[str] = []
    host.run("sh", "-c", "echo out; echo err >&2; exit 3", ok=(3,), on_line=seen.append)
    assert sorted(seen) == ["err", "out"]


def test_of_output_without_an_end_the_last_lines_are_kept(host: Host) -> None:
    seen: list[str] = []
    assert host.run("printf", "a\\nb\\n\\nc", on_line=seen.append, tail=2).stdout == "\nc"
    assert seen == ["a", "b", "", "c"]
    assert host.run("printf", "a\\nb\\n\\nc", tail=9).stdout == "a\nb\n\nc"


def test_a_missing_program_is_exit_code_127(host: Host) -> None:
    with pytest.raises(CommandFailed, match=r"no-such-program.* exit code 127"):
        host.run("no-such-program")
    assert host.run("no-such-program", ok=(127,)).exit_code == 127


def test_a_command_that_does_not_end_is_stopped(host: Host) -> None:
    with pytest.raises(CommandTimedOut, match=r"`sleep 60` did not end in 0\.2 s and was stopped"):
        host.run("sleep", "60", timeout=0.2)


def test_a_file_is_read_as_it_was_written(host: Host, tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "file")
    assert host.read(path) is None
    host.write(path, b"first \xff", 0o600)
    host.write(path, b"second \xff", 0o600)
    assert host.read(path) == b"second \xff"


class TestReal:
    def test_a_time_out_reaches_the_children(self, real_host: Host, tmp_path: Path) -> None:
        marker = tmp_path / "alive"
        script = f"(sleep 1; touch {marker}) & sleep 60"
        with pytest.raises(CommandTimedOut):
            real_host.run("sh", "-c", script, timeout=0.2)
        # The child was in the same process group: it is gone, so nothing can make the marker any more.
        assert LocalHost().run("pgrep", "-f", str(marker), ok=(0, 1)).exit_code == 1
        assert not marker.exists()

    def test_a_file_has_its_mode_and_leaves_nothing_beside_it(self, real_host: Host, tmp_path: Path) -> None:
        real_host.write(str(tmp_path / "secret"), b"x", 0o600)
        assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]
        assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600

    def test_a_file_that_cannot_be_replaced_keeps_its_content(self, real_host: Host, tmp_path: Path) -> None:
        target = tmp_path / "taken"
        target.mkdir()
        with pytest.raises(FileAccessError, match=r"cannot write .*/taken: Is a directory"):
            real_host.write(str(target), b"x")
        assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]

    def test_a_folder_cannot_be_read(self, real_host: Host, tmp_path: Path) -> None:
        with pytest.raises(FileAccessError) as caught:
            real_host.read(str(tmp_path))
        assert str(caught.value) == f"{real_host.name}: cannot read {tmp_path}: Is a directory"

    def test_no_file_is_below_a_file(self, real_host: Host, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert real_host.read(str(tmp_path / "file" / "below")) is None

    def test_standard_input_reaches_the_command(self, real_host: Host, tmp_path: Path) -> None:
        assert real_host.run("cat", stdin=b"hello").stdout == "hello"
        (tmp_path / "content").write_bytes(b"from a file")
        with (tmp_path / "content").open("rb") as file:
            assert real_host.run("cat", stdin=file).stdout == "from a file"

    def test_an_input_that_cannot_be_read_is_said(self, real_host: Host) -> None:
        class Broken:
            def read(self, _size: int = -1) -> bytes:
                raise OSError(5, "Input/output error")

        with pytest.raises(FileAccessError, match=r": cannot read the input of `cat`: .*Input/output error"):
            real_host.run("cat", stdin=Broken())  # type: ignore[arg-type]

    def test_nothing_reads_the_input_after_the_command(self, real_host: Host) -> None:
        class Slow:
            closed = False
            too_late = False

            def read(self, _size: int = -1) -> bytes:
                self.too_late |= self.closed
                time.sleep(0.3)
                self.too_late |= self.closed
                return b""

        slow = Slow()
        real_host.run("true", stdin=slow)  # type: ignore[arg-type]
        slow.closed = True
        time.sleep(0.5)
        assert not slow.too_late

    def test_without_standard_input_there_is_an_empty_one(self, real_host: Host) -> None:
        assert real_host.run("wc", "-c").stdout.strip() == "0"
