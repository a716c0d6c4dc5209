"""`./inv` refuses settings that would fail later, or be left out: exit code 2, one sentence, nothing done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.repository import REPOSITORY

INVENTORY = "hosts: {gpu01: {address: 192.0.2.1, data: /NAS/old, model: tiny}}\n"


def inv(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `./inv` with a `.env` of its own, which holds `settings`."""
    env_file, inventory = folder / ".env", folder / "inventory.yaml"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    inventory.write_text(INVENTORY)
    ours = ("LABELRIG_", "LABEL_STUDIO_", "BACKEND_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    hosts = ("--inventory", str(inventory)) if arguments[0] == "plan" else ()
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "tasks.py"), "--search-root", str(REPOSITORY), *arguments, *hosts],
        env=environment | {"LABELRIG_ENV_FILE": str(env_file)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--set", "model=huge"), "gpu01: --model: expected auto, demo, tiny, small, base-plus or large"),
        (("--set", "data=NAS"), "gpu01: --data: must be an absolute path on the host, without `..`"),
        (
            ("--data", "/NAS/a", "--set", "data=/NAS/b"),
            "--data: is given twice on the command line (`--data` and `--set data=` are the same setting); nothing was "
            "done",
        ),
    ],
)
def test_a_value_of_the_command_line_is_never_left_out(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    done = inv(tmp_path, "plan", "--host", "gpu01", *arguments)
    assert done.stderr.strip() == f"error: {says}"
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("password", ['"it\'s-a-password"', '"two\nlines-here"', "'it\\'s-a-password'"])
def test_a_password_that_compose_cannot_carry_is_refused(tmp_path: Path, password: str) -> None:
    done = inv(tmp_path, "status", LABEL_STUDIO_PASSWORD=password, LABELRIG_PROJECT="test-refused")
    assert done.stderr.startswith("error: LABEL_STUDIO_PASSWORD: may hold no single quote and no line break")
    assert "password" not in done.stderr.replace("PASSWORD", "")
    assert (done.returncode, done.stdout) == (2, "")
