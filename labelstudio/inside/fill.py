"""Make tasks of image files, and let the storage know them, a batch of both in one transaction.

Label Studio's own sync makes one task a transaction: minutes for thousands, and it fails where a person saves an
annotation on SQLite meanwhile. Its import makes them in bulk, and the storage knows nothing of them, so that the next
press on Sync makes every task again. This does both at once: Label Studio's own import, and the links by which its
sync recognises a file, with the storage in the state "in progress" as during a sync.
"""

from __future__ import annotations

import time
from typing import Any

from labelstudio.inside.django_side import Refused, get, in_transaction, say, serve

BATCH = 500
BUSY = ("queued", "in_progress")


def main(asked: str) -> None:
    """Fill a storage; `asked` is `{project, storage, files: [[key, data, task or null], ...]}`.

    `key` is the file's absolute path in the container, `data` the task's data, `task` the id of a task that has the
    file already and is only made known.
    """
    serve(_fill, asked)


def _fill(asked: dict[str, Any]) -> None:
    storages = get("io_storages.localfiles.models", "LocalFilesImportStorage").objects
    storage = storages.filter(pk=asked["storage"], project=asked["project"]).first()
    if storage is None:
        raise Refused("the storage is not connected to the project any more")
    if storage.status in BUSY:
        raise Refused("the storage is being synced by another process")
    # Over PostgreSQL Label Studio refuses a second sync in this state; over SQLite it does not look.
    if not storage.info_set_queued():
        raise Refused("the storage is being synced by another process")
    storage.info_set_in_progress()
    filling = _Filling(storage, asked["files"])
    try:
        filling.run()
    except BaseException:
        storage.info_set_failed()
        raise


class _Filling:
    def __init__(self, storage: Any, files: list[list[Any]]) -> None:
        self.storage = storage
        self.project = storage.project
        self.user = self.project.created_by
        self.files = files
        self.links = get("io_storages.localfiles.models", "LocalFilesImportStorageLink")
        self.made = self.known = 0

    def run(self) -> None:
        get("core.current_request", "CurrentContext").set_user(self.user)
        began = time.monotonic()
        for start in range(0, len(self.files), BATCH):
            batch = self.files[start : start + BATCH]
            made = in_transaction(lambda: self._batch(batch))  # noqa: B023 - called before the next turn
            self.made += len(made)
            self.known += len(batch) - len(made)
            self._tell_hooks(made)
            self.storage.info_update_progress(last_sync_count=self.made, tasks_existed=self.known)
            say(done=start + len(batch), made=self.made, seconds=round(time.monotonic() - began, 2))
        if self.made:
            self.project.update_tasks_states(
                maximum_annotations_changed=False, overlap_cohort_percentage_changed=False, tasks_number_changed=True
            )
        self.storage.info_set_completed(last_sync_count=self.made, tasks_existed=self.known)
        say(made=self.made, known=self.known, seconds=round(time.monotonic() - began, 2))

    def _batch(self, batch: list[list[Any]]) -> list[Any]:
        """In a transaction: the new tasks of these files."""
        type(self.storage).objects.filter(pk=self.storage.pk).update(status="in_progress")
        keys = [key for key, _, _ in batch]
        there = set(self.links.objects.filter(storage=self.storage, key__in=keys).values_list("key", flat=True))
        left = [one for one in batch if one[0] not in there]
        ids = [task for _, _, task in left if task is not None]
        tasks = get("tasks.models", "Task").objects
        known = set(tasks.filter(project=self.project, pk__in=ids).values_list("pk", flat=True))
        self.links.objects.filter(task_id__in=known).delete()  # of another key or storage: a task has one link
        new = [one for one in left if one[2] not in known]
        made = self._import([data for _, data, _ in new]) if new else []
        pairs = [(task, key) for key, _, task in left if task in known]
        pairs += [(task.pk, key) for task, (key, _, _) in zip(made, new, strict=True)]
        self.links.objects.bulk_create(
            [self.links(task_id=task, key=key, storage=self.storage, object_exists=True) for task, key in pairs]
        )
        return made

    def _import(self, datas: list[dict[str, Any]]) -> list[Any]:
        """Tasks in bulk, as Label Studio's own import makes them."""
        tasks = [{"data": data} for data in datas]
        context = {"project": self.project, "user": self.user}
        serializer = get("data_import.serializers", "ImportApiSerializer")(data=tasks, many=True, context=context)
        serializer.is_valid(raise_exception=True)
        made = list(serializer.save(project_id=self.project.pk))
        self.project.summary.update_data_columns(tasks)
        return made

    def _tell_hooks(self, made: list[Any]) -> None:
        if made:
            emit = get("webhooks.utils", "emit_webhooks_for_instance")
            created = get("webhooks.models", "WebhookAction").TASKS_CREATED
            emit(self.project.organization, self.project, created, made)
