"""The image folder in Label Studio: connected as a local-files storage, and every image a task, once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from infra.errors import LabelStudioError
from infra.hosts.base import Host
from infra.labelstudio.access import Access
from infra.labelstudio.config import ProjectSpec
from infra.labelstudio.image_files import ImageFiles, list_images, path_in
from infra.labelstudio.models import Storage, TaskRef
from infra.labelstudio.syncing import Pace, run_sync
from infra.operation import Change
from infra.operations.project import find_project, get_project
from infra.report import Report

SHOWN = 5


@dataclass(frozen=True)
class StorageConnected:
    """The folder is connected to the project exactly once, with our filter, as source files.

    Label Studio serves a local file only to people who have a storage on a folder above it, so the storage is the
    permission too. It must be a strict sub-folder of the document root.
    """

    access: Access
    spec: ProjectSpec
    files_root: str
    folder_name: str

    @property
    def name(self) -> str:
        """See `Operation.name`."""
        return f"storage {self.path}"

    @property
    def path(self) -> str:
        """The folder as the label-studio container sees it."""
        return f"{self.files_root}/{self.folder_name}"

    def plan(self) -> Sequence[Change]:
        """See `Operation.plan`."""
        client = self.access.client()
        project = find_project(client, self.spec.title)
        ours = [one for one in client.storages(project.id) if self._is_ours(one)] if project else []
        if not ours or project is None:
            return [Change(f"connect the folder {self.path} to {self.spec.title}", self._connect)]
        changes = []
        kept = ours[0]
        wanted = replace(self._wanted(), id=kept.id, status=kept.status, traceback=kept.traceback)
        if kept != wanted:
            update = partial(client.update_storage, project.id, kept.id, wanted)
            changes.append(Change(f"correct the storage {self.path}", update, _difference(kept, wanted)))
        changes += [
            Change(
                f"disconnect storage {one.id}, a second one on {self.path} (its tasks stay)",
                partial(client.delete_storage, one.id),
            )
            for one in ours[1:]
        ]
        return changes

    def _is_ours(self, storage: Storage) -> bool:
        return storage.path.rstrip("/") == self.path

    def _wanted(self) -> Storage:
        return Storage(
            id=0,
            title=self.folder_name,
            path=self.path,
            regex_filter=self.spec.images_filter,
            use_blob_urls=True,
            recursive_scan=True,
        )

    def _connect(self) -> None:
        client = self.access.client()
        client.create_storage(get_project(client, self.spec.title).id, self._wanted())


@dataclass(frozen=True)
class ImagesSynced:
    """Each image of the folder is a task of the project, exactly once.

    Compares the folder on the host with the tasks, not with the storage's own book-keeping, which a deleted and
    re-made storage starts anew. `folder` is the folder on the host, `storage` its connection.
    """

    access: Access
    spec: ProjectSpec
    host: Host
    folder: str
    storage: StorageConnected
    report: Report
    pace: Pace = field(default_factory=Pace)

    @property
    def name(self) -> str:
        """See `Operation.name`."""
        return f"images of {self.folder} are tasks"

    def plan(self) -> Sequence[Change]:
        """See `Operation.plan`."""
        images = list_images(self.host, self.folder, self.spec.images_filter)
        if not images.paths:
            raise LabelStudioError(
                f"no image in {self.folder} has a name that matches {self.spec.images_filter!r}; "
                "give another folder with --data, or another filter in labeling_configs/projects.yaml"
            )
        tasks = self._tasks()
        self._mention(images, tasks)
        missing = images.paths - tasks.keys()
        changes = []
        if missing:
            changes.append(Change(f"sync {len(missing)} new images ({_some(missing)})", partial(self._sync, missing)))
        changes += self._surplus(tasks)
        return changes

    def _tasks(self) -> dict[str, list[TaskRef]]:
        """The project's tasks by the path of their image below the folder."""
        client = self.access.client()
        project = find_project(client, self.spec.title)
        tasks: dict[str, list[TaskRef]] = defaultdict(list)
        if project is not None:
            for count, task in enumerate(client.tasks(project.id, self.spec.labeling.image_key), 1):
                path = path_in(self.storage.folder_name, task.image)
                if path is not None:
                    tasks[path].append(task)
                self.report.progress(f"compared {count} of {project.task_count} tasks with the folder")
        return dict(tasks)

    def _mention(self, images: ImageFiles, tasks: dict[str, list[TaskRef]]) -> None:
        if images.links:
            self.report.notice(
                f"{len(images.links)} symbolic links in {self.folder} are left out ({_some(images.links)}): "
                "what they point to need not exist inside the container"
            )
        gone = tasks.keys() - images.paths - images.links
        if gone:
            self.report.notice(
                f"{len(gone)} tasks have lost their image: no such file in {self.folder} any more ({_some(gone)}); "
                "the tasks and their annotations are kept"
            )

    def _surplus(self, tasks: dict[str, list[TaskRef]]) -> list[Change]:
        """Second tasks of one image, as a storage that was deleted and made again leaves them."""
        client = self.access.client()
        changes, kept = [], []
        for path, same in sorted(tasks.items()):
            # The one with most work in it stays; of equals the oldest.
            _, *others = sorted(same, key=lambda task: (-task.annotations, task.id))
            for task in others:
                if task.annotations or client.draft_count(task.id):
                    kept.append(path)
                    continue
                delete = partial(client.delete_task, task.id)
                changes.append(Change(f"delete task {task.id}, an untouched second task of {path}", delete))
        if kept:
            self.report.notice(
                f"{len(kept)} images have more than one annotated task ({_some(kept)}); all of them are kept"
            )
        return changes

    def _sync(self, missing: frozenset[str]) -> None:
        client = self.access.client()
        project = get_project(client, self.spec.title)
        path = self.storage.path
        storage = next((one for one in client.storages(project.id) if one.path.rstrip("/") == path), None)
        if storage is None:
            raise LabelStudioError(f"the folder {path} is not connected to project {project.title}")
        run_sync(client, project, storage.id, len(missing), self.report, self.pace)
        tasks = self._tasks()
        # A storage that was made anew does not know the tasks of the one before it, and makes them again.
        for change in self._surplus(tasks):
            change.apply()
        left = missing - tasks.keys()
        if left:
            raise LabelStudioError(
                f"Label Studio synced {path} and made no task for {len(left)} images ({_some(left)}); "
                f"is {self.folder} the folder that the container sees as {path}, "
                "and may its user read the files?"
            )


def _difference(old: Storage, new: Storage) -> str:
    names = ("title", "path", "regex_filter", "use_blob_urls", "recursive_scan")
    pairs = [(name, getattr(old, name), getattr(new, name)) for name in names]
    return "\n".join(f"- {name}: {was}\n+ {name}: {will}" for name, was, will in pairs if was != will)


def _some(paths: frozenset[str] | set[str] | list[str]) -> str:
    shown = sorted(paths)[:SHOWN]
    return ", ".join(shown) + (", …" if len(paths) > len(shown) else "")
