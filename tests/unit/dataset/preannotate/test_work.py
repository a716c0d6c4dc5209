"""Boxes become predictions: what is there already is left out, what fails costs the others nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest

from core.errors import LabelStudioError
from core.report import Report
from dataset.preannotate.boxes import Box
from dataset.preannotate.work import TASKS_AT_A_TIME, Preannotation, TaskState, states
from hosts.base import Result, check_exit_code
from labelstudio.bulk import add_predictions
from labelstudio.models import Project
from tests.unit.infra.roles.project.labelstudio_bench import Bench

VERSION = "demo@1"
CONFIG = '<View><Labels name="l" toName="i"><Label value="Car" alias="car"/><Label value="Road"/></Labels></View>'
PROJECT = Project(1, "P", "", CONFIG, True, 3, key="1.17")
BOX = Box("Car", 10, 20, 30, 40)


class Backend:
    """Answers each image with one region a box; `bad` tasks with an error."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.bad: dict[str, tuple[int, str]] = {}
        self.dies_after: int | None = None

    def __call__(
        self,
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = 60.0,
        stdin: bytes | None = None,
        on_line: Callable[[str], None] | None = None,
        tail: int | None = None,
    ) -> Result:
        assert argv[:3] == ("python", "-m", "backend.ask")
        if argv[3:] == ("GET", "/versions"):
            return Result(argv, 0, json.dumps({"versions": [VERSION]}), "")
        assert argv[3:] == ("--lines", "POST", "/boxes")
        assert stdin is not None
        lines = []
        for text in stdin.splitlines():
            if self.dies_after is not None and len(self.asked) >= self.dies_after:
                break
            lines.append(json.dumps(self.answer(json.loads(text))))
            if on_line is not None:
                on_line(lines[-1])
        code = 0 if self.dies_after is None else 137
        return check_exit_code("fake", Result(argv, code, "\n".join(lines) + "\n", ""), ok)

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(asked)
        if asked["task"] in self.bad:
            status, detail = self.bad[asked["task"]]
            return {"status": status, "body": {"detail": detail}}
        result = [{"id": f"{asked['task']}-{number}", "type": "brushlabels"} for number, _ in enumerate(asked["boxes"])]
        return {"status": 200, "body": {"result": result, "score": 0.5, "model_version": VERSION}}


class Taken:
    """The part of the client that is used: what was imported."""

    def __init__(self) -> None:
        self.imports: list[list[Mapping[str, Any]]] = []
        self.done: set[int] = set()

    def tasks_predicted_by(self, project_id: int, version: str) -> set[int]:
        assert (project_id, version) == (PROJECT.id, VERSION)
        return self.done

    def call(self, _doing: str, method: str, path: str, *, json: Any, timeout: float) -> dict[str, int]:
        assert (method, path) == ("POST", f"/api/projects/{PROJECT.id}/import/predictions")
        assert timeout > 60
        self.imports.append(json)
        return {"created": len(json)}

    @property
    def tasks(self) -> list[int]:
        return [one["task"] for rows in self.imports for one in rows]


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def taken() -> Taken:
    return Taken()


def tasks(count: int = 3, **changes: TaskState) -> dict[int, TaskState]:
    plain = {number: TaskState(number, {"image": f"/{number}"}, 0) for number in range(1, count + 1)}
    return plain | {one.id: one for one in changes.values()}


def work(backend: Backend, taken: Taken, **more: Any) -> Preannotation:
    return Preannotation(taken, backend, PROJECT, Report(io.StringIO()), **more)  # type: ignore[arg-type]


def test_the_size_that_a_file_says_is_asked_with_its_boxes(backend: Backend, taken: Taken) -> None:
    work(backend, taken).go({1: [replace(BOX, of_wh=(640, 480))], 2: [BOX]}, tasks())
    assert [one.get("size_wh") for one in backend.asked] == [[640, 480], None]


def test_boxes_become_predictions_of_the_backends_version(backend: Backend, taken: Taken) -> None:
    boxes = {1: [BOX, Box("x", 1, 2, 3, 4, 45)], 2: [BOX]}
    tally = work(backend, taken, labels={"x": "Road"}).go(boxes, tasks())
    assert (tally.images, tally.masks, tally.empty) == (2, 3, 0)
    first, second = taken.imports[0]
    assert (first["task"], first["score"], first["model_version"]) == (1, 0.5, VERSION)
    assert [one["id"] for one in first["result"]] == ["1-0", "1-1"]
    assert second["task"] == 2
    assert backend.asked[0] == {
        "project": "1.17",
        "label_config": CONFIG,
        "task": "1",
        "data": {"image": "/1"},
        "boxes": [
            {"label": "Car", "x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0.0},
            {"label": "Road", "x": 1, "y": 2, "width": 3, "height": 4, "rotation": 45},
        ],
    }


def test_boxes_on_several_images_of_a_task_are_one_prediction(backend: Backend, taken: Taken) -> None:
    boxes = {1: [replace(BOX, image="rgb"), replace(BOX, image="thermal"), replace(BOX, image="rgb")], 2: [BOX]}
    tally = work(backend, taken).go(boxes, tasks())
    assert [(one["task"], one.get("to_name"), len(one["boxes"])) for one in backend.asked] == [
        ("1", "rgb", 2),
        ("1", "thermal", 1),
        ("2", None, 1),
    ]
    first, second = taken.imports[0]
    assert (first["task"], len(first["result"]), second["task"]) == (1, 3, 2)
    assert tally.images == 3


def test_failed_image_leaves_its_task_out(backend: Backend, taken: Taken) -> None:
    """A task of which one image failed gets no half prediction."""
    plain = backend.answer
    backend.answer = lambda asked: (  # type: ignore[method-assign]
        {"status": 422, "body": {"detail": "no image"}} if asked.get("to_name") == "thermal" else plain(asked)
    )
    boxes = {1: [replace(BOX, image="rgb"), replace(BOX, image="thermal")], 2: [BOX]}
    with pytest.raises(LabelStudioError, match="1 images failed; 1 masks in 1 images"):
        work(backend, taken).go(boxes, tasks())
    assert taken.tasks == [2]


def test_what_is_done_or_annotated_is_left_alone(backend: Backend, taken: Taken) -> None:
    there = tasks(annotated=TaskState(2, {}, 1))
    taken.done = {1}
    boxes = {1: [BOX], 2: [BOX], 3: [BOX]}
    tally = work(backend, taken).go(boxes, there)
    assert taken.tasks == [3]
    assert (tally.before, tally.annotated) == (1, 1)
    assert tally.text().startswith(
        "1 masks in 1 images in 0 s; 1 images had theirs already; 1 images that people have annotated were left alone"
    )
    work(backend, taken, also_annotated=True).go(boxes, there)
    assert taken.tasks == [3, 2, 3]


def test_interrupted_run_continues(backend: Backend, taken: Taken) -> None:
    """What was imported before is not asked for again."""
    count = 3 * TASKS_AT_A_TIME
    boxes = {number: [BOX] for number in range(1, count + 1)}
    backend.dies_after = TASKS_AT_A_TIME + 5
    with pytest.raises(LabelStudioError, match=f"answered 5 of {TASKS_AT_A_TIME} images"):
        work(backend, taken).go(boxes, tasks(count))
    assert len(taken.tasks) == TASKS_AT_A_TIME

    backend.dies_after = None
    taken.done = set(taken.tasks)
    tally = work(backend, taken).go(boxes, tasks(count))
    assert (tally.before, tally.images) == (TASKS_AT_A_TIME, count - TASKS_AT_A_TIME)
    assert sorted(taken.tasks) == list(range(1, count + 1))


def test_images_that_fail_are_named_and_the_others_are_done(backend: Backend, taken: Taken) -> None:
    backend.bad = {"2": (422, "the image is not in /files")}
    with pytest.raises(LabelStudioError) as caught:
        work(backend, taken).go({number: [BOX] for number in (1, 2, 3)}, tasks())
    assert taken.tasks == [1, 3]
    assert str(caught.value).startswith("1 images failed; 2 masks in 2 images in 0 s\n  task 2: the image is not in")


def test_a_backend_that_is_down_ends_the_run_at_once(backend: Backend, taken: Taken) -> None:
    count = 2 * TASKS_AT_A_TIME
    backend.bad = {str(number): (503, "the model is loading") for number in range(2, count + 1)}
    with pytest.raises(LabelStudioError, match="the SAM2 backend does not work now: task 20: the model is loading"):
        work(backend, taken).go({number: [BOX] for number in range(1, count + 1)}, tasks(count))
    assert taken.tasks == [1]
    assert len(backend.asked) == TASKS_AT_A_TIME


def test_a_box_in_which_nothing_is_found_is_counted(backend: Backend, taken: Taken) -> None:
    backend.answer = lambda asked: {  # type: ignore[method-assign]
        "status": 200,
        "body": {"result": [], "score": 0.0, "model_version": VERSION},
    }
    tally = work(backend, taken).go({1: [BOX, BOX]}, tasks())
    assert (tally.images, tally.masks, tally.empty) == (1, 0, 2)
    assert taken.tasks == [1]  # so that the next run does not ask again


def test_the_state_of_tasks_is_read_with_what_was_drawn(bench: Bench) -> None:
    drawn = [{"model_version": "c", "result": []}]
    rows: list[dict[str, Any]] = [
        {"id": 1, "data": {"image": "/1"}, "total_annotations": 2},
        {"id": 2, "data": {}, "predictions": drawn},
    ]

    def listed(request: httpx.Request) -> httpx.Response:
        assert set(request.url.params["include"].split(",")) >= {"predictions", "result", "was_cancelled"}
        return httpx.Response(200, json={"total": 2, "tasks": rows})

    bench.server.overrides["GET /api/tasks"] = listed
    found: Iterator[TaskState] = states(bench.access.client(), PROJECT, "predictions", bench.report)
    assert list(found) == [TaskState(1, {"image": "/1"}, 2), TaskState(2, {}, 0, drawn)]


def test_only_the_exact_version_counts(bench: Bench) -> None:
    rows = [
        {"id": 1, "predictions_model_versions": "demo@1"},
        {"id": 2, "predictions_model_versions": "demo@10,x"},
        {"id": 3, "predictions_model_versions": "x,demo@1"},
    ]

    def listed(request: httpx.Request) -> httpx.Response:
        (item,) = json.loads(request.url.params["query"])["filters"]["items"]
        assert (item["operator"], item["value"]) == ("contains", VERSION)
        return httpx.Response(200, json={"total": 3, "tasks": rows})

    bench.server.overrides["GET /api/tasks"] = listed
    assert bench.access.client().tasks_predicted_by(1, VERSION) == {1, 3}


def prediction(kind: str) -> dict[str, Any]:
    return {"task": 1, "result": [{"id": "r", "type": kind}], "score": 0.5, "model_version": VERSION}


def test_predictions_with_a_palette_go_one_by_one(bench: Bench) -> None:
    """Label Studio drops them from a bulk import; the others go in bulk."""
    made: list[Any] = []

    def took(request: httpx.Request) -> httpx.Response:
        made.append(json.loads(request.content))
        return httpx.Response(201, json={"created": 2})

    bench.server.overrides |= {"POST /api/predictions": took, "POST /api/projects/1/import/predictions": took}
    split, fused = prediction("labels"), prediction("brushlabels")
    add_predictions(bench.access.client(), 1, [fused, split, fused])
    assert made == [split, [fused, fused]]


def test_a_bulk_import_that_leaves_some_out_is_an_error(bench: Bench) -> None:
    """Label Studio answers HTTP 201."""
    answer = httpx.Response(201, json={"created": 0})
    bench.server.overrides["POST /api/projects/1/import/predictions"] = lambda _: answer
    with pytest.raises(LabelStudioError, match="stored 0 of 1; it drops predictions"):
        add_predictions(bench.access.client(), 1, [prediction("brushlabels")])
