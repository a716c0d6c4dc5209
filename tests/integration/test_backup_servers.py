"""Backups on another machine's server, by restic itself: there and back, a wrong login, a server that is gone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from infra.config.settings import Settings
from infra.database.dump import sqlite_look
from infra.roles.backup.inside import fetching, reading
from infra.roles.backup.inside.places import Problem
from tests.backup_servers import KINDS, BackupServer
from tests.programs import need_program
from tests.unit.infra.roles.backup.inside_bench import InsideBench

# restic's own command line, written down: what any user of a machine sees of a process.
SEEN = """#!/bin/sh
printf '%s\\n' "$*" >>"{log}"
exec "{program}" "$@"
"""


@dataclass
class There:
    """A stack whose repository is on a server; `said` is what restic's command lines had."""

    bench: InsideBench
    server: BackupServer
    log: Path

    def login(self, lines: str) -> None:
        self.bench.places.environment.write_text(lines)

    def refused(self, monkeypatch: pytest.MonkeyPatch, *, known: bool) -> str:
        """A backup that fails: its sentence."""
        with pytest.raises(Problem) as caught:
            self.bench.backup(monkeypatch, known=known)
        return str(caught.value)


@pytest.fixture(params=sorted(KINDS))
def there(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[There]:
    monkeypatch.setattr("infra.roles.backup.inside.restic.PROCESS_NUMBERS", 1)
    program, log = tmp_path / "restic", tmp_path / "command-lines"
    program.write_text(SEEN.format(log=log, program=need_program("restic")))
    program.chmod(0o755)
    (tmp_path / "server").mkdir()
    with KINDS[request.param](tmp_path / "server") as server:
        settings = Settings.model_validate({"LABELRIG_BACKUP_REPOSITORY": server.repository})
        assert settings.backup_repository is not None
        bench = InsideBench.make(tmp_path / "root", str(program), os.getuid())
        bench.request = replace(bench.request, repository=settings.backup_repository)
        made = There(bench, server, log)
        made.login(server.lines)
        yield made


@pytest.mark.timeout(600)
def test_there_and_back(there: There, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Backed up twice, listed, every byte read, restored; the server's password is seen by none."""
    bench = there.bench
    before = sqlite_look(str(bench.database_file))
    first = bench.backup(monkeypatch)["snapshot"]
    made = bench.backup(monkeypatch, known=True)
    assert (made["rows"], made["files"], made["not_pruned"]) == (6, 2, "")
    assert [row["id"] for row in reading.snapshots(bench.request, bench.restic)] == [first, made["snapshot"]]
    verified = reading.verify(bench.places, bench.request, bench.restic)
    assert verified == {"snapshots": 2, "newest": made["snapshot"]}
    bench.write_database(0)
    shutil.rmtree(bench.places.media)
    bench.fetch()
    assert sqlite_look(fetching.beside(bench.places, bench.request)["place"]) == before
    fetching.adopt(bench.places, bench.request, "S")
    assert (bench.places.media / "upload/1/b.png").read_bytes() == b"b" * 2000
    assert list(bench.places.repository.iterdir()) == []
    said = "".join([there.log.read_text(), *capfd.readouterr()])
    assert "snapshots" in said
    assert not there.server.shows_secret(said)


@pytest.mark.timeout(300)
def test_wrong_login_is_one_sentence(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first backup and after it; no repository is made, and what the server says is passed on."""
    for known in (False, True):
        there.login(there.server.wrong_lines)
        said = there.refused(monkeypatch, known=known)
        assert said.startswith(f"the repository {there.server.repository} cannot be opened with this password, or not")
        assert there.server.refusal in said
        assert said.endswith("nothing was changed")
        assert "\n" not in said
        there.login(there.server.lines)
        assert there.bench.restic.open(make=True, known=known) == (not known)
    assert not there.server.shows_secret(there.log.read_text() + said)


@pytest.mark.timeout(300)
def test_server_that_is_gone_is_one_sentence(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    there.server.stop()
    for known in (False, True):
        said = there.refused(monkeypatch, known=known)
        assert said.startswith(f"the repository {there.server.repository} cannot be opened with this password, or not")
        assert "connection refused" in said
        assert said.endswith("nothing was changed")
        assert "\n" not in said
        assert not there.server.shows_secret(said)
