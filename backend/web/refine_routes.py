"""`/refine`: SAM 2's masks of things whose masks are known roughly, asked for by `./inv pairs.transfer`."""

from __future__ import annotations

import base64
import time
from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from backend.labelstudio.protocol import Name
from backend.serving.model import Model
from backend.serving.refining import refine
from backend.serving.service import Service
from backend.web.bodies import MEGABYTE, Bodies

MAX_MASKS = 2000
AT_ONCE = 2
SECONDS = 300.0  # for one image: clicks go before it
BODY_BYTES = 64 * MEGABYTE
Side = Annotated[int, Field(gt=0, le=10**6)]


class RefineRequest(BaseModel):
    """One image of a task, and masks on it: Label Studio's run-length code in base64, of the image's size."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, coerce_numbers_to_str=True)

    url: Annotated[str, Field(min_length=1, max_length=4000)]
    task: Name | None = None
    size_wh: tuple[Side, Side]
    masks: Annotated[list[Base64Bytes], Field(min_length=1, max_length=MAX_MASKS)]


def add_refine_routes(app: FastAPI, service: Service, bodies: Bodies) -> None:
    """Add the route to the application."""
    limiter: CapacityLimiter | None = None

    @app.post("/refine")
    async def refined(request: Request) -> JSONResponse:
        """For each mask SAM 2's own with its score, in the same order; null where it finds nothing."""
        nonlocal limiter
        arrived = time.monotonic()
        limiter = limiter or CapacityLimiter(AT_ONCE)
        async with bodies.parsed(request, RefineRequest, "the format of /refine", BODY_BYTES) as asked:
            model = await service.loader.model(service.settings.model_wait_seconds)
            masks = await run_sync(_refined, service, model, asked, arrived + SECONDS, limiter=limiter)
        return JSONResponse({"model_version": service.files.version, "masks": masks})


def _refined(service: Service, model: Model, asked: RefineRequest, deadline: float) -> list[dict[str, object] | None]:
    found = refine(service.answerer, model, asked.url, asked.task, asked.size_wh, asked.masks, deadline)
    return [
        None if one is None else {"rle": base64.b64encode(one.rle).decode("ascii"), "score": one.score} for one in found
    ]
