"""Running one storage sync to its end, with progress.

Label Studio syncs inside the HTTP request: minutes for thousands of images, one transaction per task, and HTTP 200 in
the end whatever happened. Three things go wrong in life: SQLite is locked by somebody who saves an annotation (the sync
fails half-way and can simply be repeated), the request is cut off while the sync goes on, and the server dies in the
middle (Label Studio marks such a sync as failed after 25 s). A second sync must never start while one runs: each would
make the same tasks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.errors import LabelStudioError
from infra.labelstudio.answers import NoAnswer
from infra.labelstudio.models import Project, Storage
from infra.report import Report
from infra.waiting import Clock

if TYPE_CHECKING:
    from infra.labelstudio.client import Client

LOCKED = "database is locked"
TRIES_IN_VAIN = 5


@dataclass(frozen=True)
class Pace:
    """How often we look, and how long a sync may make no progress, in seconds."""

    look: float = 2.0
    stalled: float = 180.0
    clock: Clock = field(default=time)


def run_sync(client: Client, project: Project, storage_id: int, expected: int, report: Report, pace: Pace) -> None:
    """Sync a storage; repeat when the database was locked, as long as each try gets further than those before it.

    Args:
        client: the connection.
        project: as it was before; its task count is where progress starts.
        storage_id: which storage.
        expected: how many new tasks there should be, for the progress line.
        report: gets the progress.
        pace: how often to look.

    Raises:
        LabelStudioError: the sync failed, with Label Studio's own reason, or made no progress for too long.
    """
    watch = _Watch(client, project, storage_id, expected, report, pace)
    watch.until_idle()
    most, in_vain = -1, 0
    while True:
        storage = watch.sync()
        if storage.status == "completed":
            return
        made = watch.progress()
        most, in_vain = (made, 0) if made > most else (most, in_vain + 1)
        if LOCKED not in storage.traceback or in_vain == TRIES_IN_VAIN:
            raise _failure(storage)
        report.progress(f"another writer locked the database after {made} of {expected} tasks; syncing again")
        pace.clock.sleep(pace.look)


class _Watch:
    def __init__(
        self, client: Client, project: Project, storage_id: int, expected: int, report: Report, pace: Pace
    ) -> None:
        self._client = client
        self._project = project
        self._storage_id = storage_id
        self._expected = expected
        self._report = report
        self._pace = pace

    def sync(self) -> Storage:
        """Start a sync and stay until the storage is idle again."""
        call = _Background(lambda: self._client.sync_storage(self._storage_id))
        stall = self._stall()
        while not call.done_within(self._pace.look):
            stall.check(self.progress())
        if call.error is not None and not isinstance(call.error, NoAnswer):
            raise call.error
        # Where the request broke off the sync may go on: the storage says how it ended.
        return self.until_idle()

    def until_idle(self) -> Storage:
        """Wait for a sync that runs already, ours or another's."""
        stall = self._stall()
        while True:
            # The list, not the single storage: only it notices a sync whose server has died.
            found = (one for one in self._client.storages(self._project.id) if one.id == self._storage_id)
            storage = next(found, None)
            if storage is None:
                raise LabelStudioError(f"storage {self._storage_id} was removed while it was synced")
            if not storage.syncing:
                return storage
            stall.check(self.progress())
            self._pace.clock.sleep(self._pace.look)

    def progress(self) -> int:
        """Show and return how many tasks were made."""
        made = self._client.project(self._project.id).task_count - self._project.task_count
        self._report.progress(f"syncing images: {made} of {self._expected} tasks")
        return made

    def _stall(self) -> _Stall:
        return _Stall(self._pace, self._storage_id)


class _Stall:
    """Raises when the number of tasks has not changed for too long."""

    def __init__(self, pace: Pace, storage_id: int) -> None:
        self._pace = pace
        self._storage_id = storage_id
        self._made: int | None = None
        self._since = pace.clock.monotonic()

    def check(self, made: int) -> None:
        now = self._pace.clock.monotonic()
        if made != self._made:
            self._made, self._since = made, now
        elif now - self._since > self._pace.stalled:
            raise LabelStudioError(
                f"the sync of storage {self._storage_id} has made no task for {now - self._since:.0f} s "
                f"({made} so far); see the log of the label-studio container, then run `./inv up` again: "
                "it goes on where this one stopped"
            )


class _Background:
    """One call in a thread that an interrupted run does not wait for."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.error: LabelStudioError | None = None
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._call()
        except LabelStudioError as error:
            self.error = error

    def done_within(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()


def _failure(storage: Storage) -> LabelStudioError:
    lines = [line.strip() for line in storage.traceback.splitlines() if line.strip()]
    reason = lines[-1] if lines else "it gave no reason"
    return LabelStudioError(
        f"Label Studio could not sync the folder {storage.path} (status {storage.status}): {reason}; "
        "see the log of the label-studio container; the tasks made so far are kept, and `./inv up` goes on from there"
    )
