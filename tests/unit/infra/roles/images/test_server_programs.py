"""Programs in Label Studio's container, split off from a process that has loaded what they need."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.waiting import wait_for
from tests.unit.infra.roles.images.server_modules import SERVER

LOADED = "labelrig_test_loaded"
SERVE = f"""
import sys, types
sys.path.insert(0, sys.argv[1])
sys.modules["{LOADED}"] = types.ModuleType("{LOADED}")
import labelrig_programs
labelrig_programs.serve(sys.argv[2])
"""
ASK = """
import sys
sys.path.insert(0, sys.argv[1])
import labelrig_programs
labelrig_programs.SOCKET = sys.argv[2]
sys.exit(labelrig_programs.main())
"""
IS_LOADED = f"import sys; print({LOADED!r} in sys.modules, sys.argv)"


def ask(path: Path, program: str) -> subprocess.CompletedProcess[str]:
    argv = (sys.executable, "-IS", "-c", ASK, str(SERVER), str(path))
    return subprocess.run(argv, input=program, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """The socket of a server that has loaded a module."""
    found = tmp_path / "programs"
    with subprocess.Popen((sys.executable, "-c", SERVE, str(SERVER), str(found))) as server:
        wait_for("the server", lambda: found.is_socket() or None, timeout=60, pause=0.05)
        try:
            yield found
        finally:
            server.terminate()


def test_what_is_loaded_is_there_and_streams_are_its_own(path: Path) -> None:
    done = ask(path, f"{IS_LOADED}; sys.stderr.write('oops\\n'); sys.exit(7)")
    assert (done.returncode, done.stdout, done.stderr) == (7, "True ['-']\n", "oops\n")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("print('fine')", 0, ""),
        ("raise ValueError('a defect')", 1, "ValueError: a defect"),
        ("import sys; sys.exit('no such user')", 1, "no such user"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137, ""),
    ],
)
def test_it_ends_as_its_program_does(path: Path, program: str, code: int, said: str) -> None:
    done = ask(path, program)
    assert done.returncode == code
    assert said in done.stderr


def test_threads_of_a_program_are_waited_for(path: Path) -> None:
    program = "import threading\nthreading.Timer(0.3, print, ['late']).start()\nprint('first')"
    assert ask(path, program).stdout == "first\nlate\n"


def test_programs_run_side_by_side(path: Path, tmp_path: Path) -> None:
    """Each waits for a file of the other."""
    names = (str(tmp_path / "one"), str(tmp_path / "two"))
    meet = (
        "import pathlib, time\nmine, other = (pathlib.Path(one) for one in {0!r})\nmine.touch()\n"
        "end = time.monotonic() + 20\n"
        "while not other.exists():\n    assert time.monotonic() < end\n    time.sleep(0.01)\n"
    )
    argv = (sys.executable, "-IS", "-c", ASK, str(SERVER), str(path))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, text=True) as first:
        assert first.stdin is not None
        first.stdin.write(meet.format(names))
        first.stdin.close()
        second = ask(path, meet.format(names[::-1]))
    assert (first.returncode, second.returncode) == (0, 0)


def test_where_nobody_serves_it_loads_by_itself(tmp_path: Path) -> None:
    """An image of before has no such server; nor has one whose server was ended."""
    done = ask(tmp_path / "nothing", f"{IS_LOADED}; sys.exit(7)")
    assert (done.returncode, done.stdout) == (7, "False ['-']\n")
