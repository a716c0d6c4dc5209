"""Where masks on a twin go in Label Studio: predictions, annotations, or drafts; never over what people have drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dataset.transfer.results import is_carried
from hosts.base import Exec
from labelstudio.asking import ask_inside
from labelstudio.bulk import Annotation, TaskReader, add_annotation, add_predictions, tasks_with_drafts

if TYPE_CHECKING:
    from labelstudio.client import Client

MODEL_VERSION = "transfer"
Result = dict[str, Any]


class Left(Exception):
    """A task is left alone; the text says why, in words that follow the image's name."""


@dataclass(frozen=True)
class Finished:
    """The masks for one task.

    Attributes:
        task: that gets them.
        source: the annotation that they come from.
        is_same_task: whether `source` is an annotation of this very task, whose other results are among `results`.
        score: for a prediction.
    """

    task: int
    source: int
    is_same_task: bool
    results: Sequence[Result]
    score: float


@dataclass
class Predictions:
    """Predictions of a model version of their own."""

    client: Client
    project_id: int
    _there: frozenset[int] | None = None

    def is_done(self, task: int) -> bool:
        """Whether the task has one."""
        if self._there is None:
            self._there = frozenset(self.client.tasks_predicted_by(self.project_id, MODEL_VERSION))
        return task in self._there

    def store(self, one: Finished) -> bool:
        """Add one. Returns whether it was missing."""
        row = {"task": one.task, "result": list(one.results), "score": one.score, "model_version": MODEL_VERSION}
        add_predictions(self.client, self.project_id, [row])
        return True


@dataclass
class Annotations:
    """Annotations of the account that the command works with, in tasks that no person has touched."""

    client: Client
    project_id: int
    _done: dict[int, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._reader = TaskReader(self.client, self.project_id)

    def is_done(self, task: int) -> bool:
        """Whether the task has one of an earlier run."""
        if task not in self._done:
            self._done[task] = any(_is_ours(each) for one in self._reader.read([task]) for each in one.annotations)
        return self._done[task]

    def store(self, one: Finished) -> bool:
        """Add one. Returns whether it was missing.

        Raises:
            Left: a person has annotated or skipped the task, or has a draft in it; also if only a moment ago.
        """
        there = next(self._reader.read([one.task]), None)
        if there is None:
            raise Left(f"its twin (task {one.task}) is not there any more")
        submitted = [each for each in there.annotations if not each.was_cancelled]
        if any(map(_is_ours, submitted)):
            return False
        if submitted:
            raise Left(f"people have annotated its twin (task {one.task}), which is left alone")
        if there.annotations:
            raise Left(f"a person has skipped its twin (task {one.task}), which is left alone")
        if list(tasks_with_drafts(self.client, self.project_id, [one.task])):
            raise Left(f"a person has a draft in its twin (task {one.task}), which is left alone")
        add_annotation(self.client, one.task, {"result": list(one.results)})
        return True


@dataclass
class Drafts:
    """Drafts of whoever drew the masks, shown to them alone when they open the task: by Update or Submit they become
    an annotation. Label Studio's API makes drafts for the caller only, so our program in its container makes them.

    Attributes:
        run: runs a command in the label-studio container.
    """

    run: Exec

    def is_done(self, task: int) -> bool:
        """Only the database knows; see `store`."""
        return False

    def store(self, one: Finished) -> bool:
        """Make one. Returns whether it was missing: the person may have it from an earlier run.

        Raises:
            Left: the person has a draft of their own there, or the annotation is of no account.
            LabelStudioError: the task is not there any more.
        """
        asked = {
            "task": one.task,
            "source": one.source,
            "on": one.source if one.is_same_task else None,
            "result": list(one.results),
        }
        (told,) = ask_inside(self.run, "drafts", asked, doing=f"make a draft in task {one.task}")
        if told["found"] == "theirs":
            raise Left(f"{told['person']} has a draft of their own in its task {one.task}, which is left alone")
        if told["found"] == "no account":
            raise Left(f"its annotation {one.source} is of no account that could have a draft")
        return bool(told["found"] == "nothing")


def _is_ours(annotation: Annotation) -> bool:
    return not annotation.was_cancelled and any(map(is_carried, annotation.results))
