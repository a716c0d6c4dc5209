"""The command line behind `./inv logs`, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.errors import LabelrigError, SettingsError
from core.repository import REPOSITORY
from infra.doctor.logs import logs
from tests.unit.infra.doctor.doctor_bench import COMPOSE, FILES, DoctorBench

TAIL = ("--tail", "2000")
LOGS = (*COMPOSE, *FILES, "logs", "--no-color", "--timestamps")
PLENTY = 30.0


@pytest.fixture
def bench() -> DoctorBench:
    one = DoctorBench()
    one.host.script("test", "-f", "/stack/stack.env")
    return one


def test_lines_have_host_in_front_and_no_escapes(bench: DoctorBench) -> None:
    """Lines come without Compose's escapes and with the host in front."""
    bench.host.script(*LOGS, *TAIL, stdout="\x1b[2Ksam2-1  | 2026 one\nsam2-1  | 2026 \x1b[31mred\x1b[0m\n")
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
    bench.host.script(*LOGS, "--since", passed, "--tail", "100", "sam2")
    bench.host.script(*LOGS, "--follow", "--since", passed, "sam2")
    logs(bench.site(), ("sam2",), follow=True, since=since, lines=5, out=lambda _line: None)


@pytest.mark.parametrize("since", ["yesterday", "10", "-5m", "", "10m; rm -rf /"])
def test_a_time_that_is_none(bench: DoctorBench, since: str) -> None:
    with pytest.raises(SettingsError, match="is neither a time ago such as 10m, 2h or 3d nor a date"):
        logs(bench.site(), since=since, out=lambda _line: None)


def test_an_unknown_service_is_told_which_there_are(bench: DoctorBench) -> None:
    with pytest.raises(SettingsError, match=r"^there is no service sam3 \(there are: sam2, label-studio, proxy\)$"):
        logs(bench.site(), ("sam2", "sam3"), out=lambda _line: None)
    assert bench.host.commands == []


def test_a_host_without_a_stack(bench: DoctorBench) -> None:
    bench.host.script("test", "-f", "/stack/stack.env", exit_code=1)
    with pytest.raises(LabelrigError, match=r"there is no stack labelrig here; `\./inv up` makes it$"):
        logs(bench.site(), out=lambda _line: None)


def row(second: float, text: str, service: str = "label-studio") -> str:
    return f"{service}-1  | 2026-11-29T07:05:{second:012.9f}Z {text}\n"


def shown(bench: DoctorBench, **options: Any) -> list[str]:
    lines: list[str] = []
    logs(bench.site(), out=lambda line: lines.append(line.partition("Z ")[2]), **options)
    return lines


def test_each_line_once_and_no_health_checks(bench: DoctorBench) -> None:
    """As Label Studio's two handlers write them, with the copy of a warning of two lines."""
    health = '[INFO] "GET /health HTTP/1.1" 200 16'
    rows = [
        row(0.1, "=> Database and media directory: /label-studio/data"),
        row(0.2, "=> Static URL is set to: /static/"),
        row(0.3, "=> Database and media directory: /label-studio/data"),
        row(0.4, "=> Static URL is set to: /static/"),
        row(1.0, health),
        row(1.0, health),
        row(2.0, "/opt/x.py: RuntimeWarning: naive datetime"),
        row(2.0, "  warnings.warn("),
        row(2.1, "/opt/x.py: RuntimeWarning: naive datetime"),
        row(2.1, "  warnings.warn("),
        row(3.0, '"GET /api/projects/ HTTP/1.1" 200 84'),
    ]
    bench.host.script(*LOGS, *TAIL, stdout="".join(rows))
    assert shown(bench) == [
        "=> Database and media directory: /label-studio/data",
        "=> Static URL is set to: /static/",
        "/opt/x.py: RuntimeWarning: naive datetime",
        "  warnings.warn(",
        '"GET /api/projects/ HTTP/1.1" 200 84',
    ]
    bench.host.script(*LOGS, stdout="".join(rows))
    assert len(shown(bench, everything=True)) == len(rows)


def test_what_happens_again_is_no_copy(bench: DoctorBench) -> None:
    rows = [
        row(1, "retrying"),
        row(6, "retrying"),
        row(7, "Traceback"),
        row(7, "    ^^^^^"),
        row(7, "  File b"),
        row(7, "    ^^^^^"),
        row(7, "retrying", "sam2"),
    ]
    bench.host.script(*LOGS, *TAIL, stdout="".join(rows))
    assert shown(bench) == ["retrying", "retrying", "Traceback", "    ^^^^^", "  File b", "    ^^^^^", "retrying"]


def test_the_last_100_lines_of_each_service_by_time(bench: DoctorBench) -> None:
    rows = [row(second / 10, f"ls {second}") for second in range(300)]
    rows += [row(second / 10 + 0.05, f"sam2 {second}", "sam2") for second in range(150)]
    bench.host.script(*LOGS, *TAIL, stdout="".join(rows))
    lines = shown(bench)
    assert lines[:50] == [f"sam2 {second}" for second in range(50, 100)]
    assert len(lines) == 200
    assert lines[-1] == "ls 299"


def test_all_is_read_where_the_last_lines_are_health_checks(bench: DoctorBench) -> None:
    """A night without annotators writes nothing else."""
    rows = [row(0, "hello")] + [row(1 + number / 100, '"GET /health HTTP/1.1" 200') for number in range(40)]
    bench.host.script(*LOGS, "--tail", "40", stdout="".join(rows[-40:]))
    bench.host.script(*LOGS, stdout="".join(rows))
    assert shown(bench, lines=2) == ["hello"]


def test_follow_shows_the_past_and_what_comes_once_each(bench: DoctorBench) -> None:
    past = [row(30, "one"), row(31, "two"), row(31.5, "early", "sam2")]
    bench.host.script(*LOGS, *TAIL, stdout="".join(past))
    new = [row(31.6, "late", "sam2"), row(32, "three"), row(32, "three")]
    follow = (*LOGS, "--follow", "--since", "2026-11-29T07:05:21Z")
    bench.host.script(*follow, stdout="".join([*past, *new]))
    assert shown(bench, follow=True) == ["one", "two", "early", "late", "three"]


def test_follow_with_no_past(bench: DoctorBench) -> None:
    bench.host.script(*LOGS, "--tail", "0")
    bench.host.script(*LOGS, "--follow", "--tail", "0", stdout=row(1, "new"))
    assert shown(bench, follow=True, lines=0) == ["new"]


def test_ctrl_c_ends_what_follows(tmp_path: Path) -> None:
    """With a compose that says two lines and waits: it must not outlive us. The second says that we wait for it."""
    program = tmp_path / "docker"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *version*) echo 2.26.1; exit;; *--follow*) ;; *) exit;; esac\n'
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
