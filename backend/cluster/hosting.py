"""The backend's application without a server: a request goes in, and what it sends comes out."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
from anyio.to_thread import run_sync
from fastapi import FastAPI
from starlette.types import ASGIApp, Message

from backend import __version__
from backend.cluster.messages import Answer, Asked, Began, Behind, Headers, Report
from backend.images.image_store import TaskImage
from backend.images.neighbours import following_images
from backend.serving.alignments import Alignment
from backend.serving.service import Service
from backend.web.picture_routes import GRANT

NO_HEADERS: Headers = ()
AHEAD = 4  # messages that the application may be ahead of its reader


class AppHost:
    """Answers requests by the application, and takes over what projects' owners said to the ingress."""

    def __init__(self, app: FastAPI, name: str, tag: str, gpu: str = "") -> None:
        """
        Args:
            app: of `backend.web.app`, within its lifespan.
            name: the same after a restart.
            tag: of this process, on its host.
            gpu: which of its host it has.
        """
        self.name = name
        self.service: Service = app.state.service
        self._tag = tag
        self._app = app
        self._known: dict[str, str] = {}  # the stamps of projects' states
        self._requests = 0
        self._gpu = gpu

    async def call(self, asked: Asked) -> Answer | Behind:
        """The answer to a request."""
        if await self._is_behind(asked):
            return Behind()
        status, headers, body = 500, NO_HEADERS, bytearray()
        async with self._counted(asked) as messages:
            async for message in messages:
                if message["type"] == "http.response.start":
                    status, headers = message["status"], _headers(message)
                else:
                    body += message.get("body", b"")
        return Answer(status, headers, self._shown, bytes(body))

    async def stream(self, asked: Asked) -> AsyncGenerator[Began | bytes, None]:
        """The answer to a request piece by piece: its beginning, then its body."""
        async with self._counted(asked) as messages:
            async for message in messages:
                if message["type"] == "http.response.start":
                    yield Began(message["status"], _headers(message), self._shown)
                elif message.get("body"):
                    yield bytes(message["body"])

    async def tag(self) -> str:
        """Which process this is, of all hosts': where a key lives."""
        return self._shown

    async def following(self, url: str, count: int) -> list[TaskImage]:
        """The images that lie after one in its folder, `count` at most."""
        root = self.service.settings.local_files_document_root
        return list(await run_sync(following_images, root, url, count))

    async def encode_ahead(self, project: str | None, images: Sequence[TaskImage]) -> None:
        """Encode images below all clicks, in place of those that were given for the project before."""
        model = self.service.loader.loaded
        if model is not None:
            model.prewarmer.ahead(project, images)

    async def report(self) -> Report:
        """How it is, for the ingress."""
        state, reason = self.service.watch.state()
        metrics = await run_sync(self.service.metrics.text)
        model = self.service.loader.loaded
        about = Report(
            self.name, self._tag, state, reason, "", "", metrics, version=__version__, requests=self._requests,
            waiting=sum(self.service.queue.state().waiting.values()), clock=time.time(),
            gpu=self._gpu,
        )  # fmt: skip
        if model is None:
            return about
        held = model.embeddings.stats
        return replace(
            about, device=model.device, engine=model.segmenter.engine, hits=held.memory_hits,
            misses=held.disk_hits + held.shared_hits + held.joined + held.encoded,
            jobs=sum(one.state in ("waiting", "running") for one in model.jobs.all()),
            shared=None if held.shared is None else (held.shared.hits, held.shared.misses, held.shared.errors),
        )  # fmt: skip

    @asynccontextmanager
    async def _counted(self, asked: Asked) -> AsyncIterator[AsyncIterator[Message]]:
        self._requests += 1
        try:
            async with hosted(self._app, asked) as messages:
                yield messages
        finally:
            self._requests -= 1

    @property
    def _shown(self) -> str:
        return f"{self.name} {self._tag}"

    async def _is_behind(self, asked: Asked) -> bool:
        """Take over what the project's owner said, where the request brings it."""
        if asked.project is None or asked.stamp is None or self._known.get(asked.project) == asked.stamp:
            return False
        if asked.state is None:
            return True
        await run_sync(self.service.options.remember, asked.project, dict(asked.state.options))
        if asked.state.alignment is not None:
            await run_sync(self.service.alignments.take_over, Alignment.model_validate_json(asked.state.alignment))
        self._known[asked.project] = asked.stamp
        return False


@asynccontextmanager
async def hosted(app: ASGIApp, asked: Asked) -> AsyncIterator[AsyncIterator[Message]]:
    """What the application sends. Who leaves early is a client that went away."""
    write, read = anyio.create_memory_object_stream[Message](AHEAD)
    body: list[bytes] = [asked.body]
    gone = asyncio.Event()

    async def receive() -> Message:
        if body:
            return {"type": "http.request", "body": body.pop(), "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def run() -> None:
        # Starlette answers 500 for what it did not expect, and raises it again: the answer is what counts.
        with write, contextlib.suppress(Exception):
            await app(_scope(asked), receive, write.send)

    task = asyncio.create_task(run())
    try:
        with read:
            yield read
    finally:
        gone.set()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _scope(asked: Asked) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": asked.path,
        "raw_path": asked.path.encode(),
        "query_string": asked.query,
        "root_path": "",
        "headers": list(asked.headers),
        "client": None,
        "server": None,
        "state": {} if asked.grant is None else {GRANT: asked.grant},
    }


def _headers(message: Message) -> Headers:
    return tuple((bytes(name), bytes(value)) for name, value in message["headers"])
