"""Commands on projects with `--host`: this machine over SSH, with its stack laid out as a deploy leaves it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from core.repository import REPOSITORY
from infra.config.settings import load_settings
from infra.stack.site import state_folder
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.sshd import Sshd
from tests.warm_python import run_inv

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the folders on a host are root's")
SECRETS = ("LABEL_STUDIO_PASSWORD", "LABEL_STUDIO_SECRET_KEY", "LABEL_STUDIO_API_KEY", "LABELRIG_BACKEND_PASSWORD")
TIMEOUT = 300


@dataclass(frozen=True)
class Lab:
    """The host as an operator's inventory has it, and what lies on it."""

    inventory: Path
    base: Path
    environment: dict[str, str]

    def inv(self, *arguments: str) -> CompletedProcess[str]:
        where = ("--host", "lab", "--inventory", str(self.inventory))
        return run_inv(REPOSITORY, *arguments, *where, environment=self.environment, timeout=TIMEOUT)

    def result(self, *arguments: str) -> dict[str, Any]:
        done = self.inv(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        (host,) = json.loads(done.stdout)["hosts"]
        found: dict[str, Any] = host
        return found


@pytest.fixture
def lab(stack: Stack, stage: Stage, tmp_path: Path) -> Iterator[Lab]:
    root = tmp_path / "srv"
    base = root / stack.settings.project
    release = base / "releases" / "one"
    release.mkdir(parents=True)
    rendered = [*stack.files.compose, stack.files.env, stack.files.folders]
    for path in map(Path, rendered):
        (release / path.name).write_bytes(path.read_bytes())
    (base / "current").symlink_to("releases/one")
    kept = load_settings(Path(stack.environment["LABELRIG_ENV_FILE"]), {}, {})
    values = (kept.password, kept.secret_key, kept.api_key, kept.backend_password)
    lines = [
        f"{name}={secret.get_secret_value()}\n"
        for name, secret in zip(SECRETS, values, strict=True)
        if secret is not None
    ]
    (base / "secrets.env").write_text("".join(lines))
    shutil.copy(state_folder(stack.settings) / "password.record", base)
    (root / f"{stack.settings.project}-demo").mkdir()
    (root / f"{stack.settings.project}-demo" / "images").symlink_to(state_folder(stack.settings) / "demo" / "images")
    with Sshd(tmp_path) as server:
        host = {
            "address": "127.0.0.1",
            "user": "root",
            "ssh_port": server.port,
            "ssh_key": str(server.key),
            "known_hosts": str(server.known_hosts),
            "root": str(root),
            "project": stack.settings.project,
            "port": stack.settings.port,
            "model": "demo",
        }
        inventory = tmp_path / "inventory.yaml"
        inventory.write_text(yaml.safe_dump({"hosts": {"lab": host}}))
        empty = tmp_path / ".env"  # the operator's own: nothing of this stack is in it
        empty.touch(0o600)
        yield Lab(inventory, base, stack.environment | {"LABELRIG_ENV_FILE": str(empty)})


def test_the_projects_of_a_host_are_planned_applied_and_counted(lab: Lab, stage: Stage) -> None:
    assert lab.result("project.plan", "--project", "rgbt-sar")["changed"] == 0
    assert not (lab.base / "audit.jsonl").exists()

    stage.client.update_project(stage.project_id, description="by hand")
    planned = lab.result("project.plan", "--project", "rgbt-sar")
    assert planned["changed"] == 1
    assert stage.client.project(stage.project_id).description == "by hand"

    applied = lab.result("project.apply", "--project", "rgbt-sar")
    assert applied["changed"] == 1
    assert stage.client.project(stage.project_id).description == stage.spec.description
    lines = [json.loads(line) for line in (lab.base / "audit.jsonl").read_text().splitlines()]
    assert {line["command"] for line in lines} == {"./inv project.apply"}
    assert [line["result"] for line in lines] == ["began", "ok"]
    assert not (lab.base / "lock").exists()

    assert lab.result("project.sync", "--project", "rgbt-sar")["changed"] == 0
    counted = lab.result("stats", "--html", "-")
    assert counted["stats"]["images"] == 12


def test_a_wrong_project_is_one_error_and_nothing_is_locked(lab: Lab) -> None:
    done = lab.inv("project.apply", "--project", "no-such")
    assert done.returncode == 2
    assert "there is no project 'no-such'" in done.stdout + done.stderr
    assert not (lab.base / "lock").exists()
