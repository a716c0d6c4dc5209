"""The command line behind `./inv logs`, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import LabelrigError, SettingsError
from core.repository import REPOSITORY
from infra.doctor.logs import logs
from tests.unit.infra.doctor.doctor_bench import COMPOSE, FILES, DoctorBench

LOGS = (*COMPOSE, *FILES, "logs", "--no-color", "--timestamps")
PLENTY = 30.0


@pytest.fixture
def bench() -> DoctorBench:
    one = DoctorBench()
    one.host.script("test", "-f", "/stack/stack.env")
    return one


def test_lines_come_without_compose_s_escapes_and_with_the_host_in_front(bench: DoctorBench) -> None:
    bench.host.script(*LOGS, stdout="\x1b[2Ksam2-1  | 2026 one\nsam2-1  | 2026 \x1b[31mred\x1b[0m\n")
    lines: list[str] = []
    logs(bench.site(), out=lines.append, prefix="gpu01 | ")
    assert lines == ["gpu01 | sam2-1  | 2026 one", "gpu01 | sam2-1  | 2026 \x1b[31mred\x1b[0m"]


@pytest.mark.parametrize(
    ("since", "passed"),
    [
        ("10m", "10m"),
        ("1h30m", "1h30m"),
        ("3d", "72h"),
        ("1.5d", "36h"),
        ("2026-05-04T18:00:00Z", "2026-05-04T18:00:00Z"),
        ("2026-05-04T18:00:00+02:00", "2026-05-04T16:00:00Z"),
        (
            "2026-05-04 18:00",
            datetime(2026, 5, 4, 18).astimezone().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        ),
    ],
)
def test_since(bench: DoctorBench, since: str, passed: str) -> None:
    bench.host.script(*LOGS, "--follow", "--since", passed, "--tail", "5", "sam2")
    logs(bench.site(), ("sam2",), follow=True, since=since, tail=5, out=lambda _line: None)


@pytest.mark.parametrize("since", ["yesterday", "10", "-5m", "", "10m; rm -rf /"])
def test_a_time_that_is_none(bench: DoctorBench, since: str) -> None:
    with pytest.raises(SettingsError, match="is neither a time ago such as 10m, 2h or 3d nor a date"):
        logs(bench.site(), since=since, out=lambda _line: None)


def test_an_unknown_service_is_told_which_there_are(bench: DoctorBench) -> None:
    with pytest.raises(SettingsError, match=r"^there is no service sam3 \(there are: sam2, label-studio\)$"):
        logs(bench.site(), ("sam2", "sam3"), out=lambda _line: None)
    assert bench.host.commands == []


def test_a_host_without_a_stack(bench: DoctorBench) -> None:
    bench.host.script("test", "-f", "/stack/stack.env", exit_code=1)
    with pytest.raises(LabelrigError, match=r"there is no stack labelrig here; `\./inv up` makes it$"):
        logs(bench.site(), out=lambda _line: None)


def test_ctrl_c_ends_what_follows(tmp_path: Path) -> None:
    """With a compose that says two lines and waits: it must not outlive us. The second says that we wait for it."""
    program = tmp_path / "docker"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *version*) echo 2.26.1; exit;; esac\n'
        f'echo $$ >{tmp_path}/pid\necho "sam2-1  | hello"\nsleep 1\necho "sam2-1  | again"\nexec sleep 1000\n'
    )
    program.chmod(0o755)
    (tmp_path / "stack.env").write_text("")
    script = tmp_path / "follow.py"
    script.write_text(
        # Whoever starts the tests in the background has them ignore it.
        "import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from hosts.local import LocalHost\nfrom infra.doctor.logs import logs\n"
        "from infra.config.settings import Settings\n"
        "from infra.stack.site import Site\n"
        f"site = Site(LocalHost(), Settings(), {str(tmp_path)!r}, {str(tmp_path)!r}, 'x', Settings)\n"
        "try:\n    logs(site, follow=True, out=lambda line: print(line, flush=True))\n"
        "except KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["sam2-1  | hello\n", "sam2-1  | again\n"]
        child = int((tmp_path / "pid").read_text())
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(PLENTY) == 130
        finally:
            process.kill()
    deadline = time.monotonic() + PLENTY
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{child}").exists()
