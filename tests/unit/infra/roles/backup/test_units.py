"""The units of the nightly backup: read by systemd itself, and the service's command run as systemd runs it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.programs import need_program
from tests.unit.infra.roles.backup.test_role import UNIT, ThereHost, units_of
from tests.unit.infra.roles.backup.test_script import ScriptBench

# What a service of the system gets where its unit says nothing of an environment or a user (systemd.exec(5)).
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
# Stand for units of the machine, which a machine without a running systemd may lack.
OTHERS = [f"{name}.target" for name in ("sysinit", "basic", "shutdown", "timers", "network-online", "time-set")]
SECONDS = 60


def analyze(*arguments: str, units: Path | None = None) -> tuple[int, str]:
    """Exit code and words of systemd's own checks."""
    environment = {"PATH": PATH, "LC_ALL": "C"} | ({"SYSTEMD_UNIT_PATH": str(units)} if units is not None else {})
    done = subprocess.run(
        [need_program("systemd-analyze"), *arguments],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def written(folder: Path, script: str, schedule: str = "Mon..Sat 02:30") -> Path:
    """The folder with the units that a deploy writes, and those that they name."""
    for path, content in units_of(script, schedule).items():
        (folder / Path(path).name).write_bytes(content)
    for name in OTHERS:
        (folder / name).write_text(f"[Unit]\nDescription={name}\n")
    return folder


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """Each line of both; its warnings count too."""
    names = [f"{Path(UNIT).name}.{kind}" for kind in ("service", "timer")]
    units = written(tmp_path, "/srv/lab/backup/backup.sh")
    assert analyze("verify", "--man=no", *names, units=units) == (0, "")


@pytest.mark.parametrize(
    ("kind", "line", "wrong"),
    [
        ("service", "Type=oneshot", "Type=one"),
        ("service", "ExecStart=/bin/sh ", "ExecStart=/bin/not-there "),
        ("timer", "OnCalendar=Mon..Sat 02:30", "OnCalendar=nightly"),
    ],
)
def test_systemd_names_a_wrong_line(tmp_path: Path, kind: str, line: str, wrong: str) -> None:
    units = written(tmp_path, "/srv/lab/backup/backup.sh")
    unit = units / f"{Path(UNIT).name}.{kind}"
    assert line in unit.read_text()
    unit.write_text(unit.read_text().replace(line, wrong))
    code, said = analyze("verify", "--man=no", unit.name, units=units)
    assert (code, said) != (0, "")


@pytest.mark.parametrize("schedule", ["02:30", "Mon..Sat 02:30", "*-*-* 00/6:15", "Sun 04:00 UTC", "daily"])
def test_systemd_takes_the_schedules_of_the_documents(schedule: str) -> None:
    code, said = analyze("calendar", schedule)
    assert code == 0, said
    assert "Next elapse:" in said


def test_service_makes_a_backup(tmp_path: Path) -> None:
    """Its own words, from `/`, with the environment of a service: no HOME, no person's PATH, no terminal."""
    bench = ScriptBench.make(tmp_path)
    unit = units_of(str(bench.own / "backup.sh"), "02:30")[f"{UNIT}.service"].decode()
    lines = [line for line in unit.splitlines() if "=" in line and not line.startswith("#")]
    service = {name: value for name, _, value in (line.partition("=") for line in lines)}
    assert not {"User", "Environment", "EnvironmentFile", "WorkingDirectory", "UMask"} & set(service)
    done = subprocess.run(
        shlex.split(service["ExecStart"]),
        env={"PATH": PATH, "LANG": "C.UTF-8", "INVOCATION_ID": "0" * 32, "FAKE": str(bench.root / "fake")},
        cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False,
        start_new_session=True,
    )  # fmt: skip
    assert (done.returncode, bench.last()["ok"]) == (0, True), done.stderr
    assert bench.last()["answer"]["snapshot"] == "abc12345"
    assert (bench.own / "last-backup.json").stat().st_mode & 0o077 == 0


def test_units_are_those_of_a_deploy() -> None:
    """What these tests read is what the operation writes."""
    host = ThereHost()
    assert set(units_of("/x", "02:30", host)) == {f"{UNIT}.service", f"{UNIT}.timer"}
    assert ("systemctl", "enable", "labelrig-lab-backup.timer") in host.commands
