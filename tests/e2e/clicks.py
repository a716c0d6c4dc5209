"""Clicks on the demo images through a real Label Studio, judged against the truth: helpers for the round trip.

Independent of how the stack was started: everything works on a connected client, a project's spec, and the folder with
the truth. Nothing here is told where the masks come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from labelstudio.client import Client
from labelstudio.config import ProjectSpec
from labelstudio.image_files import path_in
from labelstudio.masks import MaskResult, masks_in
from labelstudio.models import TaskRef
from labelstudio.prompts import box_regions, click_regions
from labelstudio.truth import TruthObject, truth_of
from masks.measure import intersection_over_union

Mask = NDArray[np.bool_]
Result = Mapping[str, object]


@dataclass(frozen=True)
class Round:
    """One stack under test: a connected client, the project's spec and ids, and where the truth lies."""

    client: Client
    spec: ProjectSpec
    project_id: int
    backend_id: int
    folder_name: str
    truth: Path


@dataclass(frozen=True)
class Scene:
    """One demo image: its task, its size in pixels, and the objects drawn in it."""

    task: TaskRef
    image: str
    size_wh: tuple[int, int]
    objects: tuple[TruthObject, ...]


@dataclass(frozen=True)
class Reply:
    """What came back: the results as they are, the mask for our label, and how well it fits the truth."""

    results: tuple[Result, ...]
    mask: Mask
    iou: float
    seconds: float


def scenes(round_: Round) -> list[Scene]:
    """Every task whose image has a truth."""
    found = []
    for task in round_.client.tasks(round_.project_id, round_.spec.labeling.images[0]):
        path = path_in(round_.folder_name, task.image)
        objects = truth_of(round_.truth, PurePosixPath(path).name) if path else []
        if path and objects:
            height, width = objects[0].mask().shape
            found.append(Scene(task, path, (width, height), tuple(objects)))
    return found


def click(round_: Round, scene: Scene, one: TruthObject, *, negative: bool = False) -> Reply:
    """A point on the object; with `negative` also an Alt+click on its neighbour, in one request as the editor sends."""
    labeling = round_.spec.labeling
    regions = click_regions(labeling, one.label, one.click_xy, scene.size_wh)
    if negative:
        assert one.negative_xy is not None, "this object has no neighbour to click away"
        regions += click_regions(labeling, one.label, one.negative_xy, scene.size_wh, positive=False)
    return ask(round_, scene, one, regions)


def draw_box(round_: Round, scene: Scene, one: TruthObject) -> Reply:
    """A smart rectangle around the object."""
    return ask(round_, scene, one, box_regions(round_.spec.labeling, one.label, one.box_xyxy, scene.size_wh))


def ask(round_: Round, scene: Scene, one: TruthObject, regions: Sequence[Result]) -> Reply:
    """Send prompts and read the one mask that must come back."""
    answer = round_.client.click(round_.backend_id, scene.task.id, regions)
    assert not answer.errors, f"{scene.image} {one.label}: {answer.errors}"
    assert answer.data is not None, f"{scene.image} {one.label}: no data"
    results = answer.data["result"]
    assert isinstance(results, list)
    found = mask_of(round_, results, one.label)
    assert found.mask.shape == (scene.size_wh[1], scene.size_wh[0])
    return Reply(
        results=tuple(results),
        mask=found.mask,
        iou=intersection_over_union(found.mask, one.mask()),
        seconds=answer.seconds,
    )


def mask_of(round_: Round, results: Sequence[Result], label: str) -> MaskResult:
    """The only mask in some results; it must stand under the brush tag and carry the label."""
    tag = round_.spec.labeling.mask
    assert tag is not None
    masks = masks_in(results)
    assert [one.from_name for one in masks] == [tag.name], f"{len(masks)} masks for {label} in {len(results)} results"
    assert masks[0].labels == (label,)
    assert len(masks[0].region_id) >= 10
    return masks[0]


def save(round_: Round, scene: Scene, replies: Sequence[Reply]) -> int:
    """Submit the masks of some replies as one annotation, as the editor writes them; return its id."""
    result = [region for reply in replies for region in as_submitted(reply.results)]
    made = round_.client.sdk.annotations.create(scene.task.id, result=result, lead_time=1.0)
    assert made.id is not None
    return int(made.id)


def as_submitted(results: Sequence[Result]) -> list[dict[str, object]]:
    """Accepted suggestions as the editor serialises them: each result of a region carries the region's whole value."""
    values: dict[object, dict[str, object]] = {}
    for one in results:
        value = one["value"]
        assert isinstance(value, dict)
        if value.get("format") == "rle":
            values[one["id"]] = {"format": "rle", "rle": value["rle"]}
    submitted = []
    for one in results:
        value = one["value"]
        assert isinstance(value, dict)
        submitted.append({**one, "value": {**values.get(one["id"], {}), **value}, "origin": "manual"})
    return submitted


def read_back(round_: Round, annotation_id: int) -> list[MaskResult]:
    """The masks of a stored annotation, one per region."""
    stored = round_.client.sdk.annotations.get(annotation_id)
    results = [dict(one) for one in stored.result or []]
    seen: dict[str, MaskResult] = {}
    for found in masks_in(results):
        seen.setdefault(found.region_id, found)
    return list(seen.values())
