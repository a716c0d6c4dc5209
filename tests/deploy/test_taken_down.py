"""Daily work on a host over SSH, to the end of a stack: exec, restart, people, prune, down, purge, and a new deploy.

What the other files found on the host is gone afterwards, and a stack serves again.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.deploy.command import Lab
from tests.deploy.first import BASE, First
from tests.labhost.host import DATA, LabHost

pytestmark = pytest.mark.slow
LAB = ("--host", "lab1")


@pytest.fixture
def host(first: First, lab: Lab) -> LabHost:
    assert first.deploy.code == 0
    return lab.hosts["lab1"]


def test_a_command_in_a_container_of_a_host(lab: Lab, host: LabHost) -> None:
    words = ("--", "sh", "-c", 'printf "%s|" "$@"; echo oops >&2; exit 7', "sh", "two words", "--host", "$HOME")
    done = lab.inv("exec", "db", *LAB, *words)
    assert (done.code, done.out) == (7, "two words|--host|$HOME|")
    assert done.err.endswith("oops\n")
    rows = lab.inv(
        "exec", "db", *LAB, "--", "psql", "--tuples-only", "--no-align", "-c", "SELECT count(*) > 0 FROM task"
    )
    assert rows.out == "t\n"
    last = json.loads(host.exec("tail", "-n", "1", f"{BASE}/audit.jsonl").stdout)
    assert (last["command"], last["result"]) == ("./inv exec db", "ok")


def test_restart_people_and_room(lab: Lab, host: LabHost, tmp_path: Path) -> None:
    assert lab.on_host("restart", "--service", "sam2")["restarted"] == ["sam2"]
    file = tmp_path / "password"
    added = lab.inv("user.add", *LAB, "--email", "ana@lab.example", "--password-file", str(file), "--json")
    assert added.code == 0, added.said
    password = file.read_text().split()[1]
    assert password not in added.said + host.exec("cat", f"{BASE}/audit.jsonl").stdout
    people = {one["email"]: one for one in lab.on_host("user.list")["people"]}
    assert people["ana@lab.example"]["last_sign_in"] is None
    assert lab.on_host("user.remove", "--email", "ana@lab.example", "--yes")["person"]["active"] is False
    left = host.exec("mktemp", "-d", "/var/tmp/labelrig-build.labelrig.XXXXXXXX").stdout.strip()
    assert left in [one["name"] for one in lab.on_host("prune", "--dry-run")["leftovers"]]
    removed = lab.on_host("prune", "--yes")["removed"]
    assert left in [one["name"] for one in removed]
    assert lab.on_host("prune", "--dry-run")["leftovers"] == []
    assert lab.inv("doctor", *LAB).code == 0


@pytest.mark.usefixtures("redeployed_after")
def test_down_keeps_everything_and_a_purge_nothing(lab: Lab, host: LabHost) -> None:
    pictures = host.exec("find", DATA, "-type", "f").stdout
    volumes = host.inside_engine("volume", "ls", "--quiet").stdout
    asked = lab.inv("down", *LAB)
    assert asked.code == 2
    assert "This stops `labelrig` on lab1 for everybody." in asked.err
    assert lab.on_host("down", "--yes")["changed"] == 4
    assert host.inside_engine("ps", "--all", "--quiet").stdout == ""
    assert host.inside_engine("volume", "ls", "--quiet").stdout == volumes
    assert "started db, sam2, label-studio, proxy" in lab.inv("restart", *LAB).out
    assert lab.inv("doctor", *LAB).code == 0

    asked = lab.inv("down", *LAB, "--purge")
    assert asked.code == 2
    assert "This removes `labelrig` on lab1 with every project, annotation and account in it" in asked.err
    assert "labelrig_db-data" in asked.err
    lab.on_host("down", "--purge", "--yes")
    assert host.inside_engine("ps", "--all", "--quiet").stdout == ""
    assert "labelrig_" not in host.inside_engine("volume", "ls", "--quiet").stdout
    assert "labelrig/sam2" not in host.inside_engine("images").stdout
    left = set(host.exec("ls", "-A", BASE).stdout.split())
    assert left - {".lock-queue"} == {"audit.jsonl"}  # the lock is held to the end, and its queue may have been used
    assert host.exec("find", DATA, "-type", "f").stdout == pictures
    again = lab.inv("deploy", *LAB, "--yes", "--json")
    assert again.code == 0, again.said
