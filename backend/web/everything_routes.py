"""`/everything`: all objects of one image, asked for by whoever runs the server (`./inv preannotate --everything`)."""

from __future__ import annotations

import time
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict

from backend.labelstudio.labeling_config import config_of_task, image_named, image_url
from backend.labelstudio.protocol import ContextRegion, Name, Prediction, RegionValue, Task
from backend.serving.model import Model
from backend.serving.proposing import SECONDS, all_as_regions
from backend.serving.service import Service
from backend.web.bodies import Bodies
from backend.web.box_routes import first_image

AT_ONCE = 2


class EverythingRequest(BaseModel):
    """One image of a task, and the project's labeling configuration. `to_name` is the image tag, the first if none.

    `label` is what all objects are called; without one they have none, which the configuration must allow.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    project: Name | None = None
    label_config: str
    task: Name
    data: dict[str, Any]
    to_name: Name | None = None
    item_index: int | None = None
    label: Name | None = None


def add_everything_routes(app: FastAPI, service: Service, bodies: Bodies) -> None:
    """Add the route to the application."""
    limiter: CapacityLimiter | None = None

    @app.post("/everything")
    async def everything(request: Request) -> Response:
        """A region for each object that the model finds, as one prediction."""
        nonlocal limiter
        limiter = limiter or CapacityLimiter(AT_ONCE)
        async with bodies.parsed(request, EverythingRequest, "the format of /everything") as asked:
            model = await service.loader.model(service.settings.model_wait_seconds)
            prediction = await run_sync(_everything, service, model, asked, limiter=limiter)
        text = prediction.model_dump_json(exclude_none=True, by_alias=True)
        return Response(text, media_type="application/json")


def _everything(service: Service, model: Model, asked: EverythingRequest) -> Prediction:
    config = config_of_task(asked.label_config, asked.data)
    to_name = asked.to_name or first_image(config)
    task = Task(id=asked.task, data=asked.data)
    url = image_url(task.data, image_named(config, to_name), asked.item_index)
    width, height = service.answerer.shown_size(task, url, time.monotonic() + SECONDS)
    labels = None if asked.label is None else [asked.label]
    entry = ContextRegion(
        type="labels",
        to_name=to_name,
        original_width=width,
        original_height=height,
        item_index=asked.item_index,
        value=RegionValue(labels=labels),
    )
    return all_as_regions(service, model, asked.label_config, asked.project, task, entry)
