"""Tasks of Label Studio as a side: of a project, or of a file that Label Studio or `./inv export` wrote.

Of several annotations of one task the newest counts, one that is marked as ground truth before all others. `who` takes
one person's, by e-mail address or the user's number; `predictions` takes the model's, the newest of each task: of one
version, since that of `pairs.transfer` is what a person drew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import SettingsError
from core.strict_json import shown
from dataset.agreement.side import Drawn, ImageMasks, SideNotes
from dataset.export.image_name import file_name_of
from dataset.export.labeling import read_labeling
from dataset.export.results import item_index_of, size_of_result, with_ids
from dataset.export.selection import Selection
from dataset.importing.label_studio import images_in, names_of_tags
from dataset.importing.source import Spool
from dataset.json_file import JsonFile
from dataset.stats.shapes import shapes_in
from labeling.images import TaskImage, task_images
from labelstudio.bulk import Annotation, TaskReader, WholeTask, task_rows

if TYPE_CHECKING:
    from core.report import Report
    from labelstudio.client import Client
    from labelstudio.models import Project

PREDICTIONS = "predictions"
MODEL = f"{PREDICTIONS}="

Results = Sequence[Mapping[str, Any]]


class TasksSide:
    """See `Side`. Results lie in a temporary file, those of each image by its name."""

    has_objects = True

    def __init__(self, name: str, who: str) -> None:
        self.name = name
        self.notes = SideNotes()
        self._who = who
        person = who.lower()
        self._selection = Selection(annotators=frozenset((person, f"user {person}")) if who else frozenset())
        self._spool = Spool()
        self._images: dict[str, int] = {}
        self._people: set[str] = set()
        self._versions: Counter[str] = Counter()
        self._twice: list[str] = []

    @property
    def images(self) -> Sequence[str]:
        return list(self._images)

    def read(self, image: str) -> ImageMasks:
        results = self._spool.get(self._images[image])
        shapes, unreadable = shapes_in(results)
        sizes = [size for size in map(size_of_result, results) if min(size) > 0]
        drawn = [Drawn(one.label.strip(), one.mask, one.region) for one in shapes]
        return ImageMasks(drawn, sizes[0] if sizes else None, unreadable)

    def close(self) -> None:
        self._spool.close()

    def add(self, where: str, images: Sequence[TaskImage], task: WholeTask) -> None:
        """Take the annotation of a task in, if there is one."""
        results = self._results(task)
        if results is None:
            return
        there = {str(one.get("to_name", "")) for one in results if "original_width" in one}
        names = names_of_tags(there, images)
        if names is None:
            self.notes.lines.append(
                f"{where} shows {len(images)} images and has regions on {', '.join(map(shown, sorted(there)))}: which "
                "of them is which is unknown, it was left out"
            )
            return
        by_place: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
        for one in with_ids([dict(each) for each in results]):
            tag = str(one.get("to_name", ""))
            by_place.setdefault((names.get(tag, tag), item_index_of(one) or 0), []).append(one)
        for image in images:
            name = file_name_of(image.url)
            if name in self._images:
                self._twice.append(name)
                continue
            self._images[name] = self._spool.add(by_place.get((image.name, image.item_index or 0), []))

    def finish(self) -> None:
        """Say what was found.

        Raises:
            SettingsError: there is nothing to compare, or predictions are of several versions and none was named.
        """
        if self._twice:
            self.notes.lines.append(
                f"{len(self._twice)} images are in several tasks ({self._twice[0]}); the first counts"
            )
        if self._of_predictions:
            self._check_versions()
        if not self._images:
            people = f"; there are annotations of {', '.join(sorted(self._people))}" if self._people else ""
            what = f"of {self._who}" if self._who else "that was submitted"
            raise SettingsError(f"{self.name}: has no annotation {what}{people}")

    def _results(self, task: WholeTask) -> Results | None:
        if self._of_predictions:
            self._versions.update({one.model_version for one in task.predictions})
            version = self._who.removeprefix(MODEL) if self._who.startswith(MODEL) else None
            fitting = [one for one in task.predictions if version in (None, one.model_version)]
            return fitting[-1].results if fitting else None
        self._people |= {one.annotator for one in task.annotations if one.annotator}
        chosen = self._selection.annotations(task.annotations)
        return chosen[0].results if chosen else None

    @property
    def _of_predictions(self) -> bool:
        return self._who == PREDICTIONS or self._who.startswith(MODEL)

    def _check_versions(self) -> None:
        there = ", ".join(f"{shown(one)} ({count} tasks)" for one, count in sorted(self._versions.items()))
        if self._who == PREDICTIONS and len(self._versions) > 1:
            raise SettingsError(
                f"{self.name}: its predictions are of several model versions: {there}; say which, as in "
                f"{self.name}={min(self._versions)}"
            )
        if not self._images:
            others = f"; there are those of {there}" if there else ""
            raise SettingsError(f"{self.name}: has no such prediction{others}")
        if self._who == PREDICTIONS:
            self.notes.lines.append(f"its predictions are of the model version {there}")


def side_of_file(path: Path, who: str, report: Report) -> TasksSide:
    """Read Label Studio's JSON.

    Raises:
        SettingsError: it is not a list of tasks, or nothing in it is annotated.
    """
    side = TasksSide(str(path), who)
    try:
        for number, task in enumerate(JsonFile(path).items("item"), 1):
            report.progress(f"{path.name}: {number} tasks read")
            where = f"{path}: entry {number}"
            if not isinstance(task.get("data"), dict):
                raise SettingsError(f"{where} is not a task of Label Studio: it has no data")
            whole = WholeTask(number, task["data"], tuple(_annotations(where, task)), ())
            side.add(where, images_in(whole.data), whole)
        side.finish()
    except BaseException:
        side.close()
        raise
    return side


def side_of_project(client: Client, project: Project, who: str, report: Report) -> TasksSide:
    """Read the tasks of a project.

    Raises:
        SettingsError: nothing in it is annotated.
        LabelStudioError: Label Studio did not answer.
    """
    labeling = read_labeling(project.label_config, f"the project {project.title!r}")
    side = TasksSide(f"{project.title}:{who}" if who else project.title, who)
    try:
        wanted_all = who.startswith(PREDICTIONS)
        ids = [row.id for row in task_rows(client, project.id) if wanted_all or row.annotations]
        for count, task in enumerate(TaskReader(client, project.id, with_predictions=wanted_all).read(ids), 1):
            report.progress(f"{project.title}: {count} of {len(ids)} tasks read")
            side.add(f"task {task.id}", task_images(labeling.for_data(task.data).images, task.data), task)
        side.finish()
    except BaseException:
        side.close()
        raise
    return side


def _annotations(where: str, task: Mapping[str, Any]) -> Iterable[Annotation]:
    given = task.get("annotations") or task.get("completions") or []
    for number, one in enumerate(given if isinstance(given, list) else [given]):
        results = one.get("result") if isinstance(one, dict) else None
        if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
            raise SettingsError(f"{where}: an annotation has no list of results")
        user = one.get("completed_by")
        email = one.get("annotator") or (user.get("email") if isinstance(user, dict) else None)
        yield Annotation(
            id=number,
            results=results,
            annotator=str(email or (f"user {user}" if isinstance(user, int) else "")),
            was_cancelled=bool(one.get("was_cancelled")),
            ground_truth=bool(one.get("ground_truth")),
            created_at=str(one.get("created_at") or ""),
            updated_at=str(one.get("updated_at") or ""),
            lead_time=None,
        )
