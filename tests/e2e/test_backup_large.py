"""Ten thousand annotated images: how long a backup and a restore take, and how large they are.

LABELRIG_LARGE_TASKS is another number of images.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.repository import REPOSITORY
from dataset.importing.target import Shape, results_of
from demo.images import draw_demo_images
from hosts.local import LocalHost
from infra.dev.lanes import LANE_VARIABLE
from infra.stack.site import exec_in_container
from labelstudio.config import load_project
from labelstudio.program import LOADER, program
from labelstudio.session import LOADED_PYTHON
from tests.e2e.drawn_masks import SIZE_WH, drawn_mask
from tests.e2e.mask_filling import filling_program
from tests.e2e.own_stack import OwnStack
from tests.e2e.people_made import tasks_of

TASKS = int(os.environ.get("LABELRIG_LARGE_TASKS", "10000"))
SCENES = 3
MORE = 50  # annotations between the first backup and the second
FILLING_SECONDS = 3600.0
DATABASE = "/label-studio/data/label_studio.sqlite3"
# What people made, and what `up` or a login after a restore never changes.
OF_PEOPLE = ("project", "task", "task_completion", "io_storages_localfilesimportstoragelink")
OWNER = f"{REPOSITORY}{os.environ.get(LANE_VARIABLE, '')}"
PROJECT = f"labelrig-large-{hashlib.sha256(OWNER.encode()).hexdigest()[:6]}"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * 3600)]
Tables = dict[str, dict[str, Any]]


@dataclass
class Large(OwnStack):
    """The stack; `seconds` is how long its tasks took, in their order."""

    seconds: dict[str, float] = field(default_factory=dict)

    def timed(self, what: str, *arguments: str) -> dict[str, Any]:
        """See `inv`; keeps the duration under a name."""
        began = time.monotonic()
        found = self.inv(*arguments)
        self.seconds[what] = time.monotonic() - began
        return found

    def annotate(self, task: int, number: int) -> None:
        """Save the mask of a number on a task, as the editor does."""
        spec = load_project(REPOSITORY)
        image = spec.labeling.images[0].name
        shape = Shape(f"mask{number}", "brush", ("Building",), image, None, SIZE_WH, drawn_mask(number))
        body = {"result": results_of(shape, spec.labeling, shape.region_id), "lead_time": 12.5}
        with self.api() as api:
            api.post(f"/api/tasks/{task}/annotations/", json=body).raise_for_status()

    def fill(self) -> int:
        """Annotate every other task like the one that is; returns how many."""
        answer = self._inside(*LOADED_PYTHON, stdin=filling_program(LOADER, REPOSITORY, 1), timeout=FILLING_SECONDS)
        last = answer.stdout.strip().splitlines()[-1]
        return int(json.loads(last[last.index("{") :])["done"])

    def tables(self) -> Tables:
        """Rows and digest of each table of the database that serves."""
        source = program(("comparing", "sqlite_file", "tables", "dump"), "sqlite")
        shown = self._inside("python3", "-", "look", DATABASE, stdin=source, timeout=FILLING_SECONDS).stdout
        found: Tables = json.loads(shown.strip().splitlines()[-1])["tables"]
        return found

    def repository_bytes(self) -> int:
        """What the files of the repository take."""
        return sum(path.stat().st_size for path in self.repository.rglob("*") if path.is_file())

    @property
    def _inside(self) -> Any:
        return exec_in_container(LocalHost(), f"{self.project}-label-studio-1")


def images(folder: Path) -> Path:
    """A folder with as many images as there are to be tasks, which share the pixels of a few drawn ones."""
    draw_demo_images(folder / "drawn", SCENES)
    drawn = sorted((folder / "drawn" / "images").glob("*.png"))
    for path in drawn:
        path.chmod(0o644)
    data = folder / "images"
    data.mkdir()
    for number in range(TASKS):
        (data / f"frame-{number:05}.png").hardlink_to(drawn[number % len(drawn)])
    data.chmod(0o755)
    return data


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Large]:
    made = Large(tmp_path, PROJECT)
    made.repository.mkdir()
    made.write_env(f"LABELRIG_DATA={images(tmp_path)}")
    try:
        made.timed("up", "up")
        yield made
    finally:
        made.remove()


def test_backup_and_restore_of_many_masks(large: Large, capsys: pytest.CaptureFixture[str]) -> None:
    """Every table comes back as it was, and a second backup costs little beside the first."""
    with large.api() as api:
        tasks = [one["id"] for one in tasks_of(api)]
    large.annotate(tasks[0], tasks[0])
    began = time.monotonic()
    assert large.fill() == TASKS - 1
    large.seconds["fill"] = time.monotonic() - began
    first = large.timed("first backup", "backup")["backup"]
    first_bytes = large.repository_bytes()
    for number, task in enumerate(tasks[:MORE]):
        large.annotate(task, 10**6 + number)
    second = large.timed("second backup", "backup")["backup"]
    second_bytes = large.repository_bytes()
    before = large.tables()
    verified = large.timed("verify", "backup.verify")["verified"]
    assert (verified["snapshots"], verified["newest"]) == (2, second["snapshot"])

    kept = large.folder / "password"
    assert large.settings.backup_password is not None
    kept.write_text(large.settings.backup_password.get_secret_value())
    large.remove()
    large.env.unlink()
    large.write_env(f"LABELRIG_DATA={large.folder / 'images'}", f"LABELRIG_BACKUP_PASSWORD_FILE={kept}")
    restored = large.timed("restore", "restore", second["snapshot"], "--yes")
    after = large.tables()
    again = large.timed("up again", "up")

    took = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in large.seconds.items())
    with capsys.disabled():
        sys.stdout.write(
            f"\n{TASKS} tasks, {first['bytes'] / 1e6:.0f} MB: {took}; in the repository {first_bytes / 1e6:.1f} MB, "
            f"then {second_bytes / 1e6:.1f} MB ({second['added_bytes'] / 1e6:.1f} MB added for {MORE} masks)\n"
        )
    assert before["task_completion"]["rows"] == TASKS + MORE
    assert restored["restored"]["manifest"]["database"]["tables"]["task_completion"]["rows"] == TASKS + MORE
    assert {name: after[name] for name in OF_PEOPLE} == {name: before[name] for name in OF_PEOPLE}
    assert "came back as a mask" in restored["proof_sentence"]
    assert again["changed"] == 0
    assert second["added_bytes"] < first["added_bytes"] / 4
