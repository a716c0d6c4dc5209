"""What the ingress says of itself and of the replicas: `/health`, `/ready`, `/metrics`, `/status`."""

from __future__ import annotations

import html

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from backend import __version__
from backend.cluster.figures import Figures
from backend.cluster.watching import ReplicaWatch
from backend.serving.metrics import CONTENT_TYPE
from backend.serving.status_page import HEADERS
from backend.web.middleware import error_response
from backend.weights.catalog import ModelFiles

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>labelrig SAM2 replicas</title>
<h1>SAM2 on {ready} of {wanted} replicas</h1><p>labelrig {version}, model {model}</p>
<table border="1"><tr><th>replica<th>process<th>state<th>device<th>engine<th>reason</tr>{rows}</table>"""


def add_pages(app: FastAPI, files: ModelFiles, watch: ReplicaWatch, figures: Figures) -> None:
    """Add the routes to the application."""

    @app.get("/")
    @app.get("/health")
    async def health() -> JSONResponse:
        """200 also while replicas load: Label Studio takes the rest for dead."""
        state, reason = watch.state()
        first = next(iter(watch.ready), None)
        report = {
            "status": "UP",
            "model_class": "SAM2",
            "model": files.name,
            "model_version": files.version,
            "device": first.device if first else None,
            "engine": first.engine if first else None,
            "state": state,
        }
        return JSONResponse(report if reason is None else {**report, "reason": reason})

    @app.get("/ready")
    async def ready(request: Request) -> JSONResponse:
        """200 only when a click would be answered now."""
        first = next(iter(watch.ready), None)
        if first is None:
            return error_response(request, 503, "no replica has its model yet")
        return JSONResponse({"state": "ready", "model": files.name, "device": first.device})

    @app.get("/metrics")
    async def metrics() -> Response:
        """Figures for Prometheus: the ingress's, and those of each replica under its name."""
        return Response(figures.text(await watch.reports()), media_type=CONTENT_TYPE)

    @app.get("/status")
    async def status() -> HTMLResponse:
        """A page for people: the replicas and how they are."""
        reports = await watch.reports()
        cells = ((one.replica, one.tag, one.state, one.device, one.engine, one.reason or "") for one in reports)
        rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}' for cell in row)}</tr>" for row in cells)
        page = PAGE.format(
            ready=len(watch.ready),
            wanted=watch.wanted,
            version=__version__,
            model=html.escape(files.version),
            rows=rows,
        )
        return HTMLResponse(page, headers=dict(HEADERS))
