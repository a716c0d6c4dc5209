"""Routes that need no model: the version that is served, and events that nobody reads."""

from __future__ import annotations

import anyio
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from backend.weights.catalog import ModelFiles


def add_plain_routes(app: FastAPI, files: ModelFiles) -> None:
    """Add the routes to the application."""

    @app.get("/versions")
    async def versions() -> JSONResponse:
        """The one model version that this process serves."""
        return JSONResponse({"versions": [files.version]})

    @app.post("/webhook")
    async def webhook(request: Request) -> JSONResponse:
        """Project events are taken and dropped: they hold whole annotations and the project's token."""
        async for _ in request.stream():
            await anyio.lowlevel.checkpoint()
        return JSONResponse({"status": "ok"}, status_code=201)
