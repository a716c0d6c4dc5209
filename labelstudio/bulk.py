"""Many tasks with all their annotations, a few at a time: what export and import need of Label Studio.

Tasks are asked for by id, not by page number: a task that is deleted meanwhile shifts no page. Only named fields
are asked for, because Label Studio otherwise sends each annotation twice (`annotations_results` is its text).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.errors import LabelStudioError
from labelstudio.connection import TIMEOUT
from labelstudio.image_files import AS_IMPORTED

if TYPE_CHECKING:
    from labelstudio.client import Client

PAGE = 500
FIRST_CHUNK = 8
LARGEST_CHUNK = 64
CHUNK_BYTES = 8_000_000  # of answer: masks are large, and ten thousand tasks are not held in memory
BULK_TIMEOUT = 600.0
ANNOTATION_FIELDS = "id,data,annotations,result,completed_by,was_cancelled,ground_truth,created_at,updated_at,lead_time"
REMARKS = "neighbors"  # of a prediction: a list that Label Studio keeps with it, and neither shows nor reads
PREDICTION_FIELDS = f"{ANNOTATION_FIELDS},predictions,model_version,score,{REMARKS}"

Json = dict[str, Any]


@dataclass(frozen=True)
class TaskRow:
    """A task without its annotations."""

    id: int
    data: Json
    annotations: int


@dataclass(frozen=True)
class Annotation:
    """One annotation as Label Studio stores it. `annotator` is an e-mail address; times are ISO 8601 with a zone."""

    id: int
    results: list[Json]
    annotator: str
    was_cancelled: bool
    ground_truth: bool
    created_at: str
    updated_at: str
    lead_time: float | None


@dataclass(frozen=True)
class Prediction:
    """One prediction of a task; `remarks` are what `add_predictions` was given under `REMARKS`."""

    id: int
    results: list[Json]
    model_version: str
    remarks: tuple[object, ...] = ()


@dataclass(frozen=True)
class WholeTask:
    """A task with its annotations and predictions, oldest first."""

    id: int
    data: Json
    annotations: tuple[Annotation, ...]
    predictions: tuple[Prediction, ...] = ()


def task_rows(client: Client, project_id: int) -> Iterator[TaskRow]:
    """The project's tasks in the order of their ids, a page at a time."""
    last = 0
    while True:
        rows = _tasks(client, project_id, [_after(last)], PAGE, {"include": "id,data,total_annotations"})
        yield from (TaskRow(int(one["id"]), one.get("data") or {}, one.get("total_annotations") or 0) for one in rows)
        if len(rows) < PAGE:
            return
        last = int(rows[-1]["id"])


def tasks_with_drafts(client: Client, project_id: int, among: Sequence[int] | None = None) -> Iterator[int]:
    """The ids of the tasks in which anyone has drawn and not submitted, new or on top of an annotation.

    Args:
        among: look at these only, a page of them at most; None looks at all.
    """
    has_draft = {"filter": "filter:tasks:draft_exists", "operator": "equal", "type": "Boolean", "value": True}
    if among is not None:
        rows = _tasks(client, project_id, [_with_id("in_list", list(among)), has_draft], PAGE, {"include": "id"})
        yield from (int(one["id"]) for one in rows)
        return
    yield from _ids(client, project_id, has_draft, PAGE)


def tasks_with_result(client: Client, project_id: int, text: str) -> Iterator[int]:
    """The ids of the tasks in which the results of an annotation hold this text, found one at a time.

    Label Studio looks through the text of all masks for it, and reads all masks of each task that it names.

    Args:
        text: without what JSON writes in another way, such as quotes.
    """
    name = "filter:tasks:annotations_results"
    yield from _ids(client, project_id, {"filter": name, "operator": "contains", "type": "String", "value": text}, 1)


@dataclass
class TaskReader:
    """Reads whole tasks in the order of the given ids; asks for fewer at a time where masks are large."""

    client: Client
    project_id: int
    with_predictions: bool = False
    emails: dict[int, str] = field(default_factory=dict)
    _chunk: int = FIRST_CHUNK

    def read(self, ids: Sequence[int]) -> Iterator[WholeTask]:
        """The tasks of these ids; one that was deleted meanwhile is left out."""
        self.emails = self.emails or users(self.client)
        at = 0
        while at < len(ids):
            chunk = list(ids[at : at + self._chunk])
            at += len(chunk)
            fields = PREDICTION_FIELDS if self.with_predictions else ANNOTATION_FIELDS
            query = {"include": fields, "fields": "all"}
            rows = _tasks(self.client, self.project_id, [_with_id("in_list", chunk)], len(chunk), query)
            found = {int(one["id"]): one for one in rows}
            self._adapt(found)
            for task_id in chunk:
                if task_id in found:
                    yield self._whole(found.pop(task_id))

    def _adapt(self, found: Mapping[int, Json]) -> None:
        # The length of the masks tells the size well enough, without writing the JSON again.
        size = sum(
            _length(result.get("value"))
            for one in found.values()
            for drawn in (*(one.get("annotations") or []), *(one.get("predictions") or []))
            for result in _results(drawn)
        )
        fitting = CHUNK_BYTES * max(1, len(found)) // max(1, size)
        self._chunk = max(1, min(fitting, 2 * self._chunk, LARGEST_CHUNK))

    def _whole(self, one: Json) -> WholeTask:
        annotations = sorted(
            (self._annotation(each) for each in one.get("annotations") or []), key=lambda each: each.id
        )
        predictions = sorted(
            (
                Prediction(
                    int(each["id"]),
                    _results(each),
                    str(each.get("model_version") or ""),
                    tuple(each.get(REMARKS) or ()),
                )
                for each in one.get("predictions") or []
            ),
            key=lambda each: each.id,
        )
        return WholeTask(int(one["id"]), one.get("data") or {}, tuple(annotations), tuple(predictions))

    def _annotation(self, one: Json) -> Annotation:
        user = one.get("completed_by")
        user = user.get("id") if isinstance(user, dict) else user
        lead_time = one.get("lead_time")
        return Annotation(
            id=int(one["id"]),
            results=_results(one),
            annotator=self.emails.get(user, f"user {user}") if isinstance(user, int) else "",
            was_cancelled=bool(one.get("was_cancelled")),
            ground_truth=bool(one.get("ground_truth")),
            created_at=str(one.get("created_at") or ""),
            updated_at=str(one.get("updated_at") or ""),
            lead_time=float(lead_time) if isinstance(lead_time, int | float) else None,
        )


def users(client: Client) -> dict[int, str]:
    """The e-mail addresses of all members of the organisation, by their ids."""
    rows = client.call("list the users", "GET", "/api/users/")
    return {int(one["id"]): str(one.get("email") or "") for one in rows}


def add_annotation(client: Client, task_id: int, body: Mapping[str, object]) -> int:
    """Store one annotation; return its id."""
    made = client.call(f"annotate task {task_id}", "POST", f"/api/tasks/{task_id}/annotations/", json=dict(body))
    return int(made["id"])


def add_predictions(client: Client, project_id: int, rows: Sequence[Mapping[str, object]]) -> None:
    """Store predictions: in one request where that works, else one by one.

    The bulk import checks a label of a shared `<Labels>` palette as if it labelled a text, drops the prediction, and
    answers 201 all the same. It also drops remarks.

    Raises:
        LabelStudioError: Label Studio took fewer.
    """
    bulk = [dict(one) for one in rows if not _goes_alone(one)]
    for one in filter(_goes_alone, rows):
        client.call(f"add a prediction to task {one['task']}", "POST", "/api/predictions/", json=dict(one))
    if not bulk:
        return
    doing = f"import predictions into project {project_id}"
    path = f"/api/projects/{project_id}/import/predictions"
    answer = client.call(doing, "POST", path, json=bulk, timeout=BULK_TIMEOUT)
    if answer.get("created") != len(bulk):
        raise LabelStudioError(
            f"cannot {doing}: Label Studio stored {answer.get('created')} of {len(bulk)}; it drops predictions that do "
            "not fit the project's labeling configuration"
        )


def _goes_alone(row: Mapping[str, object]) -> bool:
    return REMARKS in row or any(one.get("type") == "labels" for one in _results(row))


def add_tasks(client: Client, project_id: int, datas: Sequence[Json]) -> None:
    """Make tasks without annotations, in one request."""
    path = f"/api/projects/{project_id}/import"
    client.call(f"import tasks into project {project_id}", "POST", path, json=[{"data": one} for one in datas])


def _ids(client: Client, project_id: int, condition: Json, size: int) -> Iterator[int]:
    """The ids of the tasks that meet a condition, in their order; so many are asked for at a time."""
    last = 0
    while True:
        rows = _tasks(client, project_id, [_after(last), condition], size, {"include": "id"}, BULK_TIMEOUT)
        yield from (int(one["id"]) for one in rows)
        if len(rows) < size:
            return
        last = int(rows[-1]["id"])


def _with_id(operator: str, value: int | list[int]) -> Json:
    return {"filter": "filter:tasks:id", "operator": operator, "type": "Number", "value": value}


def _after(task_id: int) -> Json:
    return _with_id("greater", task_id)


def _tasks(
    client: Client,
    project_id: int,
    conditions: Sequence[Json],
    size: int,
    query: Mapping[str, str],
    timeout: float = TIMEOUT,
) -> list[Json]:
    """The first tasks that meet all conditions, in the order of their ids, with their data as it was imported."""
    asked = {"filters": {"conjunction": "and", "items": list(conditions)}, "ordering": ["tasks:id"]}
    params: dict[str, str | int] = {
        "project": project_id,
        "page": 1,
        "page_size": size,
        **AS_IMPORTED,
        **query,
    }
    params["query"] = json.dumps(asked)
    body = client.call("read the tasks", "GET", "/api/tasks", params=params, timeout=timeout)
    return list(body["tasks"])


def _results(one: Mapping[str, object]) -> list[Json]:
    given = one.get("result")
    return [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []


def _length(value: object) -> int:
    """About how long a result's value is as JSON."""
    rle = value.get("rle") if isinstance(value, dict) else None
    return (4 * len(rle) if isinstance(rle, list) else 0) + len(str(value)[:200])
