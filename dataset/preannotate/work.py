"""`./inv preannotate`: boxes, or all objects, become SAM2 masks: predictions to accept, correct or throw away.

An image is one request to the backend, some images are one import into Label Studio. What has a prediction of this
model already is left out, so a run that was killed goes on where it was. A person's annotation is never touched.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.errors import LabelStudioError
from core.report import Report
from core.text import some
from dataset.preannotate.boxes import Box
from hosts.base import Exec
from infra.roles.project.ask_backend import NOT_NOW, OK, Answer, ask_backend_lines, model_version
from labelstudio.bulk import add_predictions
from labelstudio.models import Project

if TYPE_CHECKING:
    from labelstudio.client import Client

TASKS_AT_A_TIME = 20
SHOWN_FAILURES = 5


@dataclass(frozen=True)
class TaskState:
    """What counts of a task.

    Attributes:
        data: as Label Studio has it.
        annotations: how many people's annotations it has.
        drawn: the annotations or predictions in it, where they were requested.
    """

    id: int
    data: Mapping[str, Any]
    annotations: int
    drawn: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Ask:
    """What the backend is asked about one image of a task.

    Attributes:
        image: its tag; None where the backend takes the first.
        boxes: of how many boxes a mask is expected.
        body: of the request, beside the task.
    """

    image: str | None
    boxes: int
    body: Mapping[str, object]


@dataclass
class Tally:
    """What came of it."""

    images: int = 0
    masks: int = 0
    empty: int = 0
    before: int = 0
    annotated: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def text(self) -> str:
        """For people."""
        parts = [f"{self.masks} masks in {self.images} images in {self.seconds:.0f} s"]
        if self.before:
            parts.append(f"{self.before} images had theirs already")
        if self.annotated:
            parts.append(f"{self.annotated} images that people have annotated were left alone")
        if self.empty:
            parts.append(f"nothing was found in {self.empty} boxes")
        return "; ".join(parts)


@dataclass(frozen=True)
class Preannotation:
    """Masks for the images of one project.

    Attributes:
        run: runs a command in the sam2 container.
        project: as Label Studio has it.
        labels: what the boxes' labels are called here.
        also_annotated: make masks for images that people have annotated too; their annotations stay as they are.
    """

    client: Client
    run: Exec
    project: Project
    report: Report
    labels: Mapping[str, str] = field(default_factory=dict)
    also_annotated: bool = False

    def go(self, boxes: Mapping[int, Sequence[Box]], tasks: Mapping[int, TaskState]) -> Tally:
        """Make the masks of boxes that are missing.

        Args:
            boxes: by task.
            tasks: what each task has; those that are not in `boxes` do not matter.

        Raises:
            LabelStudioError: as `ask`.
        """
        asks = {task: [self._of_boxes(*one) for one in by_image(found).items()] for task, found in boxes.items()}
        return self.ask("/boxes", asks, tasks)

    def ask(self, path: str, asks: Mapping[int, Sequence[Ask]], tasks: Mapping[int, TaskState]) -> Tally:
        """Ask about the images of all tasks that have no prediction of this model, and store what comes.

        Args:
            path: of the backend.
            asks: by task.
            tasks: what each task has.

        Raises:
            LabelStudioError: the backend does not answer, Label Studio did not take them, or images failed: then the
                others are done.
        """
        version = model_version(self.run)
        tally, began = Tally(), time.monotonic()
        done = self.client.tasks_predicted_by(self.project.id, version)
        left = []
        for task in sorted(asks):
            if task in done:
                tally.before += len(asks[task])
            elif tasks[task].annotations and not self.also_annotated:
                tally.annotated += len(asks[task])
            else:
                left.append(task)
        images, asked = sum(len(asks[task]) for task in left), 0
        boxes = sum(one.boxes for task in left for one in asks[task])
        self.report.info(f"  {images} images{f' with {boxes} boxes' if boxes else ''} to do")
        for start in range(0, len(left), TASKS_AT_A_TIME):
            some_tasks = left[start : start + TASKS_AT_A_TIME]
            jobs = [(task, one) for task in some_tasks for one in asks[task]]

            def show(answered: int, before: int = asked) -> None:
                count, failed = before + answered, len(tally.failures)
                rate = count / max(time.monotonic() - began, 0.001)
                self.report.progress(
                    f"preannotate: {count} of {images} images, {rate:.2f} a second, "
                    f"{(images - count) / rate:.0f} s left{f', {failed} failed' if failed else ''}"
                )

            requests = [self._request(tasks[task], one) for task, one in jobs]
            answers = ask_backend_lines(self.run, path, requests, show)
            asked += len(jobs)
            by_task: dict[int, list[Answer]] = {task: [] for task in some_tasks}
            for (task, _), answer in zip(jobs, answers, strict=True):
                by_task[task].append(answer)
            self._take(by_task, asks, tally)
        tally.seconds = time.monotonic() - began
        self.report.facts["preannotate"] = {**vars(tally), "model_version": version}
        if tally.failures:
            shown = [f"  {one}" for one in tally.failures[:SHOWN_FAILURES]]
            if more := len(tally.failures) - len(shown):
                shown.append(f"  and {more} more")
            raise LabelStudioError("\n".join([f"{len(tally.failures)} images failed; {tally.text()}", *shown]))
        return tally

    def _of_boxes(self, image: str | None, boxes: Sequence[Box]) -> Ask:
        named = [{**box.as_json(), "label": self.labels.get(box.label, box.label)} for box in boxes]
        size = {} if boxes[0].of_wh is None else {"size_wh": boxes[0].of_wh}
        return Ask(image, len(boxes), {**size, "boxes": named})

    def _request(self, task: TaskState, one: Ask) -> dict[str, object]:
        return {
            "project": self.project.key,
            "label_config": self.project.label_config,
            "task": str(task.id),
            "data": dict(task.data),
            **({} if one.image is None else {"to_name": one.image}),
            **one.body,
        }

    def _take(self, answers: Mapping[int, list[Answer]], asks: Mapping[int, Sequence[Ask]], tally: Tally) -> None:
        """Import what came, one prediction a task with all its images, and only then say what did not."""
        bad = [(task, one) for task, found in answers.items() for one in found if one["status"] != OK]
        failed = {task for task, _ in bad}
        good = {task: [one["body"] for one in found] for task, found in answers.items() if task not in failed}
        if good:
            add_predictions(self.client, self.project.id, [_prediction(task, found) for task, found in good.items()])
        for task, found in good.items():
            masks = len({region["id"] for one in found for region in one["result"]})
            tally.images, tally.masks = tally.images + len(found), tally.masks + masks
            tally.empty += max(0, sum(one.boxes for one in asks[task]) - masks)
        for task, one in bad:
            tally.failures.append(f"task {task}: {one['body'].get('detail', one['body'])}")
        if bad and all(one["status"] in NOT_NOW for _, one in bad):
            raise LabelStudioError(
                f"the SAM2 backend does not work now: {tally.failures[-1]}; {tally.text()}; run the same command "
                "again, it goes on from here"
            )


def by_image(boxes: Sequence[Box]) -> dict[str | None, list[Box]]:
    """The boxes of one task by their image tag."""
    found: dict[str | None, list[Box]] = {}
    for box in boxes:
        found.setdefault(box.image, []).append(box)
    return found


def _prediction(task: int, bodies: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """One prediction of the answers about the images of one task."""
    return {
        "task": task,
        "result": [region for one in bodies for region in one["result"]],
        "score": sum(one["score"] for one in bodies) / len(bodies),
        "model_version": bodies[0]["model_version"],
    }


def states(client: Client, project: Project, kind: str | None, report: Report) -> Iterator[TaskState]:
    """Every task; with `kind` ("annotations" or "predictions") also what was drawn in it."""
    for count, one in enumerate(client.task_states(project.id, *([kind] if kind else [])), 1):
        report.progress(f"read {count} of {project.task_count} tasks")
        yield TaskState(
            id=int(one["id"]),
            data=one.get("data") or {},
            annotations=int(one.get("total_annotations") or 0),
            drawn=one.get(kind) or () if kind else (),
        )


def without_task(alone: Sequence[str], origin: str) -> str:
    """The notice about images that no task shows."""
    return f"{origin}: {len(alone)} images are in no task of the project and are left out ({some(list(alone))})"
