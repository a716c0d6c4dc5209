"""A clone of the repository with a `projects.yaml` of a test's own; `./inv` in it works on the running stack."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import yaml

from core.repository import REPOSITORY
from tests.warm_python import run_inv

# What `./inv` reads of a clone. The stack's own state is the real one's.
PARTS = (
    *("core", "hosts", "labelstudio", "infra", "dataset", "commands", "labeling", "masks"),
    *("labeling_configs", "backend", "requirements", "demo", "tasks.py", "pyproject.toml"),
)
STATE = ".labelrig"
TIMEOUT = 300
DEFAULT = {"title": "RGBT-SAR", "description": "Search and rescue scenes, segmented with SAM2", "config": "rgbt-sar"}

Done = CompletedProcess[str]


@dataclass(frozen=True)
class Clone:
    """The clone, and the environment that `./inv` runs in."""

    path: Path
    environment: dict[str, str]

    @classmethod
    def make(cls, path: Path, environment: dict[str, str]) -> Clone:
        """Copy what is needed."""
        ignored = shutil.ignore_patterns("__pycache__", "*.pt")
        for name in PARTS:
            if (REPOSITORY / name).is_dir():
                shutil.copytree(REPOSITORY / name, path / name, ignore=ignored)
            else:
                shutil.copy(REPOSITORY / name, path / name)
        (path / STATE).symlink_to(REPOSITORY / STATE)
        return cls(path, environment)

    @property
    def configs(self) -> Path:
        """Its labeling configurations."""
        return self.path / "labeling_configs"

    def projects(self, **projects: dict[str, Any]) -> None:
        """Write `projects.yaml`: these, and the default project."""
        content = {"projects": {"rgbt-sar": {**DEFAULT, "version": 2, "default": True}, **projects}}
        (self.configs / "projects.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")

    def inv(self, *arguments: str) -> Done:
        """Run `./inv`, whatever comes of it."""
        return run_inv(self.path, *arguments, environment=self.environment, folder=self.path, timeout=TIMEOUT)

    def result(self, *arguments: str) -> dict[str, Any]:
        """Run `./inv ... --json`, which must succeed; what it says."""
        done = self.inv(*arguments, "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        found: dict[str, Any] = json.loads(done.stdout)
        return found
