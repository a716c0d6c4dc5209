"""Programs that `./inv test` unpacks beside the environment: looked for there too, and fetched once."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from core.errors import CommandFailed
from core.report import Report
from hosts.base import Result
from infra.dev import test_needs
from infra.dev.test_needs import UNPACKED, unpack_test_needs
from tests.fakes import FakeHost
from tests.programs import find_program, need_program


class Mirror(FakeHost):
    """Fetches packages of some names, each with programs of these names; others are not known there."""

    def __init__(self, **packages: tuple[str, ...]) -> None:
        super().__init__()
        self._packages = packages

    def run(self, *argv: str, **arguments: Any) -> Result:
        self.commands.append(argv)
        if argv[0] == "env":
            folder, package = Path(argv[1].removeprefix("--chdir=")), argv[-1]
            if package not in self._packages:
                raise CommandFailed(f"E: Unable to locate package {package}")
            (folder / f"{package}_1_amd64.deb").write_text(package)
        else:
            archive, target = Path(argv[2]), Path(argv[3])
            for name in self._packages[archive.read_text()]:
                program = target / "usr/bin" / name
                program.parent.mkdir(parents=True, exist_ok=True)
                program.write_text("#!/bin/sh\n")
                program.chmod(0o755)
        return Result(argv, 0, "", "")


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with apt and none of the programs."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/apt-get").write_text("#!/bin/sh\n")
    (tmp_path / "bin/apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(test_needs, "programs_folder", lambda: tmp_path / "debian")


def test_fetched_once_and_found() -> None:
    """Two programs of a package are one download; what is there is not fetched again."""
    mirror = Mirror(restic=("restic",), rclone=("rclone",), prometheus=("prometheus", "promtool"))
    unpack_test_needs(mirror, Report(io.StringIO()))
    assert [argv[-1] for argv in mirror.commands if argv[0] == "env"] == ["prometheus", "rclone", "restic"]
    assert all(find_program(program) is not None for program in UNPACKED)
    before = len(mirror.commands)
    unpack_test_needs(mirror, Report(io.StringIO()))
    assert len(mirror.commands) == before


def test_what_cannot_be_had_is_said_and_skips() -> None:
    report = Report(io.StringIO())
    unpack_test_needs(Mirror(restic=("restic",), prometheus=("prometheus", "promtool")), report)
    (notice,) = report.notices
    assert notice.startswith("the tests that need rclone are skipped: E: Unable to locate package rclone")
    assert need_program("promtool").endswith("/usr/bin/promtool")
    with pytest.raises(pytest.skip.Exception, match=r"rclone is not here: `\./inv test` fetches it where apt knows"):
        need_program("rclone")


def test_without_apt_nothing_is_done(tmp_path: Path) -> None:
    (tmp_path / "bin/apt-get").unlink()
    mirror = Mirror()
    unpack_test_needs(mirror, Report(io.StringIO()))
    assert mirror.commands == []
