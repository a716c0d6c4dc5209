"""Bad input gets one clear error and the right exit code, and leaves nothing behind: the real command."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.repository import REPOSITORY
from tests.machine import free_port, free_subnet

LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", ".labelrig", ".env", "__pycache__", ".*_cache", "tests")


def copy_tree(to: Path) -> Path:
    return Path(shutil.copytree(REPOSITORY, to, ignore=LEFT_OUT, dirs_exist_ok=True))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return copy_tree(tmp_path / "clone")


def up(clone: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    theirs = {name: value for name, value in os.environ.items() if not name.startswith(("LABELRIG_", "LABEL_STUDIO_"))}
    # Whatever runs on this machine under the usual name must not matter.
    own = {
        "LABELRIG_PROJECT": "labelrig-refused",
        "LABEL_STUDIO_PORT": str(free_port()),
        "LABELRIG_SUBNET": free_subnet(),
    }
    environment = theirs | own | settings
    return subprocess.run(
        [sys.executable, str(clone / "tasks.py"), "--search-root", str(clone), "up", *arguments],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def nothing_was_made(clone: Path) -> bool:
    return not (clone / ".env").exists() and not (clone / ".labelrig").exists()


def test_a_wrong_data_folder(clone: Path) -> None:
    done = up(clone, "--data", "/no/such/folder")
    assert done.returncode == 3, done.stderr
    assert "preflight found 1 problem; nothing was changed:" in done.stderr
    assert "data folder /no/such/folder: no such file or directory" in done.stderr
    assert "Traceback" not in done.stderr
    assert nothing_was_made(clone)


def test_a_taken_port_and_a_wrong_folder_are_reported_at_once(clone: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = up(clone, "--data", "/no/such/folder", LABEL_STUDIO_PORT=port)
    assert done.returncode == 3, done.stderr
    assert "preflight found 2 problems" in done.stderr
    assert f"port {port} of 127.0.0.1 is taken by another program" in done.stderr
    assert nothing_was_made(clone)


def test_a_broken_env_file(clone: Path) -> None:
    (clone / ".env").write_text("LABEL_STUDIO_PORT=80a\nLABELRIG_MODLE=tiny\n")
    done = up(clone, LABEL_STUDIO_PORT="")
    assert done.returncode == 2, done.stderr
    assert "error: 2 settings cannot be used:" in done.stderr
    assert "LABELRIG_MODLE: is not a setting; did you mean LABELRIG_MODEL?" in done.stderr
    assert (clone / ".env").read_text() == "LABEL_STUDIO_PORT=80a\nLABELRIG_MODLE=tiny\n"
    assert not (clone / ".labelrig").exists()


def test_an_unknown_model(clone: Path) -> None:
    done = up(clone, "--model", "huge")
    assert done.returncode == 2, done.stderr
    assert "LABELRIG_MODEL: expected auto, demo, tiny, small, base-plus or large" in done.stderr
    assert nothing_was_made(clone)


def test_a_bad_xml(clone: Path) -> None:
    config = clone / "labeling_configs" / "rgbt-sar" / "v2.xml"
    config.write_text(config.read_text().replace("</Labels>", "</Label>"))
    done = up(clone)
    assert done.returncode == 2, done.stderr
    assert "error: labeling_configs/rgbt-sar/v2.xml:" in done.stderr
    assert "Traceback" not in done.stderr
    assert nothing_was_made(clone)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A clone on a file system of 64 MB, in a file of its own."""
    if os.geteuid() != 0:
        pytest.fail("mounting a small disk needs root: run the tests as root")
    disk, mount_point = tmp_path / "disk.img", tmp_path / "small"
    mount_point.mkdir()
    with disk.open("wb") as file:
        file.truncate(64 * 1024**2)
    subprocess.run(["mkfs.ext4", "-q", str(disk)], check=True, timeout=60)
    subprocess.run(["mount", "-o", "loop", str(disk), str(mount_point)], check=True, timeout=60)
    try:
        yield mount_point
    finally:
        subprocess.run(["umount", str(mount_point)], check=True, timeout=60)


def test_a_full_disk(full_disk: Path) -> None:
    clone = copy_tree(full_disk)
    done = up(clone)
    assert done.returncode == 3, done.stderr
    assert f"GiB free on the disk of {clone}, 0.2 GiB needed (state and demo images in {clone})" in done.stderr
    assert nothing_was_made(clone)
