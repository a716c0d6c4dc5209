"""Annotate the tasks of a project, each with a mask of its own. Runs in Label Studio's container, where Django is.

It is sent there as text with the modules that it imports; see `filling_program`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from labelstudio.inside.django_side import get, in_transaction, say, serve
from masks.rle import encode_rle
from tests.e2e.drawn_masks import drawn_mask

BATCH = 200  # annotations of one transaction
MODULES = ("masks.rle", "labelstudio.inside.django_side", "tests.e2e.drawn_masks", "tests.e2e.mask_filling")


def filling_program(loader: str, root: Path, project: int) -> bytes:
    """The program for `python -` in the container.

    Args:
        loader: `labelstudio.program.LOADER`.
        root: of the clone.
        project: the id of the project; one of its annotations is there, and is what the others are made like.
    """
    texts = [(name, root.joinpath(*name.split(".")).with_suffix(".py").read_text("utf-8")) for name in MODULES]
    asked = json.dumps([json.dumps({"project": project})])
    return loader.format(modules=json.dumps(texts), last=MODULES[-1], arguments=asked).encode()


def main(asked: str) -> None:
    """Fill a project; `asked` is `{project: ID}`. Tells how many annotations are `done` after each batch."""
    serve(_fill, asked)


def _fill(asked: dict[str, Any]) -> None:
    project = get("projects.models", "Project").objects.get(pk=asked["project"])
    annotations = get("tasks.models", "Annotation").objects
    pattern = annotations.filter(project=project).order_by("pk").first()
    waiting = list(
        get("tasks.models", "Task")
        .objects.filter(project=project)
        .exclude(pk=pattern.task_id)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    for start in range(0, len(waiting), BATCH):
        ids = waiting[start : start + BATCH]
        made = [_annotation(pattern, task) for task in ids]
        in_transaction(lambda: _store(project, made, ids))  # noqa: B023 - called before the next turn
        say(done=start + len(ids))


def _annotation(pattern: Any, task: int) -> Any:
    """An annotation like the pattern, with the mask of its task's number."""
    rle = encode_rle(drawn_mask(task))
    result = [{**one, "id": f"mask{task}", "value": {**one["value"], "rle": rle}} for one in pattern.result]
    return type(pattern)(
        task_id=task,
        project=pattern.project,
        completed_by=pattern.completed_by,
        updated_by=pattern.completed_by,
        result=result,
        result_count=pattern.result_count,
        lead_time=pattern.lead_time,
    )


def _store(project: Any, made: list[Any], ids: list[int]) -> None:
    """Store a batch and count it, as Label Studio's own import does."""
    get("tasks.models", "Annotation").objects.bulk_create(made)
    project.update_tasks_counters_and_is_labeled(ids)
