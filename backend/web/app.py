"""The HTTP application: Label Studio's machine-learning backend protocol, and pages for those who run it.

`/health` runs on the event loop and never touches the model, so it answers at once while it loads or works (Label
Studio gives it 1 s, and `/setup` 3 s). Everything that takes time runs in threads.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from backend import __version__
from backend.errors import RequestError, Superseded
from backend.labelstudio.protocol import PredictAnswer, PredictRequest, SetupRequest
from backend.segmenter import Segmenter
from backend.serving.clicks import Answered
from backend.serving.editing import edited_answer
from backend.serving.following import follow_answer
from backend.serving.metrics import CONTENT_TYPE
from backend.serving.model import Model
from backend.serving.outlining import outlines_answer
from backend.serving.page_runs import AT_ONCE
from backend.serving.preview import preview_answer
from backend.serving.proposing import everything_answer
from backend.serving.service import PREVIEWS, Service, build_service
from backend.serving.setup import set_up
from backend.serving.state import prewarm, state_answer, task_images
from backend.serving.status_page import HEADERS, render_status
from backend.serving.twin import twin_answer
from backend.settings import Settings
from backend.stages import Stages
from backend.web.alignment_routes import add_alignment_routes
from backend.web.bodies import MEGABYTE, Bodies
from backend.web.box_routes import add_box_routes
from backend.web.credential import CredentialMiddleware, PasswordFile
from backend.web.embed_routes import add_embed_routes
from backend.web.everything_routes import add_everything_routes
from backend.web.middleware import (
    error_response,
    install_error_handlers,
    request_id_of,
    take_request_id,
)
from backend.web.openapi import describe
from backend.web.picture_routes import add_picture_routes
from backend.web.plain_routes import add_plain_routes
from backend.web.propagate_routes import add_propagate_routes
from backend.web.refine_routes import add_refine_routes
from backend.weights.catalog import ModelFiles

STATE_THREADS = 8  # each may wait two seconds for an image's server, and may not keep /setup waiting
SPARE_THREADS = 8  # so that a click beyond the limit is refused at once, and does not wait for a thread


def create_app(load: Callable[[], Segmenter], settings: Settings, files: ModelFiles) -> FastAPI:
    """Build the application; nothing is loaded before its lifespan begins.

    Args:
        load: builds the model; called once, in a thread.
        settings: the process's settings.
        files: name the model in answers.
    """
    service = build_service(load, settings, files)
    bodies = Bodies(settings.request_limit_mb * MEGABYTE)
    clicks: CapacityLimiter | None = None
    states: CapacityLimiter | None = None
    previews: CapacityLimiter | None = None
    follows: CapacityLimiter | None = None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        nonlocal clicks, states, previews, follows
        clicks, states = CapacityLimiter(settings.click_limit + SPARE_THREADS), CapacityLimiter(STATE_THREADS)
        previews, follows = CapacityLimiter(PREVIEWS), CapacityLimiter(2 * AT_ONCE)
        service.start()
        yield
        await run_sync(service.close)

    app = FastAPI(
        title="labelrig SAM2 backend", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
    )  # fmt: skip
    if settings.backend_password_file is not None:  # first, so that what it refuses is counted and has an id
        app.add_middleware(CredentialMiddleware, password=PasswordFile(settings.backend_password_file))
    install_error_handlers(app, service.failed, service.metrics.count_request)
    app.state.service = service  # for who hosts the application (backend.cluster)

    @app.get("/")
    @app.get("/health")
    async def health(request: Request) -> JSONResponse:
        """200 while the model loads, and when it is ready or degraded: Label Studio takes the rest for dead."""
        state, reason = service.watch.state()
        model = service.loader.loaded
        report = {
            "status": "DOWN" if state == "failed" else "UP",
            "model_class": "SAM2",
            "model": files.name,
            "model_version": files.version,
            "device": model.device if model else None,
            "engine": model.segmenter.engine if model else None,
            "state": state,
        }
        if state == "failed":
            return error_response(request, 503, f"the model could not be loaded: {reason}", also=report)
        return JSONResponse(report if reason is None else {**report, "reason": reason})

    @app.get("/ready")
    async def ready(request: Request) -> JSONResponse:
        """200 only when a click would be answered now; for the container's health check."""
        state, reason = service.loader.state
        model = service.loader.loaded
        if model is not None:
            return JSONResponse({"state": state, "model": files.name, "device": model.device})
        return error_response(request, 503, reason or "the model is still loading")

    @app.post("/setup")
    async def setup(request: Request) -> JSONResponse:
        """Called at every page load: checks the labeling configuration and takes the project's options."""
        async with bodies.parsed(request, SetupRequest) as body:
            await run_sync(set_up, service.options, service.defaults, body)
        return JSONResponse({"model_version": files.version})

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        """A click gets a mask; an opened task (`context` null) gets an empty list at once."""
        stages, arrived = Stages(), time.monotonic()
        async with bodies.parsed(request, PredictRequest) as body:
            if body.context is None:
                await run_sync(_prewarm, service, body)
                return _json(PredictAnswer(results=[[] for _ in body.tasks]))
            take_request_id(request, body.context.request_id)
            if body.context.ask == "state":
                return JSONResponse(await run_sync(state_answer, service, body, limiter=states))
            if body.context.ask == "preview":
                return JSONResponse(await run_sync(preview_answer, service, body, limiter=previews))
            if body.context.ask == "twin":
                return _json(PredictAnswer(results=[await run_sync(twin_answer, service, body, limiter=clicks)]))
            if body.context.ask == "outlines":
                return JSONResponse(await run_sync(outlines_answer, service, body, limiter=clicks))
            if body.context.ask == "edit":
                return _json(PredictAnswer(results=[await run_sync(edited_answer, service, body, limiter=clicks)]))
            model = await service.loader.model(settings.model_wait_seconds)
            if body.context.ask == "everything":
                deadline = arrived + settings.click_deadline_seconds
                return JSONResponse(await run_sync(everything_answer, service, model, body, deadline, limiter=clicks))
            if body.context.ask == "follow":
                return JSONResponse(await run_sync(follow_answer, service, model, body, limiter=follows))
            deadline, request_id = arrived + settings.click_deadline_seconds, request_id_of(request)
            return await run_sync(_click, service, body, model, deadline, stages, request_id, limiter=clicks)

    @app.get("/status")
    async def status() -> HTMLResponse:
        """A page for people: model, device, caches, queue, the last clicks and errors."""
        return HTMLResponse(await run_sync(lambda: render_status(service.snapshot())), headers=dict(HEADERS))

    @app.get("/metrics")
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(await run_sync(service.metrics.text), media_type=CONTENT_TYPE)

    add_plain_routes(app, files)
    add_embed_routes(app, service, bodies)
    add_box_routes(app, service, bodies)
    add_everything_routes(app, service, bodies)
    add_refine_routes(app, service, bodies)
    add_propagate_routes(app, service, bodies)
    add_alignment_routes(app, service.alignments, bodies)
    add_picture_routes(app, service)
    describe(app)
    return app


def _click(
    service: Service, body: PredictRequest, model: Model, deadline: float, stages: Stages, request_id: str
) -> Response:
    try:
        answered = service.answerer.answer(body, model, deadline, stages)
    except RequestError as error:
        if not isinstance(error, Superseded):
            task = body.tasks[0].id if body.tasks else None
            service.recent.add_click(
                request_id=request_id, task=task or "", prompt="-", stages_ms=stages.milliseconds, status=error.status
            )
        raise
    response = _json(PredictAnswer(results=[answered.prediction]))
    _note(service, answered, stages, request_id)
    response.headers["Server-Timing"] = ", ".join(f"{name};dur={ms:.2f}" for name, ms in stages.milliseconds.items())
    return response


def _note(service: Service, answered: Answered, stages: Stages, request_id: str) -> None:
    if answered.kind == "nothing":
        return
    service.metrics.count_click(answered.kind, stages.seconds)
    service.recent.add_click(
        request_id=request_id,
        task=answered.task,
        prompt=answered.what,
        label=answered.label,
        size_wh=answered.size_wh,
        stages_ms=stages.milliseconds,
        embedding=answered.embedding,
    )


def _prewarm(service: Service, body: PredictRequest) -> None:
    """A task was opened: its images will be clicked on. "Retrieve predictions" sends many, which says nothing."""
    model = service.loader.loaded
    if model is None or len(body.tasks) != 1:
        return
    try:
        prewarm(service, model, body, task_images(body))
    except RequestError:
        return


def _json(answer: PredictAnswer) -> Response:
    return Response(answer.model_dump_json(exclude_none=True, by_alias=True), media_type="application/json")
