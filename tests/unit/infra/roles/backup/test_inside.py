"""What a snapshot holds, what is refused, and what a damaged one is found to be. `--all` also on restic itself."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from infra.database.dump import sqlite_look
from infra.roles.backup.inside import __main__ as program
from infra.roles.backup.inside import fetching, reading, saving
from infra.roles.backup.inside.media import walk
from infra.roles.backup.inside.places import MANIFEST, MEDIA_LIST, Problem
from infra.roles.backup.inside.request import BEFORE_RESTORE, Request
from infra.roles.backup.inside.restic import Failed, Restic, TimedOut, read_environment, ssh_command
from tests.programs import need_program
from tests.unit.infra.roles.backup.inside_bench import InsideBench, facts_of, fake_program


@pytest.fixture(params=["stand-in", pytest.param("restic", marks=pytest.mark.slow)])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InsideBench:
    monkeypatch.setattr("infra.roles.backup.inside.restic.PROCESS_NUMBERS", 1)
    name = need_program("restic") if request.param == "restic" else fake_program(tmp_path)
    return InsideBench.make(tmp_path / "root", name, os.getuid())


def test_restored_is_what_was_saved(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables, uploads, secrets, rendered files, definitions and certificates."""
    before = sqlite_look(str(bench.database_file))
    made = bench.backup(monkeypatch)
    assert (made["rows"], made["files"], made["lost"]) == (6, 2, [])
    bench.write_database(0)
    shutil.rmtree(bench.places.media)
    shutil.rmtree(bench.places.proxy)
    bench.places.proxy.mkdir()
    bench.fetch()
    place = fetching.beside(bench.places, bench.request)["place"]
    assert sqlite_look(place) == before
    assert fetching.adopt(bench.places, bench.request, "S") == {"aside": ""}
    assert (bench.places.media / "upload/1/b.png").read_bytes() == b"b" * 2000
    assert (bench.places.proxy / "root.crt").read_text() == "certificate"
    files = bench.places.fetched_from(bench.places.files)
    assert (files / "secrets.env").read_bytes() == bench.places.secrets.read_bytes()
    assert (files / "definitions/projects.yaml").exists()
    assert (files / "stack/stack.env").exists()


def test_what_was_there_stays_aside(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.backup(monkeypatch)
    (bench.places.media / "upload/1/later.png").write_bytes(b"later")
    (bench.places.proxy / "root.crt").write_text("of this machine")
    bench.fetch()
    aside = fetching.adopt(bench.places, bench.request, "S")["aside"]
    assert (Path(aside) / "upload/1/later.png").read_bytes() == b"later"
    assert not (bench.places.media / "upload/1/later.png").exists()
    assert (bench.places.proxy / "root.crt").read_text() == "of this machine"


def test_adopting_twice_loses_nothing(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore that was killed after the renames is done again with the same stamp."""
    bench.backup(monkeypatch)
    bench.fetch()
    fetching.adopt(bench.places, bench.request, "S")
    assert fetching.adopt(bench.places, bench.request, "S") == {"aside": ""}
    assert (bench.places.media / "upload/1/a.png").exists()


def test_drop_leaves_nothing_beside(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a restore that ended before the change-over: what it fetched would fill the disk until the next one."""
    bench.backup(monkeypatch)
    before = set(bench.places.data.rglob("*"))
    bench.fetch()
    moving = Path(fetching.beside(bench.places, bench.request)["place"])
    moving.with_name(f"{moving.name}-wal").touch()
    fetching.drop(bench.places)
    assert set(bench.places.data.rglob("*")) == before
    assert not bench.places.fetched.exists()


def test_staging_is_empty_after_a_backup(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.backup(monkeypatch)
    assert [path.name for path in bench.places.staging.iterdir()] == ["cache"]


def test_lost_upload_is_named(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.places.media / "upload/1/a.png").unlink()
    assert bench.backup(monkeypatch)["lost"] == ["upload/1/a.png"]


def test_upload_changed_meanwhile_is_taken_again(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the snapshot is what the manifest says, also where a file changes between the two."""
    real, path = saving._snapshot, bench.places.media / "upload/1/b.png"
    snapshots: list[str] = []

    def change_once(*arguments: object) -> str:
        snapshots.append(real(*arguments))  # type: ignore[arg-type]
        if len(snapshots) == 1:
            path.write_bytes(b"other")
        return snapshots[-1]

    monkeypatch.setattr(saving, "_snapshot", change_once)
    made = bench.backup(monkeypatch)
    assert len(snapshots) == 2
    assert [row["id"] for row in reading.snapshots(bench.request, bench.restic)] == [made["snapshot"]]
    assert bench.restic.run("dump", made["snapshot"], str(path)) == "other"
    assert reading.verify(bench.places, bench.request, bench.restic)["snapshots"] == 1
    bench.fetch()


def test_upload_during_a_backup_harms_nothing(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes after the dump and the list, and is in the snapshot: what is restored is what the dump names."""
    real, path = saving._snapshot, bench.places.media / "upload/2/late.png"

    def upload_first(*arguments: object) -> str:
        path.parent.mkdir()
        path.write_bytes(b"late")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(saving, "_snapshot", upload_first)
    made = bench.backup(monkeypatch)
    assert made["files"] == 2
    assert bench.restic.run("dump", made["snapshot"], str(path)) == "late"
    bench.fetch(made["snapshot"])
    fetching.adopt(bench.places, bench.request, "S")
    names = {name for name, _ in walk(bench.places.media)}
    assert names == {"upload/1/a.png", "upload/1/b.png"}


def test_uploads_that_never_rest_fail(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "changed_since", lambda *_: ["upload/1/a.png"])
    with pytest.raises(Problem, match=r"uploaded files kept changing while they were read, upload/1/a\.png among them"):
        bench.backup(monkeypatch)
    assert reading.snapshots(bench.request, bench.restic) == []


def test_newest_is_not_the_one_before_a_restore(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bench.backup(monkeypatch)["snapshot"]
    before = bench.backup(monkeypatch, known=True, reason=BEFORE_RESTORE)["snapshot"]
    rows = reading.snapshots(bench.request, bench.restic)
    assert [(row["id"], row["reason"]) for row in rows] == [(first, ""), (before, BEFORE_RESTORE)]
    assert reading.find(bench.request, bench.restic, "")["id"] == first
    assert reading.find(bench.request, bench.restic, before)["id"] == before
    with pytest.raises(Problem, match="there is no backup 0000aaaa of the stack lab"):
        reading.find(bench.request, bench.restic, "0000aaaa")


def test_newest_is_of_this_machine(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine's only where this one has none or an id is given; and then the answer says whose it is."""
    own = bench.backup(monkeypatch)["snapshot"]
    other = bench.backup(monkeypatch, known=True, machine="gpu02")["snapshot"]
    show = partial(reading.show, bench.places)

    def shown(machine: str, wanted: str = "") -> tuple[str, str]:
        answer = show(replace(bench.request, machine=machine), bench.restic, wanted)
        return answer["snapshot"], answer["machine"]

    assert shown("lab.gpu01") == (own, "")
    assert shown("gpu02") == (other, "")
    assert shown("lab.gpu01", other) == (other, "gpu02")
    assert shown("gpu03") == (other, "gpu02")


def test_verify_reads_all(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench.backup(monkeypatch)
    assert reading.verify(bench.places, bench.request, bench.restic) == {"snapshots": 1, "newest": made["snapshot"]}


def test_verify_finds_a_missing_file(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that the manifest names and the snapshot lacks, whatever restic thinks of it."""
    real = saving._write_manifest

    def write_one_more(*arguments: object) -> object:
        manifest = real(*arguments)  # type: ignore[arg-type]
        listed = bench.places.files / MEDIA_LIST
        more = json.dumps({"path": "upload/1/ghost.png", "bytes": 5, "sha256": "0"})
        listed.write_text(listed.read_text() + more + "\n")
        return manifest

    monkeypatch.setattr(saving, "_write_manifest", write_one_more)
    bench.backup(monkeypatch)
    with pytest.raises(Problem, match=r"lacks ghost\.png, which its manifest names"):
        reading.verify(bench.places, bench.request, bench.restic)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        ("media", "a.png has another content"),
        ("media gone", "a.png is missing"),
        ("database", "database.sqlite3 has another content"),
        ("secrets", "secrets.env is missing"),
        ("tables", "the tables of its dump are others"),
    ],
)
def test_difference_is_found(bench: InsideBench, monkeypatch: pytest.MonkeyPatch, spoil: str, problem: str) -> None:
    """What was fetched is compared file by file: one tampered table, one missing file is enough."""
    bench.backup(monkeypatch)
    bench.fetch()
    places = bench.places
    manifest = json.loads((places.fetched_from(places.files) / MANIFEST).read_text())
    assert fetching.first_difference(places, manifest) == ""
    media = places.media_beside / places.media.relative_to("/") / "upload/1"
    database = places.fetched_from(places.database)
    if spoil == "media":
        (media / "a.png").write_bytes(b"A" * 1000)
    elif spoil == "media gone":
        (media / "a.png").unlink()
    elif spoil == "database":
        with closing(sqlite3.connect(database / "database.sqlite3")) as db, db:
            db.execute("UPDATE task SET data = 'tampered' WHERE id = 1")
    elif spoil == "secrets":
        (places.fetched_from(places.files) / "secrets.env").unlink()
    else:
        facts = json.loads((database / "database.json").read_text())
        facts["tables"]["task"]["rows"] = 99
        (database / "database.json").write_text(json.dumps(facts))
    assert fetching.first_difference(places, manifest) == problem


def test_wrong_password_is_one_sentence(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.backup(monkeypatch)
    bench.places.password.write_text("another one\n")
    with pytest.raises(Problem, match="cannot be opened with this password, or not be reached") as caught:
        bench.backup(monkeypatch)
    assert "another one" not in str(caught.value)


def test_unmounted_disk_is_not_filled(bench: InsideBench) -> None:
    """A repository that was there is never made anew."""
    Request.read({})
    with pytest.raises(Problem, match=r"/NAS/backup is not there any more: is its disk mounted\?"):
        bench.restic.open(make=True, known=True)
    with pytest.raises(Problem, match="holds no backups yet"):
        bench.restic.open(make=False, known=False)
    assert list(bench.places.repository.iterdir()) == []


@pytest.mark.parametrize(
    ("full", "words"), [("staging", "for the dump of the database"), ("repository", "/NAS/backup")]
)
def test_full_disk_is_said_before(bench: InsideBench, monkeypatch: pytest.MonkeyPatch, full: str, words: str) -> None:
    real = shutil.disk_usage

    def usage(path: Path) -> object:
        return real(path)._replace(free=2**20) if Path(path).name == full else real(path)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(Problem, match=f"there is no room on .*{words}.*; nothing was changed"):
        saving.prepare(bench.places, bench.request, bench.restic)


def test_later_format_is_refused(bench: InsideBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "FORMAT", 99)
    bench.backup(monkeypatch)
    with pytest.raises(Problem, match=r"was made by a later version of labelrig \(0\.2\.0\): use it"):
        bench.fetch()


def test_verbs_answer_in_json(
    bench: InsideBench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "Restic", lambda places, address: Restic(places, address, program=bench.program))
    assert program.main(["list"], bench.places, bench.request) == 1
    assert "holds no backups yet" in facts_of(capsys.readouterr().out)["problem"]
    bench.backup(monkeypatch)
    assert program.main(["show"], bench.places, bench.request) == 0
    shown = facts_of(capsys.readouterr().out)
    assert shown["manifest"]["database"]["tables"]["task"]["rows"] == 3
    assert set(shown["small"]) == {"secrets.env", "stack/folders.json", "images/demo.list"}


def test_environment_file_shows_no_value(bench: InsideBench) -> None:
    bench.places.environment.write_text("# keys\nexport AWS_ACCESS_KEY_ID='abc'\nAWS_SECRET_ACCESS_KEY=x=y\n")
    assert read_environment(bench.places) == {"AWS_ACCESS_KEY_ID": "abc", "AWS_SECRET_ACCESS_KEY": "x=y"}
    bench.places.environment.write_text("hunter2\n")
    with pytest.raises(Problem, match=r"^the environment file of the backups: line 1 is not NAME=VALUE$"):
        read_environment(bench.places)


def test_ssh_asks_nobody(bench: InsideBench) -> None:
    """No question, no unknown host, no endless wait, and the machine's own keys."""
    bench.places.ssh.mkdir()
    (bench.places.ssh / "id_ed25519").touch()
    command = ssh_command(bench.places, "backup@nas")
    assert "BatchMode=yes" in command
    assert "StrictHostKeyChecking=yes" in command
    assert f"-i {bench.places.ssh}/id_ed25519 backup@nas -s sftp" in command
    assert ssh_command(bench.places, "backup@nas", "2222").endswith(" -p 2222 backup@nas -s sftp")


@pytest.mark.parametrize(
    ("address", "ends"),
    [
        ("sftp:backup@nas:/backup", "backup@nas -s sftp"),
        ("sftp:nas:/backup", "nas -s sftp"),
        ("sftp://backup@nas:2222//backup", "-p 2222 backup@nas -s sftp"),
    ],
)
def test_sftp_goes_by_our_own_ssh(bench: InsideBench, address: str, ends: str) -> None:
    """With restic's own it would ask, and read no key of the machine's."""
    options = Restic(bench.places, address)._options
    assert options[0] == "-o"
    assert options[1].startswith("sftp.command=ssh -F /dev/null")
    assert options[1].endswith(ends)


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        ("7d 5w 12m", ["--keep-daily", "7", "--keep-weekly", "5", "--keep-monthly", "12"]),
        ("0d 2w 0m", ["--keep-weekly", "2"]),
    ],
)
def test_keep_becomes_restics_words(bench: InsideBench, keep: str, words: list[str]) -> None:
    assert Request.read({"LABELRIG_BACKUP_KEEP": keep}).keep_arguments == words


TRACED = """write /repository/locks/8a82-tmp-37: no space left on device
github.com/restic/restic/internal/backend/local.(*Local).Save
\tgithub.com/restic/restic/internal/backend/local/local.go:170
runtime.goexit
\truntime/asm_amd64.s:1594
unable to create lock in backend
"""


def full_restic(bench: InsideBench, tmp_path: Path) -> Restic:
    """One whose repository takes no lock, as restic 0.14 says it."""
    (tmp_path / "traced").write_text(TRACED)
    program = tmp_path / "full-restic"
    program.write_text(
        '#!/bin/sh\nfor one; do [ "$one" != --no-lock ] || { echo "[]"; exit 0; }; done\n'
        f"cat {tmp_path}/traced >&2\nexit 1\n"
    )
    program.chmod(0o755)
    return Restic(bench.places, "/repository", program=str(program))


def test_full_repository_can_be_read(bench: InsideBench, tmp_path: Path) -> None:
    """The disk that filled up holds the backups that are needed now."""
    assert full_restic(bench, tmp_path).facts("snapshots", "--json") == []


def test_full_repository_is_written_by_none(bench: InsideBench, tmp_path: Path) -> None:
    with pytest.raises(Failed) as caught:
        full_restic(bench, tmp_path).run("backup", "/data")
    assert str(caught.value) == (
        "restic backup ended with exit code 1: write /repository/locks/8a82-tmp-37: no space left on device; "
        "unable to create lock in backend"
    )


class Noted(Restic):
    """Keeps what it was asked for."""

    asked: tuple[str, ...] = ()

    def run(self, *arguments: str, **more: Any) -> str:
        self.asked += arguments[:1]
        return super().run(*arguments, **more)


def test_server_without_an_answer_is_one_sentence(
    bench: InsideBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes the connection and says nothing: asked once, and no repository is made there."""
    monkeypatch.setattr("infra.roles.backup.inside.restic.SHORT", 1.0)
    (tmp_path / "waiting-restic").write_text("#!/bin/sh\nexec sleep 100\n")
    (tmp_path / "waiting-restic").chmod(0o755)
    restic = Noted(bench.places, "rest:http://nas.lab:8000/lab", program=str(tmp_path / "waiting-restic"))
    with pytest.raises(Problem) as caught:
        restic.open(make=True, known=False)
    assert str(caught.value) == (
        "the repository rest:http://nas.lab:8000/lab cannot be opened with this password, or not be reached "
        "(restic cat had no answer for 1 s and was ended); nothing was changed"
    )
    with pytest.raises(TimedOut):
        restic.run_in_turn("snapshots", alone=False)
    assert restic.asked == ("cat", "snapshots")
