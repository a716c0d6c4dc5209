"""Commands on a machine behind SSH: what only a real connection can show."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import CommandFailed, CommandTimedOut, ConnectionLost, LoginRefused
from hosts.ssh import SshHost
from tests.contract.conftest import RUN_ID, User
from tests.sshd import Sshd

Connected = Callable[..., SshHost]
SECONDS = 10
MEGABYTE = 1 << 20


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def processes_with(variable: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if variable.encode() in entry.read_bytes().split(b"\0"):
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="makes users: needs root")
@pytest.mark.parametrize("shell", ["tcsh", "bash", "sh"])
def test_any_login_shell(sshd: Sshd, connected: Connected, user: User, shell: str) -> None:
    """csh takes `>&2` for a file named 2, and a quoted line break for an error."""
    program = shutil.which(shell)
    assert program is not None, f"this test needs {shell}: `./inv test` as root installs it"
    subprocess.run(("usermod", "--shell", program, user.name), check=True)
    user.may("USER ALL=(ALL) NOPASSWD: ALL")
    home = Path("/home") / user.name
    before = sorted(home.iterdir())
    host: SshHost = connected(sshd, user=user.name)
    argument = "it's\n!! $HOME * ñ =1 " + "x" * 3000
    assert host.run("printf", "%s", argument).stdout == argument
    said = host.run("sh", "-c", "echo out\necho err >&2; exit 7", ok=(7,))
    assert (said.stdout, said.stderr) == ("out\n", "err\n")
    assert host.run("cat", stdin=b"one\ntwo").stdout == "one\ntwo"
    assert host.run("id", "-u", as_root=True).stdout == "0\n"
    host.write(f"{home}/kept", b"\0\n", 0o600)
    assert host.read(f"{home}/kept") == b"\0\n"
    assert sorted(home.iterdir()) == sorted([*before, home / "kept"])


@pytest.mark.parametrize(
    "argument",
    [
        "it's",
        'say "so"',
        "$HOME `id` $(id)",
        "a\nb",
        "año ñandú 日本",
        "",
        "*",
        "-n",
        "a\\b",
        "!!",
        "a;b&c|d>e",
        "~",
        "#",
    ],
)
def test_an_argument_arrives_as_it_is(lab: SshHost, argument: str) -> None:
    assert lab.run("printf", "%s|", argument, "end").stdout == f"{argument}|end|"


def test_commands_carry_the_mark_of_the_run_and_locale_c(lab: SshHost) -> None:
    """Commands carry the mark of the run and a neutral language."""
    lines = lab.run("env").stdout.splitlines()
    assert f"LABELRIG_RUN={RUN_ID}" in lines
    assert "LC_ALL=C.UTF-8" in lines


def test_a_signal_is_an_exit_code(lab: SshHost) -> None:
    assert lab.run("sh", "-c", "kill -9 $$", ok=(137,)).exit_code == 137


def test_an_early_exit_code_of_a_time_out_is_the_command_s_own(lab: SshHost) -> None:
    """An exit code of a time out that came early is the command's own."""
    assert lab.run("sh", "-c", "exit 124", ok=(124,)).exit_code == 124


def test_50_megabytes_of_standard_input_arrive(lab: SshHost, tmp_path: Path) -> None:
    content = os.urandom(MEGABYTE) * 50
    expected = hashlib.sha256(content).hexdigest()
    assert lab.run("sha256sum", stdin=content).stdout.split()[0] == expected
    (tmp_path / "content").write_bytes(content)
    with (tmp_path / "content").open("rb") as file:
        assert lab.run("sha256sum", stdin=file).stdout.split()[0] == expected


def test_much_output_on_both_streams_arrives(lab: SshHost) -> None:
    result = lab.run("sh", "-c", "yes stdout | head -c 20000000 & yes stderr | head -c 20000000 >&2; wait")
    assert (len(result.stdout), len(result.stderr)) == (20_000_000, 20_000_000)
    assert set(result.stdout[:20_000_000].split("\n")[:-1]) == {"stdout"}


def test_a_command_that_reads_no_input_ends_all_the_same(lab: SshHost) -> None:
    assert lab.run("true", stdin=b"x" * 20 * MEGABYTE).ok


def test_lines_come_while_the_command_runs(lab: SshHost) -> None:
    came: list[float] = []
    lab.run("sh", "-c", "echo one; sleep 0.5; echo two", on_line=lambda _line: came.append(time.monotonic()))
    assert came[1] - came[0] > 0.3


def test_a_daemon_that_keeps_the_output_open_is_not_waited_for(lab: SshHost) -> None:
    began = time.monotonic()
    assert lab.run("sh", "-c", "echo started; setsid sleep 30 & exit 0").stdout == "started\n"
    assert time.monotonic() - began < 15
    lab.run("pkill", "-f", "^sleep 30$", ok=(0, 1))


def test_a_time_out_ends_the_process_there(lab: SshHost) -> None:
    with pytest.raises(CommandTimedOut) as caught:
        lab.run("sh", "-c", "echo busy; exec sleep 61.5", timeout=0.5)
    assert str(caught.value) == (
        "lab: `sh -c 'echo busy; exec sleep 61.5'` did not end in 0.5 s and was stopped; its last line: busy"
    )
    assert lab.run("pgrep", "-f", "^sleep 61.5$", ok=(0, 1)).exit_code == 1


def test_an_interrupt_ends_the_process_there(lab: SshHost) -> None:
    def interrupt(_line: str) -> None:
        threading.Thread(target=lambda: os.kill(os.getpid(), 2)).start()

    # Whoever starts the tests in the background has them ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            lab.run("sh", "-c", "echo ready; exec sleep 62.5", on_line=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    wait_until(lambda: not lab.run("pgrep", "-f", "^sleep 62.5$", ok=(0, 1)).ok)


def test_several_threads_share_a_host(lab: SshHost) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: lab.run("sh", "-c", f"sleep 0.2; echo {number}").stdout, range(32)))
    assert answers == [f"{number}\n" for number in range(32)]


def test_reconnects_after_a_connection_lost_under_a_command(own_sshd: Sshd, connected: Connected) -> None:
    """A connection that dies under a command is said and the next one connects."""
    host = connected(own_sshd)
    host.run("true")
    with pytest.raises(ConnectionLost) as caught:
        host.run("sh", "-c", "echo on; exec sleep 63.5", on_line=lambda _line: own_sshd.kill_sessions())
    assert re.fullmatch(
        r"lab: the connection was lost while `sh -c 'echo on; exec sleep 63\.5'` ran.*; "
        r"run the same command again: it goes on from where it was",
        str(caught.value),
    )
    assert host.run("echo", "again").stdout == "again\n"


def test_reconnecting_begins_a_new_session(own_sshd: Sshd, connected: Connected) -> None:
    host = connected(own_sshd)
    before = host.run("sh", "-c", "ps -o ppid= -p $PPID").stdout
    assert host.reconnect()
    assert host.run("sh", "-c", "ps -o ppid= -p $PPID").stdout != before


def test_closing_twice_is_harmless_and_the_next_command_connects(lab: SshHost) -> None:
    """Closing twice does no harm and the next command connects."""
    lab.close()
    lab.run("true")
    lab.close()
    lab.close()
    assert lab.run("echo", "open").stdout == "open\n"


def test_no_content_shows_in_the_process_list(lab: SshHost, tmp_path: Path) -> None:
    secret = b"very-secret-5c1e"
    seen: list[bytes] = []

    def look(_line: str) -> None:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.append(entry.read_bytes())
            except OSError:
                continue

    lab.run("sh", "-c", "echo ready; sleep 0.3; cat >/dev/null", stdin=secret, on_line=look)
    assert any(b"sleep 0.3" in line for line in seen)
    lab.write(str(tmp_path / "secret"), secret, 0o600)
    assert not any(secret in line for line in seen)


def login_shell(own_sshd: Sshd, text: str, tmp_path: Path) -> None:
    """Let what the user logs in with run `text` first, as a ~/.bashrc does."""
    script = tmp_path / "shell"
    script.write_text(f'#!/bin/sh\n{text}\nexec sh -c "$SSH_ORIGINAL_COMMAND"\n')
    script.chmod(0o755)
    key = own_sshd.key.with_name("client_key.pub").read_text()
    own_sshd.authorized_keys.write_text(f'command="{script}" {key}')


def test_output_of_a_login_script_is_not_the_command_s(own_sshd: Sshd, connected: Connected, tmp_path: Path) -> None:
    """What a login script prints is none of the command's output."""
    login_shell(own_sshd, "echo Welcome to the lab; echo mind the noise >&2", tmp_path)
    host = connected(own_sshd)
    seen: list[str] = []
    result = host.run("sh", "-c", "echo out; echo err >&2", on_line=seen.append)
    assert (result.stdout, result.stderr, sorted(seen)) == ("out\n", "err\n", ["err", "out"])
    (tmp_path / "file").write_bytes(b"exactly this \xff")
    assert host.read(str(tmp_path / "file")) == b"exactly this \xff"


def test_a_login_shell_that_runs_nothing_is_said(own_sshd: Sshd, connected: Connected, tmp_path: Path) -> None:
    login_shell(own_sshd, "echo This account is not available.; exit 1", tmp_path)
    with pytest.raises(LoginRefused, match=r"runs no commands \(it says: This account is not available\.\); give"):
        connected(own_sshd).run("true")


def test_a_failed_command_shows_the_command_without_our_wrapping(lab: SshHost) -> None:
    with pytest.raises(CommandFailed, match=r"^lab: `ls /no/such` ended with exit code 2; its last lines:\n    ls: "):
        lab.run("ls", "/no/such")
    assert processes_with(f"LABELRIG_RUN={RUN_ID}") == []
