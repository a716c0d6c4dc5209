"""The ingress: the backend's HTTP on one address, with the work done by replicas.

It checks what the backend checks before work begins, by the same code: the password, grants of pictures, sizes of
bodies and the memory for them, their form. Then it hands the very bytes on, so that all other answers are a replica's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from anyio.to_thread import run_sync
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from backend import __version__
from backend.cluster.ahead import Ahead
from backend.cluster.embedding import add_embed_routes
from backend.cluster.figures import Figures
from backend.cluster.forwarding import REPLICA_HEADER, Forwarder, response_of
from backend.cluster.host_routes import add_host_routes
from backend.cluster.hosts import Hosts
from backend.cluster.keys import Keys, key_of
from backend.cluster.messages import Answer
from backend.cluster.pages import add_pages
from backend.cluster.projects import Projects
from backend.cluster.waiting import Runs, together
from backend.cluster.watching import ReplicaWatch
from backend.errors import BadRequest, NotFound, RequestError
from backend.labelstudio.labeling_config import config_of_task, image_named, image_url
from backend.labelstudio.protocol import PredictRequest, SetupRequest
from backend.serving.proposing import SECONDS as EVERYTHING_SECONDS
from backend.serving.setup import set_up
from backend.serving.state import task_images
from backend.settings import Settings
from backend.web import box_routes, picture_routes, refine_routes
from backend.web.alignment_routes import add_alignment_routes
from backend.web.bodies import MEGABYTE, Bodies
from backend.web.box_routes import BoxesRequest, first_image
from backend.web.credential import CredentialMiddleware, PasswordFile
from backend.web.everything_routes import EverythingRequest
from backend.web.grants import Grant
from backend.web.middleware import install_error_handlers, take_request_id
from backend.web.openapi import describe
from backend.web.picture_routes import GRANT, PATH
from backend.web.plain_routes import add_plain_routes
from backend.web.propagate_routes import BODY_BYTES as PROPAGATE_BYTES
from backend.web.propagate_routes import NO_RUN, PropagateRequest, error_line
from backend.web.refine_routes import RefineRequest
from backend.weights.catalog import ModelFiles

GRACE_SECONDS = 2.0  # that an answer may be on its way after a replica gave up
WORST = ("failed", "encoding", "ready")  # states of images


def create_ingress(
    settings: Settings, files: ModelFiles, watch: ReplicaWatch, hosts: Hosts, forwarder: Forwarder, projects: Projects,
    keys: Keys, figures: Figures, ahead: Ahead,
) -> FastAPI:  # fmt: skip
    """Build the application.

    Args:
        settings: of this host: password, limits, deadlines.
        files: the model, as answers name it.
    """
    bodies, runs = Bodies(settings.request_limit_mb * MEGABYTE), Runs()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with watch.running():
            yield

    app = FastAPI(
        title="labelrig SAM2 backend", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
    )  # fmt: skip
    if settings.backend_password_file is not None:
        app.add_middleware(CredentialMiddleware, password=PasswordFile(settings.backend_password_file))
    install_error_handlers(
        app, lambda _error, _id: None, lambda route, status: figures.requests.labels(route, str(status)).inc()
    )

    @app.post("/setup")
    async def setup(request: Request) -> JSONResponse:
        """The project's options are kept here, and told to each replica with the project's first request there."""
        async with bodies.parsed(request, SetupRequest) as body:
            await asyncio.to_thread(set_up, projects.options, projects.options.defaults, body)
        return JSONResponse({"model_version": files.version})

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        """A click goes to the replica of its image; of an opened task each image to its own."""
        arrived = time.monotonic()
        async with bodies.with_text(request, PredictRequest) as (body, text):
            take_request_id(request, body.context.request_id if body.context else None)
            ask = body.context.ask if body.context else "opened"
            if not watch.ready and ask in ("opened", "state", "preview"):
                return JSONResponse(watch.answer_without(ask, len(body.tasks)))
            await watch.some(settings.model_wait_seconds)
            seconds = settings.click_deadline_seconds + GRACE_SECONDS - (time.monotonic() - arrived)
            if ask in ("opened", "state"):
                answers = await _by_image(request, body, text, seconds)
                _encode_ahead(ahead, ask, body, answers)
                return _worst(request, answers) if ask == "state" else response_of(request, answers[0], answers[0].body)
            key, repeat = keys.of_click(body), ask != "follow"  # a step of a run is not to be made twice
            response = await forwarder.response(request, key, text, seconds, project=body.project, repeat=repeat)
            figures.seconds.observe(time.monotonic() - arrived)
            return response

    async def _by_image(request: Request, body: PredictRequest, text: bytes, seconds: float) -> list[Answer]:
        images = keys.of_task(body)
        if len(set(images.values())) <= 1:
            key = next(iter(images.values()), key_of(body.project or ""))
            return [await forwarder.answer(request, key, text, seconds, project=body.project)]
        parts = await run_sync(_of_each, text, images)
        return await together(
            forwarder.answer(request, key, part, seconds, project=body.project) for key, part in parts
        )

    @app.post("/boxes")
    async def boxes(request: Request) -> Response:
        """To the replica of the image."""
        async with bodies.with_text(request, BoxesRequest, "the format of /boxes") as (body, text):
            key = _key_of_named(keys, body.label_config, body.data, body.to_name, None, body.task)
            await watch.some(settings.model_wait_seconds)
            seconds = box_routes.SECONDS + GRACE_SECONDS
            return await forwarder.response(request, key, text, seconds, project=body.project)

    @app.post("/everything")
    async def everything(request: Request) -> Response:
        """To the replica of the image."""
        async with bodies.with_text(request, EverythingRequest, "the format of /everything") as (body, text):
            key = _key_of_named(keys, body.label_config, body.data, body.to_name, body.item_index, body.task)
            await watch.some(settings.model_wait_seconds)
            # Twice: to find the image, and to work on it.
            seconds = 2 * EVERYTHING_SECONDS + GRACE_SECONDS
            return await forwarder.response(request, key, text, seconds, project=body.project)

    @app.post("/refine")
    async def refine(request: Request) -> Response:
        """To the replica of the image."""
        form = "the format of /refine"
        async with bodies.with_text(request, RefineRequest, form, refine_routes.BODY_BYTES) as (body, text):
            await watch.some(settings.model_wait_seconds)
            seconds = refine_routes.SECONDS + GRACE_SECONDS
            return await forwarder.response(request, keys.of_image(body.url, body.task), text, seconds)

    @app.post("/propagate")
    async def propagate(request: Request) -> Response:
        """A run is one replica's: that of its key, where a run of the same key is replaced and cancelled."""
        form = "the format of /propagate"
        async with bodies.with_text(request, PropagateRequest, form, PROPAGATE_BYTES) as (body, text):
            run, key = runs.running(body.key), key_of(f"propagate {body.key}")
            await watch.some(settings.model_wait_seconds)
        # Without a deadline, as on one host: it begins when its anchors are encoded, after every click.
        return await forwarder.streamed(request, key, text, None, repeat=True, run=run, last=error_line)

    @app.delete("/propagate/{key}")
    async def cancel(key: str) -> JSONResponse:
        """End a run here; at its replica it ends with the connection. All runs go through this process."""
        if not runs.cancel(key):
            raise NotFound(NO_RUN)
        return JSONResponse({"cancelled": True})

    @app.get(PATH)
    async def picture(request: Request) -> Response:
        """The picture of a grant, made by the replica of the image."""
        grant = getattr(request.state, GRANT, None)
        if not isinstance(grant, Grant):
            raise BadRequest("a picture is asked for with a grant of Label Studio's, and none came")
        await watch.some(settings.model_wait_seconds)
        seconds = picture_routes.SECONDS + GRACE_SECONDS
        return await forwarder.streamed(request, keys.of_image(grant.url), b"", seconds, repeat=True)

    add_plain_routes(app, files)
    add_embed_routes(app, settings, bodies, watch, forwarder, keys)
    add_alignment_routes(app, projects.alignments, bodies)
    add_host_routes(app, watch, hosts)
    add_pages(app, files, watch, hosts, figures)
    describe(app)
    return app


def _of_each(text: bytes, images: Mapping[str, str]) -> list[tuple[str, bytes]]:
    """The request of a task for each of its images, with its key. Takes long for a task with many masks."""
    whole = json.loads(text)
    return [(key, json.dumps({**whole, "only_image": tag}).encode()) for tag, key in images.items()]


def _encode_ahead(ahead: Ahead, ask: str, body: PredictRequest, answers: Sequence[Answer]) -> None:
    """Of an opened task, and of one whose state is asked for and is not ready: not every page says what it opens.

    "Retrieve predictions" sends many tasks, which says nothing; of several images the neighbours of the first count.
    """
    if len(body.tasks) != 1 or any(one.status != 200 for one in answers):
        return
    if ask == "state":
        states = (json.loads(one.body)["results"][0]["state"] for one in answers)
        if not any(one.get("image") == "encoding" for one in states):
            return
    with contextlib.suppress(RequestError):
        for image in task_images(body)[:1]:
            ahead.opened(body.project, image, asked_again=ask == "state")


def _key_of_named(
    keys: Keys, config_text: str, data: dict[str, object], to_name: str | None, item_index: int | None, task: str
) -> str:
    """The key of an image that a request names; where it cannot be found, any: the replica says why."""
    try:
        config = config_of_task(config_text, data)
        tag = image_named(config, to_name or first_image(config))
        return keys.of_image(image_url(data, tag, item_index), task)
    except RequestError:
        return key_of(task)


def _worst(request: Request, answers: Sequence[Answer]) -> Response:
    """A task is ready when all of its images are: of several states the one furthest from that, with all pages."""
    if len(answers) == 1:
        return response_of(request, answers[0], answers[0].body)
    refused = next((one for one in answers if one.status != 200), None)
    if refused is not None:
        return response_of(request, refused, refused.body)
    bodies = [json.loads(one.body) for one in answers]
    states = [body["results"][0]["state"] for body in bodies]
    pages = {tag: count for state in states for tag, count in state.get("pages", {}).items()}
    ranks = [WORST.index(state["image"]) if state.get("image") in WORST else len(WORST) for state in states]
    worst = ranks.index(min(ranks))
    if pages:
        states[worst]["pages"] = pages
    response = JSONResponse(bodies[worst])
    response.headers[REPLICA_HEADER] = answers[worst].replica
    return response
