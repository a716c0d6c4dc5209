"""`/picture`: an image as browsers show it, for the proxy in front of Label Studio.

Label Studio has said who may see it (`backend.web.grants`). The answer is what the model sees: see
`backend.serving.pictures`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import BinaryIO

import anyio
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from backend.errors import BadRequest, Busy
from backend.serving.service import Service
from backend.web.grants import Grant

PATH = "/picture"
GRANT = "grant"  # in a request's state, where the backend's door put it
SECONDS = 60.0
THREADS = 2  # packing takes a processor, which clicks need too
WAITING = 256  # a page of the list of tasks has up to a hundred thumbnails
PIECE = 1 << 18


def add_picture_routes(app: FastAPI, service: Service) -> None:
    """Add the route to the application."""
    turns: CapacityLimiter | None = None
    waiting = 0

    @app.get(PATH)
    async def picture(request: Request) -> Response:
        """The image of a grant as an 8-bit PNG of the same size, or 304 where the browser has it already."""
        nonlocal turns, waiting
        grant = getattr(request.state, GRANT, None)
        if not isinstance(grant, Grant):
            raise BadRequest("a picture is asked for with a grant of Label Studio's, and none came")
        if waiting >= WAITING:
            raise Busy("too many pictures are asked for at once; load the page again in a moment")
        turns = turns or CapacityLimiter(THREADS)
        deadline = time.monotonic() + SECONDS
        waiting += 1
        try:
            with anyio.move_on_after(SECONDS):
                async with turns:
                    with anyio.CancelScope(shield=True):
                        seen = request.headers.get("If-None-Match", "")
                        return await run_sync(_answer, service, grant, seen, deadline)
        finally:
            waiting -= 1
        raise Busy("other pictures are made first; load the page again in a moment")


def _answer(service: Service, grant: Grant, seen: str, deadline: float) -> Response:
    """
    Raises:
        ImageError, SourceUnavailable, Busy, DeadlinePassed: there is no picture, with the reason.
    """
    file = service.sources.open(grant.url, None, deadline)
    info = service.images.describe(file, deadline)
    headers = {"ETag": service.pictures.etag(info), "Cache-Control": "private, no-cache"}
    if headers["ETag"] in (one.strip().removeprefix("W/") for one in seen.split(",")):
        return Response(status_code=304, headers=headers)
    made = service.pictures.png(file, info, deadline)
    # Opened before the answer begins: the cache may remove it while it is read.
    content = made.path.open("rb")
    headers["Content-Length"] = str(made.path.stat().st_size)
    return StreamingResponse(_pieces(content), media_type="image/png", headers=headers)


def _pieces(content: BinaryIO) -> Iterator[bytes]:
    with content:
        while piece := content.read(PIECE):
            yield piece
