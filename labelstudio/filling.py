"""Filling a project from a folder: tasks made in bulk, known to the storage, with progress and rate.

Label Studio's own sync takes a transaction for each task, blocks its request for minutes, and fails on SQLite when
an annotation is saved meanwhile; see `inside.fill` for what is done instead.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from core.errors import LabelStudioError
from core.report import Report
from core.text import some
from core.waiting import Clock
from hosts.base import Exec
from labelstudio.asking import Facts, ask_inside
from labelstudio.models import Storage

if TYPE_CHECKING:
    from labelstudio.client import Client

PAGED = (".tif", ".tiff")  # names of files that may have several
PAGES_MODULE = "masks.pages"


@dataclass(frozen=True)
class Pace:
    """How often we look, and how long another sync may make no progress, in seconds."""

    look: float = 2.0
    stalled: float = 180.0
    clock: Clock = field(default=time)


@dataclass(frozen=True)
class NewFile:
    """A file that the storage must know.

    Attributes:
        key: its absolute path as the label-studio container sees it.
        data: the data of its task.
        task: the task that has it already.
    """

    key: str
    data: Mapping[str, str]
    task: int | None = None


def fill(
    run: Exec, client: Client, project_id: int, storage_id: int, files: Sequence[NewFile], report: Report, pace: Pace
) -> int:
    """Make the tasks that are missing and let the storage know every file; return how many tasks were made.

    Args:
        run: runs a command in the label-studio container.

    Raises:
        LabelStudioError: another sync of the storage does not end, or Label Studio refused. What was made
            stays, and the next run goes on from there.
    """
    _until_idle(client, project_id, storage_id, report, pace)
    asked = {
        "project": project_id,
        "storage": storage_id,
        "files": [[one.key, dict(one.data), one.task] for one in files],
    }

    def show(facts: Facts) -> None:
        if "done" in facts:
            rate = facts["done"] / max(float(facts["seconds"]), 0.001)
            report.progress(f"images: {facts['done']} of {len(files)}, {rate:.0f} a second")

    report.progress(f"images: 0 of {len(files)}")
    told = ask_inside(run, "fill", asked, show)
    if not told or "known" not in told[-1]:
        raise LabelStudioError("Label Studio did not say how the images were taken in; run the same command again")
    return int(told[-1]["made"])


def mention_pages(run: Exec, paths: Sequence[str], report: Report) -> None:
    """Say which of these files have several pages: people and SAM2 see one, and a recording is none.

    Args:
        run: runs a command in the label-studio container.
        paths: absolute, as the container sees them.
    """
    files = [path for path in paths if path.lower().endswith(PAGED)]
    if not files:
        return
    report.progress(f"looking for several pages in {len(files)} TIFF files")
    told = ask_inside(run, "pages", {"files": files}, shared=(PAGES_MODULE,))
    found = [f"{PurePosixPath(one['file']).name}: {one['pages']} pages" for one in told if "file" in one]
    if found:
        report.notice(
            f"{len(found)} files have several pages, of which people and SAM2 see the first ({some(found)}): where "
            "pages are moments or bands, split them into files"
        )
    seen = sum(one.get("seen", 0) for one in told)
    if seen < len(files):
        report.notice(
            f"{len(files) - seen} of {len(files)} TIFF files were not looked at for more pages than one: slow"
        )


def _until_idle(client: Client, project_id: int, storage_id: int, report: Report, pace: Pace) -> None:
    """Wait for a sync that was started in the browser: both at once would make the same tasks."""
    made, since = -1, pace.clock.monotonic()
    while True:
        # The list, not the single storage: only it notices a sync whose server has died.
        storage = _find(client.storages(project_id), storage_id)
        if not storage.syncing:
            return
        now, count = pace.clock.monotonic(), client.project(project_id).task_count
        if count != made:
            made, since = count, now
        elif now - since > pace.stalled:
            raise LabelStudioError(
                f"another sync of the storage {storage.path} has made no task for {now - since:.0f} s; see the log "
                "of the label-studio container, then run the same command again"
            )
        report.progress(f"waiting for another sync: {count} tasks so far")
        pace.clock.sleep(pace.look)


def _find(storages: Sequence[Storage], storage_id: int) -> Storage:
    found = next((one for one in storages if one.id == storage_id), None)
    if found is None:
        raise LabelStudioError(f"storage {storage_id} was removed while it was filled")
    return found
