"""The backup container's program on folders of a test, with restic itself or a stand-in for it."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from infra.database.dump import sqlite_make
from infra.roles.backup.inside import fetching, reading, saving
from infra.roles.backup.inside.places import Places
from infra.roles.backup.inside.request import Request
from infra.roles.backup.inside.restic import Restic

FAKE = Path(__file__).with_name("fake_restic.py")
REPOSITORY = "/NAS/backup"


@dataclass
class InsideBench:
    """One stack's folders below `root`, with a database, two uploads, secrets and rendered files."""

    root: Path
    program: str
    request: Request

    @classmethod
    def make(cls, root: Path, program: str, uid: int, gid_is_uid: bool = True) -> InsideBench:
        request = Request(
            project="lab",
            machine="lab.gpu01",
            repository=REPOSITORY,
            known=False,
            keep="7d 5w 12m",
            uid=uid,
            database="sqlite",
            database_bytes=100_000,
            image="labelrig/label-studio:1.23.2-abc",
            version="0.2.0",
            username="admin@labelrig.local",
        )
        bench = cls(root, program, request)
        places = bench.places
        for folder in (places.staging, places.media / "upload/1", places.proxy, places.stack, places.repository):
            folder.mkdir(parents=True)
        (places.own / "definitions").mkdir(parents=True)
        (places.own / "definitions/projects.yaml").write_text("projects: {}\n")
        (places.own / "images").mkdir()
        (places.own / "images/demo.list").write_text("12 1700000000.0 scene.png\n")
        (places.stack / "stack.env").write_text("LABELRIG_UID='61041'\n")
        (places.stack / "folders.json").write_text("[]\n")
        places.secrets.write_text("LABEL_STUDIO_SECRET_KEY=zebra-striped-key\n")
        places.password.write_text("correct horse\n")
        (places.media / "upload/1/a.png").write_bytes(b"a" * 1000)
        (places.media / "upload/1/b.png").write_bytes(b"b" * 2000)
        (places.proxy / "root.crt").write_text("certificate")
        bench.write_database(3)
        return bench

    @property
    def places(self) -> Places:
        return Places(self.root)

    @property
    def restic(self) -> Restic:
        return Restic(self.places, self.request.repository, program=self.program)

    @property
    def database_file(self) -> Path:
        return self.places.data / "label_studio.sqlite3"

    def write_database(self, tasks: int) -> None:
        """A database with tasks, uploads and migrations, written anew."""
        self.database_file.unlink(missing_ok=True)
        with closing(sqlite3.connect(self.database_file)) as db, db:
            db.execute("CREATE TABLE task (id INTEGER PRIMARY KEY, data TEXT, overlap REAL)")
            db.execute("CREATE TABLE data_import_fileupload (id INTEGER PRIMARY KEY, file TEXT)")
            db.execute("CREATE TABLE django_migrations (id INTEGER PRIMARY KEY, app TEXT, name TEXT)")
            db.executemany("INSERT INTO task (data, overlap) VALUES (?, ?)", [(f"t{n}", n / 3) for n in range(tasks)])
            db.executemany("INSERT INTO data_import_fileupload (file) VALUES (?)", [("upload/1/a.png",), ("",)])
            db.execute("INSERT INTO django_migrations (app, name) VALUES ('tasks', '0001_initial')")

    def dump(self, monkeypatch: Any) -> None:
        """What the dump's container does between `prepare` and `save`."""
        monkeypatch.setattr("infra.database.dump.FILE", self.database_file)
        sqlite_make(str(self.places.database))

    def backup(self, monkeypatch: Any, **changes: Any) -> dict[str, Any]:
        """One whole backup."""
        request = replace(self.request, **changes)
        saving.prepare(self.places, request, self.restic)
        self.dump(monkeypatch)
        return saving.save(self.places, request, self.restic)

    def fetch(self, snapshot: str = "") -> dict[str, Any]:
        """A snapshot beside its place."""
        found = reading.find(self.request, self.restic, snapshot)["id"]
        return fetching.fetch(self.places, self.request, self.restic, found)

    def manifest(self, snapshot: str = "") -> dict[str, Any]:
        found: dict[str, Any] = reading.show(self.places, self.request, self.restic, snapshot)["manifest"]
        return found


def fake_program(folder: Path) -> str:
    """An executable that stands in for restic."""
    path = folder / "restic"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    path.chmod(0o755)
    return str(path)


def facts_of(text: str) -> dict[str, Any]:
    """The last line of what a verb printed."""
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found
