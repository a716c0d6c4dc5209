"""The stand-in for Label Studio with annotations, predictions and users; and results as its editor leaves them."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labelstudio.client import Client
from labelstudio.models import Project
from masks.rle import encode_rle
from tests.unit.labelstudio.labelstudio_fake import BASE, EMAIL, FakeLabelStudio, resolved

Mask = NDArray[np.bool_]
Result = dict[str, Any]
OTHER = "other@labelrig.local"

FUSED = """<View>
  <BrushLabels name="brush" toName="image">
    <Label value="Car" background="#E53935"/><Label value="Road" background="#1E88E5"/>
  </BrushLabels>
  <KeyPointLabels name="kpts" toName="image" smart="true"><Label value="Car"/><Label value="Road"/></KeyPointLabels>
  <RectangleLabels name="rects" toName="image" smart="true"><Label value="Car"/><Label value="Road"/></RectangleLabels>
  <Image name="image" value="$image"/>
</View>"""
SPLIT = """<View>
  <Labels name="label" toName="image">
    <Label value="Car" background="#E53935"/><Label value="Road" background="#1E88E5"/>
  </Labels>
  <KeyPoint name="point" toName="image" smart="true"/>
  <Rectangle name="box" toName="image" smart="true"/>
  <Brush name="brush" toName="image" smart="false"/>
  <Polygon name="poly" toName="image"/>
  <Bitmask name="bits" toName="image"/>
  <Ellipse name="round" toName="image"/>
  <Choices name="light" toName="image"><Choice value="day"/><Choice value="night"/></Choices>
  <Image name="image" value="$image"/>
</View>"""
BOXES = """<View>
  <RectangleLabels name="rects" toName="image"><Label value="Car"/><Label value="Road"/></RectangleLabels>
  <Image name="image" value="$image"/>
</View>"""
PAIR = """<View>
  <Image name="rgb" value="$rgb"/>
  <BrushLabels name="brush_rgb" toName="rgb"><Label value="Car"/></BrushLabels>
  <Image name="thermal" value="$thermal"/>
  <BrushLabels name="brush_thermal" toName="thermal"><Label value="Car"/></BrushLabels>
</View>"""


class AnnotatedLabelStudio(FakeLabelStudio):
    """Answers of Label Studio 1.23.2 to what export and import ask, recorded from a running one."""

    def __init__(self) -> None:
        super().__init__()
        self.users = {1: EMAIL, 2: OTHER}
        self.annotations: dict[int, list[dict[str, Any]]] = {}
        self.predictions: dict[int, list[dict[str, Any]]] = {}
        self.images: dict[str, bytes] = {}
        self.sent: list[int] = []  # how many bytes each answer with an image held
        self.pages: list[int] = []  # how many tasks each answer held

    def client(self) -> Client:
        return Client(BASE, self.token(), self.transport)

    def project(self, config: str, title: str = "Scenes") -> Project:
        key = self.new_id()
        self.projects[key] = {"id": key, "title": title, "label_config": config}
        return Project(key, title, "", config, True, 0)

    def task(self, project: Project, **data: object) -> int:
        key = self.new_id()
        self.tasks[key] = {"id": key, "project": project.id, "data": data}
        self.annotations[key], self.predictions[key] = [], []
        return key

    def annotate(self, task: int, results: Sequence[Result], **more: Any) -> int:
        key = self.new_id()
        self.annotations[task].append(
            {
                "id": key,
                "result": list(results),
                "completed_by": 1,
                "was_cancelled": False,
                "ground_truth": False,
                "created_at": "2026-03-01T10:00:00.000000Z",
                "updated_at": "2026-03-01T10:00:00.000000Z",
                "lead_time": 3.5,
                **more,
            }
        )
        return key

    def _routes(self) -> list[tuple[str, str, Callable[..., httpx.Response]]]:
        return [
            ("GET", "/api/tasks", self._tasks),
            ("GET", "/api/users", self._users),
            ("POST", r"/api/tasks/(\d+)/annotations", self._annotate),
            ("POST", r"/api/projects/(\d+)/import/predictions", self._predict),
            ("POST", "/api/predictions", self._predict_one),
            ("DELETE", r"/api/predictions/(\d+)", self._delete_prediction),
            ("POST", r"/api/projects/(\d+)/import", self._import),
            ("GET", "/data/local-files", self._image),
            *super()._routes(),
        ]

    def _tasks(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        asked = json.loads(query["query"])
        if "ordering" not in asked:
            return self._tasks_predicted(int(query["project"]), asked["filters"]["items"])
        assert asked["ordering"] == ["tasks:id"]
        condition, *others = asked["filters"]["items"]
        assert (condition["filter"], condition["type"]) == ("filter:tasks:id", "Number")
        value = condition["value"]
        takes = {"greater": lambda key: key > value, "in_list": lambda key: key in value}[condition["operator"]]
        meets = self._condition(*others)
        found = sorted(
            key
            for key, task in self.tasks.items()
            if task["project"] == int(query["project"]) and takes(key) and meets(key)
        )
        size, page = int(query["page_size"]), int(query["page"])
        names = set(query["include"].split(","))
        page_of = found[size * (page - 1) : size * page]
        rows = [self._row(key, names, query.get("fields") == "all") for key in page_of]
        for key, row in zip(page_of, rows, strict=True):
            row |= {"data": resolved(query, self.tasks[key])} if "data" in names else {}
        if query.get("fields") == "all":
            self.pages.append(len(rows))
        return httpx.Response(200, json={"total": len(found), "tasks": rows})

    def _condition(self, one: dict[str, Any] | None = None) -> Callable[[int], bool]:
        """What a task must meet beside its id. Of results, Label Studio looks for a part of their JSON."""
        if one is None:
            return lambda _: True
        if one["filter"] == "filter:tasks:annotations_results":
            assert (one["operator"], one["type"]) == ("contains", "String")
            return lambda key: any(one["value"] in json.dumps(each["result"]) for each in self.annotations[key])
        assert one == {"filter": "filter:tasks:draft_exists", "operator": "equal", "type": "Boolean", "value": True}
        return lambda key: bool(self.drafts.get(key))

    def _row(self, key: int, names: set[str], whole: bool) -> dict[str, Any]:
        # Label Studio applies `include` to what is nested too.
        counted = sum(not one["was_cancelled"] for one in self.annotations[key])
        row: dict[str, Any] = {"id": key, "data": self.tasks[key]["data"], "total_annotations": counted}
        if whole:
            row["annotations"] = [
                {name: one[name] for name in one if name in names} for one in reversed(self.annotations[key])
            ]
            row["predictions"] = [{name: one[name] for name in one if name in names} for one in self.predictions[key]]
        return {name: row[name] for name in row if name in names}

    def _tasks_predicted(self, project: int, conditions: Sequence[dict[str, Any]]) -> httpx.Response:
        """Label Studio looks for a part of the versions, which it joins with commas."""
        (condition,) = conditions
        name = "predictions_model_versions"
        assert (condition["filter"], condition["operator"]) == (f"filter:tasks:{name}", "contains")
        rows: list[dict[str, Any]] = [
            {"id": key, name: ",".join(str(one["model_version"]) for one in self.predictions[key])}
            for key, task in sorted(self.tasks.items())
            if task["project"] == project
        ]
        found = [one for one in rows if condition["value"] in one[name]]
        return httpx.Response(200, json={"total": len(found), "tasks": found})

    def _users(self, _request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[{"id": key, "email": email} for key, email in self.users.items()])

    def _annotate(self, request: httpx.Request, key: int) -> httpx.Response:
        made = self.annotate(key, **{"results": [], **_renamed(json.loads(request.content))})
        return httpx.Response(201, json={"id": made})

    def _predict(self, request: httpx.Request, _project: int) -> httpx.Response:
        rows = json.loads(request.content)
        for one in rows:
            # The real one drops it and answers 201.
            assert all(region["type"] != "labels" for region in one["result"])
            assert "neighbors" not in one  # which the real one does not keep
            self.predictions[one["task"]].append({"id": self.new_id(), **one})
        return httpx.Response(201, json={"created": len(rows)})

    def _predict_one(self, request: httpx.Request) -> httpx.Response:
        one = json.loads(request.content)
        self.predictions[one["task"]].append({"id": self.new_id(), **one})
        return httpx.Response(201, json={"id": 1})

    def _delete_prediction(self, _request: httpx.Request, key: int) -> httpx.Response:
        for task, found in self.predictions.items():
            left = [one for one in found if one["id"] != key]
            if len(left) < len(found):
                self.predictions[task] = left
                return httpx.Response(204)
        return httpx.Response(404, text="no")

    def _import(self, request: httpx.Request, key: int) -> httpx.Response:
        for one in json.loads(request.content):
            assert set(one) == {"data"}
            self.task(Project(key, "", "", "", True, 0), **one["data"])
        return httpx.Response(201, json={"task_count": 1})

    def _image(self, request: httpx.Request) -> httpx.Response:
        content = self.images.get(request.url.params["d"])
        if content is None:
            return httpx.Response(404, text="no")
        _, _, last = request.headers.get("Range", "").partition("bytes=0-")
        if last and not content:
            return httpx.Response(416)  # as Label Studio says it: an empty file has no first byte
        part = content[: int(last) + 1] if last else content
        self.sent.append(len(part))
        return httpx.Response(206 if last else 200, content=part)


def _renamed(body: dict[str, Any]) -> dict[str, Any]:
    return {"results" if name == "result" else name: value for name, value in body.items()}


def url(path: str) -> str:
    return f"/data/local-files/?d={path}"


def result(kind: str, name: str, region_id: str, size_wh: tuple[int, int], value: Result, **more: Any) -> Result:
    return {
        "original_width": size_wh[0],
        "original_height": size_wh[1],
        "image_rotation": 0,
        "value": value,
        "id": region_id,
        "from_name": name,
        "to_name": "image",
        "type": kind,
        "origin": "manual",
        **more,
    }


def brush(mask: Mask, label: str, region_id: str = "a", **more: Any) -> list[Result]:
    """A mask of `<BrushLabels>`."""
    value = {"format": "rle", "rle": encode_rle(mask), "brushlabels": [label]}
    return [result("brushlabels", "brush", region_id, _size(mask), value, **more)]


def split_brush(mask: Mask, label: str, region_id: str = "a") -> list[Result]:
    """A mask of `<Brush>` beside `<Labels>`: two results with one id, each with the whole value."""
    value = {"format": "rle", "rle": encode_rle(mask)}
    return [
        result("brush", "brush", region_id, _size(mask), value),
        result("labels", "label", region_id, _size(mask), {**value, "labels": [label]}),
    ]


def ghost(mask: Mask, label: str, region_id: str = "a") -> Result:
    """What the editor writes when a key point's label is selected while a mask is accepted."""
    value = {"format": "rle", "rle": encode_rle(mask), "keypointlabels": [label]}
    return result("keypointlabels", "kpts", region_id, _size(mask), value)


def key_point(label: str, region_id: str = "p", size_wh: tuple[int, int] = (20, 10)) -> Result:
    value = {"x": 50.0, "y": 50.0, "width": 0.2, "keypointlabels": [label]}
    return result("keypointlabels", "kpts", region_id, size_wh, value, is_positive=True)


def rectangle(label: str, xywh: tuple[float, ...], size_wh: tuple[int, int], region_id: str = "r") -> Result:
    """A box of `<RectangleLabels>`, in pixels."""
    value: Result = {
        name: number * 100 / whole
        for name, number, whole in zip(("x", "y", "width", "height"), xywh, size_wh * 2, strict=True)
    }
    return result("rectanglelabels", "rects", region_id, size_wh, {**value, "rotation": 0, "rectanglelabels": [label]})


def with_palette(
    kind: str, name: str, value: Result, label: str, size_wh: tuple[int, int], region_id: str
) -> list[Result]:
    """Any shape of a tag without labels, and its label."""
    return [
        result(kind, name, region_id, size_wh, value),
        result("labels", "label", region_id, size_wh, {**value, "labels": [label]}),
    ]


def bitmask_value(mask: Mask) -> Result:
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[mask, 3] = 255
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return {"imageDataURL": "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()}


def rectangle_mask(size_wh: tuple[int, int], left: int, top: int, right: int, bottom: int) -> Mask:
    mask = np.zeros((size_wh[1], size_wh[0]), bool)
    mask[top:bottom, left:right] = True
    return mask


def _size(mask: Mask) -> tuple[int, int]:
    return mask.shape[1], mask.shape[0]
