"""All objects of each image become one prediction a task; labels are checked before anything is asked."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from core.errors import SettingsError
from core.report import Report
from dataset.preannotate.everything import EverythingOptions, asks_of
from dataset.preannotate.work import Preannotation, TaskState
from hosts.base import Result
from labeling.config import LabelingConfig, read_config
from labelstudio.models import Project

VERSION = "demo@1"
SPLIT = """<View><Image name="rgb" value="$rgb"/><Image name="thermal" value="$thermal"/>
<Labels name="l" toName="rgb"><Label value="Car" alias="car"/></Labels><Brush name="b" toName="rgb"/>
<Labels name="m" toName="thermal"><Label value="Car" alias="car"/></Labels><Brush name="c" toName="thermal"/></View>"""
FUSED = """<View><Image name="rgb" value="$rgb"/>
<BrushLabels name="b" toName="rgb"><Label value="Car"/></BrushLabels></View>"""
PROJECT = Project(1, "P", "", SPLIT, True, 3, key="1.17")
TASKS = {
    1: TaskState(1, {"rgb": "/1", "thermal": "/2"}, 0),
    2: TaskState(2, {"rgb": "/3"}, 1),
    3: TaskState(3, {"rgb": "/4"}, 0),
}


def config(text: str) -> LabelingConfig:
    return read_config(text)


def test_every_image_of_a_task_is_asked_about() -> None:
    found = asks_of(TASKS, config(SPLIT), EverythingOptions(None, "car"))
    assert {task: [(one.image, one.body) for one in asks] for task, asks in found.items()} == {
        1: [("rgb", {"label": "car"}), ("thermal", {"label": "car"})],
        2: [("rgb", {"label": "car"})],
        3: [("rgb", {"label": "car"})],
    }
    (only,) = asks_of({1: TASKS[1]}, config(SPLIT), EverythingOptions(None, image="thermal"))[1]
    assert (only.image, only.body) == ("thermal", {})


def test_each_image_of_a_list_is_asked_about() -> None:
    listed = config(SPLIT.replace('value="$rgb"', 'valueList="$rgb"'))
    found = asks_of({1: TaskState(1, {"rgb": ["/1", "/2"]}, 0)}, listed, EverythingOptions(None))
    assert [one.body for one in found[1]] == [{"item_index": 0}, {"item_index": 1}]


@pytest.mark.parametrize(
    ("text", "label", "sentence"),
    [
        (SPLIT, "Car", "has no \"Car\" for masks on the image 'rgb' (there are: car)"),
        (FUSED, None, "masks on the image 'rgb' must have a label; say which: --label (there are: Car)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(text: str, label: str | None, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        asks_of(TASKS, config(text), EverythingOptions(None, label))
    assert sentence in str(caught.value)


def test_a_configuration_that_allows_it_needs_no_label() -> None:
    allowed = config(FUSED.replace('toName="rgb"', 'toName="rgb" allowEmpty="true"'))
    assert asks_of(TASKS, allowed, EverythingOptions(None))


def test_what_was_found_is_one_prediction_a_task() -> None:
    asked: list[dict[str, Any]] = []
    imports: list[Any] = []

    def run(*argv: str, stdin: bytes | None = None, on_line: Any = None, **_: Any) -> Result:
        if argv[3:] == ("GET", "/versions"):
            return Result(argv, 0, json.dumps({"versions": [VERSION]}), "")
        assert argv[3:] == ("--lines", "POST", "/everything")
        asked.extend(json.loads(line) for line in (stdin or b"").splitlines())
        result = [{"id": "x", "type": "brush"}, {"id": "y", "type": "brush"}]
        body = {"result": result, "score": 0.5, "model_version": VERSION}
        return Result(argv, 0, "".join(json.dumps({"status": 200, "body": body}) + "\n" for _ in asked), "")

    class Client:
        def tasks_predicted_by(self, _project: int, _version: str) -> set[int]:
            return {3}

        def call(self, _doing: str, _method: str, _path: str, *, json: Any, timeout: float) -> dict[str, int]:
            imports.append(json)
            return {"created": len(json)}

    work = Preannotation(Client(), run, PROJECT, Report(io.StringIO()))  # type: ignore[arg-type]
    tally = work.ask("/everything", asks_of(TASKS, config(SPLIT), EverythingOptions(None)), TASKS)
    assert [(one["task"], one["to_name"], one.get("label")) for one in asked] == [
        ("1", "rgb", None),
        ("1", "thermal", None),
    ]
    ((prediction,),) = imports
    assert (prediction["task"], len(prediction["result"]), prediction["model_version"]) == (1, 4, VERSION)
    assert (tally.images, tally.before, tally.annotated, tally.empty) == (2, 1, 1, 0)
