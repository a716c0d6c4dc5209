"""Count the labels of a project, and rename them in everything that people and models made.

A rename first writes the rows as they are into a backup file beside the database, then changes one task a transaction:
its annotations, drafts and predictions together. At the end Label Studio's own book-keeping and the configuration
follow. Stopped in the middle and run again, it goes on: only rows that still hold an old name are looked at.
"""

from __future__ import annotations

import gzip
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labelstudio.inside.django_side import Refused, get, in_transaction, say, serve

BACKUPS = "labelrig-backups"
CHUNK = 50  # rows read at once: each may hold megabytes of masks
TELL_EVERY = 0.5


def main(asked: str) -> None:
    """Do what `asked["do"]` says: `count`, or `relabel`."""
    serve(_work, asked)


def _work(asked: dict[str, Any]) -> None:
    project = get("projects.models", "Project").objects.filter(pk=asked["project"]).first()
    if project is None:
        raise Refused("the project is not there any more")
    if asked["do"] == "count":
        _count(project)
    else:
        _relabel(project, dict(asked["renames"]), asked["label_config"], asked["backup"])


def _rows(project: Any) -> Iterator[tuple[str, Any]]:
    """Everything with results: the kind, and a query set."""
    yield "annotations", get("tasks.models", "Annotation").objects.filter(project=project)
    yield "drafts", get("tasks.models", "AnnotationDraft").objects.filter(task__project=project)
    yield "predictions", get("tasks.models", "Prediction").objects.filter(project=project)


def _labels(one: Any) -> list[Any]:
    """The labels of a result, which stand under its own type."""
    value = one.get("value") if isinstance(one, dict) else None
    found = value.get(one.get("type")) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _results(result: Any) -> list[dict[str, Any]]:
    return [one for one in result if isinstance(one, dict)] if isinstance(result, list) else []


def _count(project: Any) -> None:
    uses: Counter[tuple[str, str, str, str | None]] = Counter()
    for kind, rows in _rows(project):
        for result in rows.values_list("result", flat=True).iterator(chunk_size=CHUNK):
            for one in _results(result):
                for label in _labels(one) or [None]:
                    name, type_ = str(one.get("from_name", "")), str(one.get("type", ""))
                    uses[kind, name, type_, None if label is None else str(label)] += 1
    say(uses=[[*use, count] for use, count in sorted(uses.items(), key=str)])


def _relabel(project: Any, names: dict[str, str], label_config: str, backup: str) -> None:
    tasks: dict[int, dict[str, list[int]]] = {}
    path = Path(get("django.conf", "settings").BASE_DATA_DIR) / BACKUPS / backup
    if names:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with gzip.open(path, "wt", encoding="utf-8") as file:
            head = {
                "project": project.pk,
                "title": project.title,
                "renames": names,
                "label_config": project.label_config,
            }
            file.write(json.dumps(head) + "\n")
            for kind, rows in _rows(project):
                for pk, task, result in rows.values_list("pk", "task_id", "result").iterator(chunk_size=CHUNK):
                    if _renamed(result, names) is not None:
                        tasks.setdefault(task, {}).setdefault(kind, []).append(pk)
                        file.write(json.dumps({"kind": kind, "id": pk, "task": task, "result": result}) + "\n")
        with path.open("rb") as written:
            os.fsync(written.fileno())
        say(backup=str(path), tasks=len(tasks))
    told = time.monotonic()
    for number, (task, found) in enumerate(sorted(tasks.items()), 1):
        in_transaction(lambda: _task(project, task, found, names))  # noqa: B023 - called before the next turn
        if time.monotonic() - told > TELL_EVERY:
            told = time.monotonic()
            say(done=number, tasks=len(tasks))
    in_transaction(lambda: _finish(project, names, label_config))
    counts = {kind: sum(len(found.get(kind, ())) for found in tasks.values()) for kind, _ in _rows(project)}
    say(renamed=counts, tasks=len(tasks), backup=str(path) if names else None)


def _task(project: Any, task: int, found: dict[str, list[int]], names: dict[str, str]) -> None:
    """One task's rows, as they are now. Time stamps stay: nothing was drawn."""
    tasks = get("tasks.models", "Task").objects.filter(pk=task)
    tasks.update(project=project)  # takes the lock; see `in_transaction`
    for kind, rows in _rows(project):
        for pk, result in rows.filter(pk__in=found.get(kind, ())).values_list("pk", "result"):
            changed = _renamed(result, names)
            if changed is not None:
                rows.filter(pk=pk).update(result=changed)


def _renamed(result: Any, names: dict[str, str]) -> list[Any] | None:
    """The results with new labels; None where no old one is among them."""
    if not any(label in names for one in _results(result) for label in _labels(one)):
        return None
    return [_with_names(one, names) for one in result]


def _with_names(one: Any, names: dict[str, str]) -> Any:
    labels = _labels(one)
    if not labels:
        return one
    new = list(dict.fromkeys(names.get(label, label) for label in labels))
    return {**one, "value": {**one["value"], one["type"]: new}}


def _finish(project: Any, names: dict[str, str], label_config: str) -> None:
    """Label Studio's own counts of labels, by which it refuses changes, and the configuration itself."""
    type(project).objects.filter(pk=project.pk).update(title=project.title)
    project.refresh_from_db()
    summary = project.summary
    summary.created_labels = _renamed_counts(summary.created_labels, names)
    summary.created_labels_drafts = _renamed_counts(summary.created_labels_drafts, names)
    summary.save(update_fields=["created_labels", "created_labels_drafts"])
    project.label_config = label_config
    project.save()


def _renamed_counts(counts: dict[str, dict[str, int]], names: dict[str, str]) -> dict[str, dict[str, int]]:
    renamed: dict[str, dict[str, int]] = {}
    for tool, labels in (counts or {}).items():
        into: dict[str, int] = renamed.setdefault(tool, {})
        for label, count in labels.items():
            new = names.get(label, label)
            into[new] = into.get(new, 0) + count
    return renamed
