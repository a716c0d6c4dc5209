"""Masks through a sequence, step by step, for a page: what it gives on one image is followed into the next ones.

Label Studio sends one task with each question and checks that who asks may see it. So a step is a question about its
own image, and a page follows masks into no image that its person may not open. A step's masks come as the results of a
prediction, with the notes that `./inv propagate` writes; to store them is the page's part, as who is signed in.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from backend.budget import WAIT_SECONDS
from backend.errors import BadRequest, ModelError, NotFound
from backend.images.image_store import TaskImage
from backend.labelstudio.labeling_config import config_of_task, image_named, image_url, output_for
from backend.labelstudio.prompts import Click
from backend.labelstudio.protocol import ContextRegion, Follow, Prediction, PredictRequest, RegionResult, RegionValue
from backend.labelstudio.regions import Drawn, on_same_image
from backend.labelstudio.results import to_results
from backend.labelstudio.tracked_regions import SHAPES, given_in
from backend.serving.clicks import MASK_BYTES, PART_BYTES
from backend.serving.model import Model
from backend.serving.page_run import PageRun, Step
from backend.serving.propagating import MAX_OBJECTS, Anchor, FollowedMask, Frame, Propagation, Wanted
from backend.serving.service import Service
from backend.serving.state import prewarm
from labeling.tracks import LOST_AFTER, TrackNote, mask_digest, note_text, run_digest
from masks.rle import decode_rle

GIVEN_BYTES = 4  # for each pixel: a mask and the one that it is compared with, each of which may be a picture first


def follow_answer(service: Service, model: Model, request: PredictRequest) -> dict[str, Any]:
    """The body of the answer to a page: `follow` is `{"done": false}` while the step is in work.

    Raises:
        RequestError: the image or a mask cannot be read, no tag takes a mask, or the run is not there; one sentence.
    """
    asked = request.context.follow if request.context else None
    if asked is None or len(request.tasks) != 1:
        raise BadRequest("which step is meant: expected `follow` and one task")
    runs, key = service.page_runs, f"{request.project}/{asked.run}"
    if asked.step == "end":
        runs.end(key)
        return _body(service, Step(), {"done": True})
    if asked.step == "anchor":
        step = runs.step(key, ("anchor", asked.place), lambda run: _given(service, model, request, asked, run), PageRun)
    else:
        step = runs.step(key, ("into", asked.place), lambda run: _followed(service, model, request, asked, run))
    if step is None:
        return _body(service, Step(), {"done": False})
    return _body(service, step, {"done": True, **step.about})


def _given(service: Service, model: Model, request: PredictRequest, asked: Follow, run: PageRun) -> Step:
    """The masks of an annotated image: of the nearest one first, whose objects are followed, then of older ones."""
    entries = (request.context.result if request.context else None) or []
    shapes = [one for one in entries if one.type in SHAPES]
    if not shapes:
        raise BadRequest("there is no mask to continue: brushes, bitmasks, polygons and ellipses are followed")
    size_wh = _shape_of(shapes, service.answerer.pixel_limit)
    with service.answerer.work.hold(size_wh[0] * size_wh[1] * GIVEN_BYTES, time.monotonic() + WAIT_SECONDS):
        given = given_in(request.tasks[0].id or "", entries, asked.predicted)
    if not given:
        raise BadRequest("the masks that are to be continued are empty")
    if len(given) > MAX_OBJECTS:
        raise BadRequest(f"{len(given)} masks at once, more than {MAX_OBJECTS}")
    if run.propagation is None:
        _begin(service, model, asked, run, shapes[0].to_name)
        run.given = {one.track: one for one in given}
    assert run.propagation is not None  # noqa: S101 - `_begin`
    codes = {one.track: one.code for one in given if one.track in run.given}
    if codes:
        run.propagation.give(Anchor(Frame(asked.place, _image(request, run.to_name)), size_wh, codes))
    for one in given:
        if one.track in codes:
            run.digests.setdefault(one.track, []).append((asked.place - run.nearest, mask_digest(one.code)))
    return Step(about={"tracks": {one.track: one.region_id for one in given}})


def _begin(service: Service, model: Model, asked: Follow, run: PageRun, to_name: str) -> None:
    try:
        wanted = Wanted(asked.length, [], [], backward=False, lost_after=LOST_AFTER)
        run.propagation = Propagation(service.answerer, model, wanted, run.token)
    except ModelError as error:
        raise BadRequest(str(error)) from None
    run.to_name, run.origin, run.nearest = to_name, asked.name, asked.place


def _shape_of(shapes: Sequence[ContextRegion], pixel_limit: int) -> tuple[int, int]:
    """The size of the one image that all masks are on."""
    first = shapes[0]
    size_wh = (first.original_width, first.original_height)
    for one in shapes:
        if (
            not on_same_image(first, one.to_name, one.item_index)
            or (one.original_width, one.original_height) != size_wh
        ):
            raise BadRequest("the masks are of several images, and one image is continued at a time")
    if size_wh[0] * size_wh[1] > pixel_limit:
        raise BadRequest(f"a mask has {size_wh[0]}x{size_wh[1]} pixels, more than IMAGE_PIXEL_LIMIT={pixel_limit}")
    return size_wh


def _followed(service: Service, model: Model, request: PredictRequest, asked: Follow, run: PageRun) -> Step:
    if run.propagation is None:
        raise NotFound("no masks were given that this image could continue; begin again")
    image = _image(request, run.to_name)
    found = run.propagation.into(Frame(asked.place, image))
    # The next images of the folder are encoded while the page stores this one's masks.
    prewarm(service, model, request.model_copy(update={"project": f"follow {asked.run}"}), [image])
    results, scores = list[RegionResult](), dict[str, float]()
    for track, one in found.masks.items():
        if one.rle is not None and found.size_wh is not None:
            results += _results(service, request, run, track, one, found.size_wh)
            scores[track] = round(one.score, 4)
    return Step(
        results,
        min(scores.values(), default=0.0),
        {
            "tracks": sorted(run.given),
            "scores": scores,
            "ended": sorted(track for track, one in found.masks.items() if one.ended),
            "problem": found.problem,
            "doubted": sorted(track for track, one in found.masks.items() if one.doubted),
        },
    )


def _image(request: PredictRequest, to_name: str) -> TaskImage:
    task = request.tasks[0]
    tag = image_named(config_of_task(request.label_config, task.data), to_name)
    return TaskImage(image_url(task.data, tag, None), task.id)


def _results(
    service: Service, request: PredictRequest, run: PageRun, track: str, one: FollowedMask, size_wh: tuple[int, int]
) -> list[RegionResult]:
    """One mask as results, labelled as on the anchor, with a note of its track."""
    given = run.given[track]
    config, options = config_of_task(request.label_config, request.tasks[0].data), service.options.of(request.project)
    label = given.labels[0] if given.labels else None
    output = output_for(config, run.to_name, label, given.kind, "brush")
    drawn = Drawn(track, given.kind, RegionValue(), True, label, size_wh)
    click = Click((drawn,), run.to_name, size_wh, None, 0.0, np.zeros((0, 2)), replaces=track)
    made_from = run_digest(service.files.version, run.digests[track], backward=False, lost_after=LOST_AFTER)
    text = note_text(TrackNote(track, made_from, one.score, run.origin), one.presence)
    pixels = size_wh[0] * size_wh[1]
    with service.answerer.work.hold(pixels * (MASK_BYTES + PART_BYTES), time.monotonic() + WAIT_SECONDS):
        mask = decode_rle(one.rle or b"", size_wh)
        made = to_results(mask, one.score, click, output, options, note=text)
    return [_labelled(each, given.labels) for each in made]


def _labelled(result: RegionResult, labels: Sequence[str]) -> RegionResult:
    """With all labels of the region, where the result carries any."""
    value = result.value
    names = [name for name in type(value).model_fields if name.endswith("labels") and getattr(value, name)]
    changed = value.model_copy(update={name: list(labels) for name in names})
    return result.model_copy(update={"value": changed})


def _body(service: Service, step: Step, about: dict[str, Any]) -> dict[str, Any]:
    prediction = Prediction(model_version=service.files.version, score=step.score, result=step.results)
    body = prediction.model_dump(mode="json", exclude_none=True, by_alias=True)
    return {"results": [{**body, "follow": about}]}
