"""`/boxes`: the masks of many boxes of one image, asked for by whoever runs the server (`./inv preannotate`)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from backend.errors import ImageError, LabelingConfigError
from backend.labelstudio.labeling_config import config_of_task, image_named, image_url
from backend.labelstudio.protocol import (
    Context,
    ContextRegion,
    Name,
    Percent,
    Prediction,
    PredictParams,
    PredictRequest,
    Task,
)
from backend.serving.model import Model
from backend.serving.service import Service
from backend.stages import Stages
from backend.web.bodies import Bodies
from labeling.config import LabelingConfig

MAX_BOXES = 2000
AT_ONCE = 4
SECONDS = 300.0  # for one image: clicks go before it
Side = Annotated[int, Field(gt=0, le=10**6)]


class Box(BaseModel):
    """An upright or turned box as Label Studio has it: a corner and sides in percent of the image."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    label: Name | None = None
    x: Percent
    y: Percent
    width: Percent
    height: Percent
    rotation: Percent = 0.0


class BoxesRequest(BaseModel):
    """One task, its boxes, and the project's labeling configuration. `to_name` is the image tag, the first if none.

    `size_wh` is the image's width and height as the boxes' file says; an image of another shape is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    project: Name | None = None
    label_config: str
    task: Name
    data: dict[str, Any]
    to_name: Name | None = None
    size_wh: tuple[Side, Side] | None = None
    boxes: Annotated[list[Box], Field(min_length=1, max_length=MAX_BOXES)]


def add_box_routes(app: FastAPI, service: Service, bodies: Bodies) -> None:
    """Add the route to the application."""
    limiter: CapacityLimiter | None = None

    @app.post("/boxes")
    async def boxes(request: Request) -> Response:
        """All regions of all boxes as one prediction; a box in which nothing is found adds none."""
        nonlocal limiter
        arrived = time.monotonic()
        limiter = limiter or CapacityLimiter(AT_ONCE)
        async with bodies.parsed(request, BoxesRequest, "the format of /boxes") as boxes:
            model = await service.loader.model(service.settings.model_wait_seconds)
            prediction = await run_sync(_masks, service, model, boxes, arrived + SECONDS, limiter=limiter)
        text = prediction.model_dump_json(exclude_none=True, by_alias=True)
        return Response(text, media_type="application/json")


def _masks(service: Service, model: Model, request: BoxesRequest, deadline: float) -> Prediction:
    config = config_of_task(request.label_config, request.data)
    to_name = request.to_name or first_image(config)
    task = Task(id=request.task, data=request.data)
    size_wh = service.answerer.shown_size(task, image_url(task.data, image_named(config, to_name), None), deadline)
    if request.size_wh is not None:
        _check_shape(request.size_wh, size_wh)
    found, scores = [], []
    for box in request.boxes:
        click = PredictRequest(
            tasks=[task],
            project=request.project,
            label_config=request.label_config,
            params=PredictParams(context=Context(result=[_region(box, to_name, size_wh)])),
        )
        prediction = service.answerer.answer_in_batch(click, model, deadline, Stages()).prediction
        if prediction.result:
            found.extend(prediction.result)
            scores.append(prediction.score)
    score = sum(scores) / len(scores) if scores else 0.0
    return Prediction(model_version=service.files.version, score=score, result=found)


def _check_shape(said_wh: tuple[int, int], shown_wh: tuple[int, int]) -> None:
    """The boxes are shares of an image: its resolution does not matter, but it must lie as it is shown.

    Raises:
        ImageError: it has another shape; most often its EXIF orientation was not applied.
    """
    # Sides are whole numbers: each of a smaller copy may be half a pixel off.
    apart = abs(said_wh[0] * shown_wh[1] - said_wh[1] * shown_wh[0])
    turned = said_wh == shown_wh[::-1] != shown_wh
    if turned or apart > max(sum(said_wh), sum(shown_wh)):
        said, shown = ("x".join(map(str, size)) for size in (said_wh, shown_wh))
        raise ImageError(
            f"its boxes are of an image of {said} pixels, and it is shown with {shown}"
            f"{' (turned, as its EXIF orientation says)' if turned else ''}; make them from the image as it is shown"
        )


def first_image(config: LabelingConfig) -> str:
    """The name of the image tag that is meant where none is named.

    Raises:
        LabelingConfigError: there is none.
    """
    if not config.images:
        raise LabelingConfigError("the labeling configuration has no <Image>")
    return config.images[0].name


def _region(box: Box, to_name: str, size_wh: tuple[int, int]) -> ContextRegion:
    value: Mapping[str, object] = {
        **box.model_dump(exclude={"label"}),
        **({} if box.label is None else {"labels": [box.label]}),
    }
    return ContextRegion.model_validate(
        {
            "id": uuid.uuid4().hex,
            "type": "rectangle",
            "to_name": to_name,
            "original_width": size_wh[0],
            "original_height": size_wh[1],
            "value": value,
        }
    )
