"""The image folder in Label Studio: connected as a local-files storage, and every image a task, once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath

from core.errors import LabelStudioError
from core.operation import Change, Operation
from core.report import Report
from core.text import some
from hosts.base import Exec, Host
from infra.roles.project.project import find_project, get_project
from labeling.images import ImageTag
from labelstudio.access import Access
from labelstudio.config import ProjectSpec
from labelstudio.filling import NewFile, Pace, fill, mention_pages
from labelstudio.image_files import ImageFiles, list_images, path_in
from labelstudio.models import Storage, TaskRef
from labelstudio.wanted_tasks import WantedTasks, image_keys, list_filter, storage_filter, task_url, wanted_tasks


@dataclass(frozen=True)
class StorageConnected(Operation):
    """The folder is connected to the project exactly once, with our filter, as source files.

    Label Studio serves a local file only to people who have a storage on a folder above it, so the storage is the
    permission too. It must be a strict sub-folder of the document root. Its filter depends on what lies in the folder:
    a press on Sync in the browser must take the files that `ImagesSynced` takes, or none. `folder` is the folder on
    the host.
    """

    access: Access
    spec: ProjectSpec
    host: Host
    folder: str
    files_root: str
    folder_name: str

    @property
    def name(self) -> str:
        return f"storage {self.path}"

    @property
    def path(self) -> str:
        """The folder as the label-studio container sees it."""
        return f"{self.files_root}/{self.folder_name}"

    def plan(self) -> Sequence[Change]:
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
            regex_filter=storage_filter(self.spec, list_images(self.host, self.folder, list_filter(self.spec))),
            use_blob_urls=True,
            recursive_scan=True,
        )

    def _connect(self) -> None:
        client = self.access.client()
        client.create_storage(get_project(client, self.spec.title).id, self._wanted())


@dataclass(frozen=True)
class ImagesSynced(Operation):
    """Each image of the folder is a task of the project, exactly once, and the storage knows it.

    Compares the folder on the host with the tasks, not with the storage's own book-keeping, which a deleted and
    re-made storage starts anew. What the storage does not know, the next press on Sync in the browser would make a
    second time. `folder` is the folder on the host, `storage` its connection, `run` runs a command in the
    label-studio container.
    """

    access: Access
    spec: ProjectSpec
    host: Host
    folder: str
    storage: StorageConnected
    run: Exec
    report: Report
    pace: Pace = field(default_factory=Pace)

    @property
    def name(self) -> str:
        return f"images of {self.folder} are tasks"

    def plan(self) -> Sequence[Change]:
        images, wanted = look_in(self.host, self.folder, self.spec)
        tasks = self._tasks()
        self._mention(images, wanted, tasks)
        surplus, kept = self._surplus(tasks)
        new = wanted.tasks.keys() - kept.keys()
        unknown = {path for path, task in kept.items() if path in wanted.tasks and task.file != self._key(path)}
        if not new and not unknown:
            return surplus
        files = [
            NewFile(self._key(path), self._data(wanted.tasks[path]), kept[path].id if path in kept else None)
            for path in sorted(new | unknown, key=lambda path: (PurePosixPath(path).name, path))
        ]
        shown = [f"{self.storage.path}/{one}" for path in sorted(new) for one in wanted.tasks[path].values()]
        fill_it = partial(self._fill, files, shown)
        if not new:
            summary = f"make {len(unknown)} images known to the storage ({some(unknown)})"
        else:
            summary = f"sync {len(new)} new images ({some(new)})"
        # The surplus first: a link to a task that is deleted would go with it.
        return [*surplus, Change(summary, fill_it)]

    def _key(self, path: str) -> str:
        return f"{self.storage.path}/{path}"

    def _data(self, images: Mapping[str, str]) -> dict[str, str]:
        return {key: task_url(self.storage.folder_name, path) for key, path in images.items()}

    def _tasks(self) -> dict[str, list[TaskRef]]:
        """The project's tasks by the path of their image below the folder."""
        client = self.access.client()
        project = find_project(client, self.spec.title)
        tasks: dict[str, list[TaskRef]] = defaultdict(list)
        image = ImageTag("", f"${image_keys(self.spec)[0]}")
        if project is not None:
            for count, task in enumerate(client.tasks(project.id, image), 1):
                path = path_in(self.storage.folder_name, task.image)
                if path is not None:
                    tasks[path].append(task)
                self.report.progress(f"compared {count} of {project.task_count} tasks with the folder")
        return dict(tasks)

    def _mention(self, images: ImageFiles, wanted: WantedTasks, tasks: dict[str, list[TaskRef]]) -> None:
        if links := images.links | images.linked_folders:
            self.report.notice(
                f"{len(links)} symbolic links in {self.folder} are left out ({some(links)}): "
                "what they point to need not exist inside the container"
            )
        if images.folders:
            self.report.notice(
                f"{len(images.folders)} folders of servers and systems in {self.folder} are left out "
                f"({some(images.folders)})"
            )
        if others := images.others | wanted.others:
            self.report.notice(f"{len(others)} files in {self.folder} are left out by their names ({some(others)})")
        if not images.is_plain and not self.spec.images_pairs:
            self.report.notice(
                f"Sync in the browser takes no files from {self.folder}: it would take what is left out here; for new "
                "images, run `./inv project.sync`"
            )
        if alone := wanted.alone - tasks.keys():
            self.report.notice(f"{len(alone)} files in {self.folder} have no partner and are left out ({some(alone)})")
        if left := wanted.alone & tasks.keys():
            self.report.notice(
                f"{len(left)} tasks have lost the partner of their image ({some(left)}); the tasks and their "
                "annotations are kept"
            )
        missing = tasks.keys() - images.paths
        if left_out := {path for path in missing if images.leaves_out(path)}:
            self.report.notice(
                f"{len(left_out)} tasks show files that are left out now ({some(left_out)}); the tasks and their "
                "annotations are kept: delete them in the Data Manager"
            )
        if gone := missing - left_out:
            self.report.notice(
                f"{len(gone)} tasks have lost their image: no such file in {self.folder} any more ({some(gone)}); "
                "the tasks and their annotations are kept"
            )

    def _surplus(self, tasks: dict[str, list[TaskRef]]) -> tuple[list[Change], dict[str, TaskRef]]:
        """Second tasks of one image, as a storage that was deleted and made again leaves them, and what stays."""
        client = self.access.client()
        changes, doubled, kept = [], [], {}
        for path, same in sorted(tasks.items()):
            # The one with most work in it stays; of equals the one that the storage knows, then the oldest.
            key = self._key(path)
            first, *others = sorted(same, key=lambda task: (-task.annotations, task.file != key, task.id))
            kept[path] = first
            for task in others:
                if task.annotations or client.draft_count(task.id):
                    doubled.append(path)
                    continue
                delete = partial(client.delete_task, task.id)
                changes.append(Change(f"delete task {task.id}, an untouched second task of {path}", delete))
        if doubled:
            self.report.notice(
                f"{len(doubled)} images have more than one annotated task ({some(doubled)}); all of them are kept"
            )
        return changes, kept

    def _fill(self, files: Sequence[NewFile], shown: Sequence[str]) -> None:
        client = self.access.client()
        project = get_project(client, self.spec.title)
        path = self.storage.path
        storage = next((one for one in client.storages(project.id) if one.path.rstrip("/") == path), None)
        if storage is None:
            raise LabelStudioError(f"the folder {path} is not connected to project {project.title}")
        fill(self.run, client, project.id, storage.id, files, self.report, self.pace)
        mention_pages(self.run, shown, self.report)


def look_in(host: Host, folder: str, spec: ProjectSpec) -> tuple[ImageFiles, WantedTasks]:
    """What lies in a folder on the host, and the tasks that it makes.

    Raises:
        LabelStudioError: it makes none.
    """
    images = list_images(host, folder, list_filter(spec))
    wanted = wanted_tasks(spec, images.paths)
    if wanted.tasks:
        return images, wanted
    if not spec.images_pairs:
        raise LabelStudioError(
            f"no image in {folder} has a name that matches {spec.images_filter!r} as a whole; "
            "give another folder with --data, or another filter in labeling_configs/projects.yaml"
        )
    patterns = " and ".join(repr(one) for one in spec.images_pairs.values())
    raise LabelStudioError(
        f"no files in {folder} make a pair of {patterns} ({len(wanted.alone)} have no partner); "
        "correct `pairs` in labeling_configs/projects.yaml"
    )


def _difference(old: Storage, new: Storage) -> str:
    names = ("title", "path", "regex_filter", "use_blob_urls", "recursive_scan")
    pairs = [(name, getattr(old, name), getattr(new, name)) for name in names]
    return "\n".join(f"- {name}: {was}\n+ {name}: {will}" for name, was, will in pairs if was != will)
