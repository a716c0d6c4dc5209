"""The note that lies beside a stack on a server."""

from __future__ import annotations

import re

from core.operation import converge
from core.repository import REPOSITORY
from infra.roles.notes.role import FILE, notes_role
from tests.fakes import FakeHost
from tests.unit.infra.deploy_bench import quiet

FOLDER = "/srv/labelrig/birds"


class Server(FakeHost):
    name = "gpu01"
    is_local = False


def test_note_is_written_once() -> None:
    host = Server()
    assert [change.summary for (role,) in [notes_role(host, FOLDER, "birds")] for change in role.plan()] == [
        f"write {FILE}"
    ]
    assert host.files == {}
    assert converge(notes_role(host, FOLDER, "birds"), quiet()) == 1
    assert converge(notes_role(host, FOLDER, "birds"), quiet()) == 0


def test_note_names_stack_and_commands() -> None:
    """Every command in it exists, for this host and this compose project."""
    host = Server()
    converge(notes_role(host, FOLDER, "birds"), quiet())
    text = host.files[f"{FOLDER}/{FILE}"].decode()
    assert host.modes[f"{FOLDER}/{FILE}"] == 0o644
    assert "label=com.docker.compose.project=birds\n" in text
    assert "birds_*" in text
    commands = re.findall(r"\./inv (\w+) --host gpu01", text)
    assert commands == ["deploy", "status", "doctor", "rollback"]
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    assert [name for name in commands if f"./inv {name}" not in readme] == []
    assert "{" not in text
