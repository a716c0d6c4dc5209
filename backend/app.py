"""The HTTP application: Label Studio's machine-learning backend protocol.

`/health` and `/setup` run on the event loop and never touch the model, so they answer at once while it loads or
works (Label Studio gives them 1 s and 3 s). Clicks run in threads.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from backend import __version__, labeling_config
from backend.catalog import ModelFiles
from backend.clicks import ClickAnswerer
from backend.loading import ModelLoader
from backend.protocol import PredictAnswer, PredictRequest, SetupRequest
from backend.segmenter import Segmenter
from backend.settings import Settings
from backend.web import bad_request, error_response, install_error_handlers

logger = logging.getLogger(__name__)


def create_app(load: Callable[[], Segmenter], settings: Settings, model: ModelFiles) -> FastAPI:
    """Build the application; nothing is loaded before its lifespan begins.

    Args:
        load: builds the model; called once, in a thread.
        settings: the process's settings.
        model: names the model in answers.
    """
    loader = ModelLoader(load)
    answerer = ClickAnswerer(
        settings.local_files_document_root, settings.image_pixel_limit, model_version=model.version
    )
    limiter: CapacityLimiter | None = None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        nonlocal limiter
        limiter = CapacityLimiter(settings.click_threads)
        loader.start()
        yield

    app = FastAPI(
        title="labelrig SAM2 backend", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        openapi_url=None,
    )  # fmt: skip
    install_error_handlers(app)

    @app.get("/")
    @app.get("/health")
    async def health(request: Request) -> JSONResponse:
        """200 while the model loads and when it is ready: Label Studio takes the rest for a dead backend."""
        report = {
            "status": "DOWN" if loader.state == "failed" else "UP",
            "model_class": "SAM2",
            "model": model.name,
            "model_version": model.version,
            "device": loader.device,
            "state": loader.state,
        }
        if loader.error is None:
            return JSONResponse(report)
        return error_response(request, 503, f"the model could not be loaded: {loader.error}", also=report)

    @app.get("/ready")
    async def ready(request: Request) -> JSONResponse:
        """200 only when a click would be answered now; for the container's health check."""
        if loader.state == "ready":
            return JSONResponse({"state": "ready", "model": model.name, "device": loader.device})
        return error_response(request, 503, loader.error or "the model is still loading")

    @app.post("/setup")
    async def setup(request: Request) -> JSONResponse:
        """Called at every page load: checks the labeling configuration and names the model, nothing else."""
        body = await request.body()
        try:
            asked = SetupRequest.model_validate_json(body)
        except ValidationError as error:
            raise bad_request(error) from None
        labeling_config.check(labeling_config.parse(asked.labeling_config))
        return JSONResponse({"model_version": model.version})

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        """A click gets a mask; an opened task (`context` null) gets an empty list at once."""
        body = await request.body()
        asked = await run_sync(_read_predict, body)
        if asked.context is None:
            return _json(PredictAnswer(results=[[] for _ in asked.tasks]))
        segmenter = await loader.segmenter(settings.model_wait_seconds)
        return _json(await run_sync(_answer, answerer, asked, segmenter, limiter=limiter))

    @app.get("/versions")
    async def versions() -> JSONResponse:
        """The one model version that this process serves."""
        return JSONResponse({"versions": [model.version]})

    @app.post("/webhook")
    async def webhook(request: Request) -> JSONResponse:
        """Project events are taken and dropped: they hold whole annotations and the project's token."""
        async for _ in request.stream():
            await anyio.lowlevel.checkpoint()
        return JSONResponse({"status": "ok"}, status_code=201)

    return app


def _read_predict(body: bytes) -> PredictRequest:
    """In a thread: a task with many masks makes a body of megabytes."""
    try:
        return PredictRequest.model_validate_json(body)
    except ValidationError as error:
        raise bad_request(error) from None


def _answer(answerer: ClickAnswerer, asked: PredictRequest, segmenter: Segmenter) -> PredictAnswer:
    return PredictAnswer(results=[answerer.answer(asked, segmenter)])


def _json(answer: PredictAnswer) -> Response:
    return Response(answer.model_dump_json(exclude_none=True), media_type="application/json")
