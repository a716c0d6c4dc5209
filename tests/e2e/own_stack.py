"""A stack of a test file's own with a repository for its backups, brought up and changed by `./inv` as people do it."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from core.repository import REPOSITORY
from infra.config.settings import Settings, load_settings
from tests.e2e.people_made import view
from tests.machine import free_port, free_subnet
from tests.warm_python import run_inv

TIMEOUT = 1500.0


@dataclass
class OwnStack:
    """One stack.

    Attributes:
        folder: of the test: `.env`, and the repository of the backups.
        project: the name of the stack.
        root: the clone that `./inv` is run from.
    """

    folder: Path
    project: str
    root: Path = REPOSITORY
    port: int = field(default_factory=free_port)
    subnet: str = field(default_factory=free_subnet)

    @property
    def env(self) -> Path:
        return self.folder / ".env"

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def environment(self) -> dict[str, str]:
        theirs = {name: value for name, value in os.environ.items() if not name.startswith("LABEL")}
        return theirs | {"LABELRIG_ENV_FILE": str(self.env)}

    def write_env(self, *more: str) -> None:
        lines = (
            f"LABELRIG_PROJECT={self.project}",
            "LABELRIG_MODEL=demo",
            f"LABELRIG_SUBNET={self.subnet}",
            f"LABEL_STUDIO_PORT={self.port}",
            f"LABELRIG_BACKUP_REPOSITORY={self.repository}",
            *more,
        )
        self.env.write_text("".join(f"{line}\n" for line in lines))
        self.env.chmod(0o600)

    @property
    def settings(self) -> Settings:
        return load_settings(self.env, {}, {})

    def inv(self, *arguments: str) -> dict[str, Any]:
        """A task that must succeed; what `--json` says."""
        done = run_inv(self.root, *arguments, "--json", environment=self.environment, timeout=TIMEOUT)
        assert done.returncode == 0, done.stderr + done.stdout
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def refused(self, *arguments: str) -> tuple[int, str]:
        """A task that fails: its exit code and what it says last."""
        done = run_inv(self.root, *arguments, environment=self.environment, timeout=TIMEOUT)
        assert done.returncode != 0, done.stdout
        return done.returncode, done.stderr[done.stderr.rindex("error: ") :]

    def upload(self, content: bytes) -> None:
        """Import a picture into the first project, as a task more."""
        with self.api() as api:
            files = {"file": ("upload.png", content, "image/png")}
            api.post("/api/projects/1/import", files=files).raise_for_status()

    def view(self) -> dict[str, Any]:
        """What people have made."""
        with self.api() as api:
            return view(api)

    def remove(self) -> None:
        """Everything of it, whatever came of the test."""
        run_inv(self.root, "down", "--purge", "--yes", environment=self.environment, timeout=TIMEOUT)

    def api(self) -> httpx.Client:
        settings = self.settings
        assert settings.api_key is not None
        answer = httpx.post(
            f"{settings.url}/api/token/refresh/",
            json={"refresh": settings.api_key.get_secret_value()},
            trust_env=False,
            timeout=60,
        ).raise_for_status()
        headers = {"Authorization": f"Bearer {answer.json()['access']}"}
        return httpx.Client(base_url=settings.url, headers=headers, timeout=60, trust_env=False)


def png() -> bytes:
    """A picture to upload, as large as a photograph of a camera's preview."""
    pixels = np.random.default_rng(7).integers(0, 255, (480, 640, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()
