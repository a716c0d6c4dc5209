"""The real `./inv`, as a person at a laptop runs it against lab hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from core.repository import REPOSITORY
from infra.roles.images.suites import cache_folder
from tests.labhost.host import DATA, LabHost
from tests.warm_python import run_inv

TIMEOUT = 1200


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Both streams, for a look at everything a person sees."""
        return self.out + self.err

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    def changed(self) -> list[str]:
        """What `--json` says was changed, on all hosts."""
        return [one for host in self.json["hosts"] for stage in host["stages"] for one in stage["changed"]]


@dataclass(frozen=True)
class Lab:
    """Lab hosts and a folder of our own from which they are reached.

    Attributes:
        folder: holds the inventory and a `.env` without anything of whoever runs the tests.
        hosts: name in the inventory -> lab host.
        secrets: lines of that `.env`.
        root: the clone whose `./inv` is run.
    """

    folder: Path
    hosts: Mapping[str, LabHost]
    secrets: Mapping[str, str] = field(default_factory=dict)
    root: Path = REPOSITORY

    def inventory(self, name: str = "inventory.yaml", **settings: object) -> Path:
        """Write an inventory with all hosts; `settings` are for each of them."""
        hosts = {
            name: {
                "address": host.address,
                "user": "operator",
                "ssh_port": host.port,
                "ssh_key": str(host.key),
                "known_hosts": str(host.known_hosts),
                "data": DATA,
                "model": "demo",
                **settings,
            }
            for name, host in self.hosts.items()
        }
        path = self.folder / name
        path.write_text(yaml.safe_dump({"hosts": hosts}, allow_unicode=True))
        return path

    def environment(self) -> dict[str, str]:
        """Write the `.env`; the environment that names it, without settings of whoever runs the tests."""
        env_file = self.folder / ".env"
        env_file.write_text("".join(f"{name}='{value}'\n" for name, value in self.secrets.items()))
        env_file.chmod(0o600)
        theirs = {
            name: value for name, value in os.environ.items() if not name.startswith(("LABELRIG_", "LABEL_STUDIO_"))
        }
        # What Debian offers names the images: a command that read it anew would want others than the tests have made.
        ours = {"HOME": str(self.folder), "XDG_CACHE_HOME": str(cache_folder(os.environ).parent)}
        return theirs | ours | {"LABELRIG_ENV_FILE": str(env_file), "SSH_AUTH_SOCK": ""}

    def words(self, task: str, *arguments: str, inventory: Path | None = None) -> tuple[str, ...]:
        """The task with its arguments, the inventory among them."""
        named = () if inventory is None and task == "docs" else ("--inventory", str(inventory or self.inventory()))
        return task, *named, *arguments

    def start(self, task: str, *arguments: str, inventory: Path | None = None) -> subprocess.Popen[str]:
        """Start a task and return its process."""
        words = self.words(task, *arguments, inventory=inventory)
        return subprocess.Popen(
            [sys.executable, str(self.root / "tasks.py"), "--search-root", str(self.root), *words],
            env=self.environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def inv(self, task: str, *arguments: str, inventory: Path | None = None) -> Ended:
        """Run a task to its end."""
        words = self.words(task, *arguments, inventory=inventory)
        done = run_inv(self.root, *words, environment=self.environment(), folder=self.folder, timeout=TIMEOUT)
        return Ended(done.returncode, done.stdout, done.stderr)

    def on_host(self, task: str, *arguments: str, inventory: Path | None = None) -> dict[str, Any]:
        """What a task that must succeed says of lab1 in JSON."""
        done = self.inv(task, "--host", "lab1", "--json", *arguments, inventory=inventory)
        assert done.code == 0, done.said
        (one,) = done.json["hosts"]
        found: dict[str, Any] = one
        return found

    def releases(self) -> list[dict[str, object]]:
        """The releases that lab1 keeps, the newest first."""
        found: list[dict[str, object]] = self.on_host("releases")["releases"]
        return found

    def current(self) -> str:
        """The release that serves on lab1."""
        (one,) = [str(release["id"]) for release in self.releases() if release["current"]]
        return one


def ended(process: subprocess.Popen[str]) -> Ended:
    """Wait for a task that was started."""
    out, err = process.communicate(timeout=TIMEOUT)
    return Ended(process.returncode, out, err)
