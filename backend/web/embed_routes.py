"""`/embed`: encode images ahead of the clicks, asked for by whoever runs the server (`./inv embed`)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from backend.embedding.embed_progress import EmbedProgress
from backend.errors import BadRequest, NotFound
from backend.images.image_store import TaskImage
from backend.images.neighbours import images_of_folder
from backend.labelstudio.protocol import Name
from backend.serving.service import Service
from backend.web.bodies import MEGABYTE, Bodies

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".jp2")
MAX_IMAGES = 1_000_000
BODY_BYTES = 256 * MEGABYTE  # all images of a project at once


class EmbedImage(BaseModel):
    """One image as a task names it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, coerce_numbers_to_str=True)

    url: Annotated[str, Field(min_length=1, max_length=4000)]
    task: Name | None = None


class EmbedRequest(BaseModel):
    """What to encode: a list of images, or a folder below the shared one. `key` names the job, a project say."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    key: Annotated[str, Field(min_length=1, max_length=200)] = "images"
    images: Annotated[list[EmbedImage] | None, Field(max_length=MAX_IMAGES)] = None
    folder: Annotated[str | None, Field(max_length=4000)] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> EmbedRequest:
        if (self.images is None) == (self.folder is None):
            raise ValueError("either `images` or `folder` is needed")
        return self


def add_embed_routes(app: FastAPI, service: Service, bodies: Bodies) -> None:
    """Add the routes to the application."""

    @app.post("/embed")
    async def start(request: Request) -> JSONResponse:
        """Queue a job; while one of the same key runs, that is the answer."""
        async with bodies.parsed(request, EmbedRequest, "the format of /embed", BODY_BYTES) as job:
            return await queue(job)

    async def queue(job: EmbedRequest) -> JSONResponse:
        model = await service.loader.model(service.settings.model_wait_seconds)

        def submit() -> str:
            return model.jobs.submit(job.key, images_of(job, service.settings.local_files_document_root))

        return JSONResponse({"job": await run_sync(submit)}, status_code=202)

    @app.get("/embed")
    async def jobs() -> JSONResponse:
        """All jobs that are remembered, the newest last."""
        model = service.loader.loaded
        return JSONResponse({"jobs": [asdict(one) for one in model.jobs.all()] if model else []})

    @app.get("/embed/{job}")
    async def progress(job: str) -> JSONResponse:
        """Where a job is."""
        return JSONResponse(asdict(_known(service, job)))

    @app.delete("/embed/{job}")
    async def cancel(job: str) -> JSONResponse:
        """End a job; what was encoded stays."""
        _known(service, job)
        model = service.loader.loaded
        cancelled = model is not None and await run_sync(model.jobs.cancel, job)
        return JSONResponse({"cancelled": cancelled})


def images_of(asked: EmbedRequest, root: Path) -> list[TaskImage]:
    """The images that are asked for, at least one.

    Args:
        root: the shared folder.

    Raises:
        BadRequest: there are none.
        ImageError: there is no such folder.
    """
    if asked.folder is not None:
        images = list(images_of_folder(root, asked.folder, ENDINGS))
    else:
        images = [TaskImage(one.url, one.task) for one in asked.images or ()]
    if not images:
        raise BadRequest("there are no images to embed: name a folder or a project that has some")
    return images


def _known(service: Service, job: str) -> EmbedProgress:
    model = service.loader.loaded
    found = model.jobs.progress(job) if model is not None else None
    if found is None:
        raise NotFound("there is no such job; the backend forgets jobs when it restarts, and the oldest of many")
    return found
