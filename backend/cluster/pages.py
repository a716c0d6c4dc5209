"""What the ingress says of itself and of the replicas: `/health`, `/ready`, `/metrics`, `/status`."""

from __future__ import annotations

import html

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from backend import __version__
from backend.cluster.figures import Figures
from backend.cluster.hosts import Hosts
from backend.cluster.messages import Report
from backend.cluster.placing import host_of
from backend.cluster.watching import ReplicaWatch
from backend.serving.metrics import CONTENT_TYPE
from backend.serving.status_page import HEADERS
from backend.web.middleware import error_response
from backend.weights.catalog import ModelFiles

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>labelrig SAM2 replicas</title>
<h1>SAM2 on {ready} of {wanted} replicas</h1><p>labelrig {version}, model {model}</p><p>{state}</p>
<table border="1"><tr>{heads}</tr>{rows}</table>"""
HEADS = (
    "host", "replica", "process", "state", "device", "GPU", "engine", "requests", "waiting", "embed jobs",
    "found in memory", "labelrig", "reason",
)  # fmt: skip


def add_pages(app: FastAPI, files: ModelFiles, watch: ReplicaWatch, hosts: Hosts, figures: Figures) -> None:
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
        return Response(figures.text(await watch.reports(), hosts.drained), media_type=CONTENT_TYPE)

    @app.get("/status")
    async def status() -> HTMLResponse:
        """A page for people: hosts, replicas, and how they are."""
        reports = await watch.reports()
        page = PAGE.format(
            ready=len(watch.ready),
            wanted=watch.wanted,
            version=__version__,
            model=html.escape(files.version),
            state=html.escape(": ".join(one for one in watch.state() if one is not None)),
            heads="".join(f"<th>{head}" for head in HEADS),
            rows="".join(_row(one, hosts) for one in reports),
        )
        return HTMLResponse(page, headers=dict(HEADERS))


def _row(one: Report, hosts: Hosts) -> str:
    host = host_of(one.replica)
    cells = (
        f"{host} (drained)" if host in hosts.drained else host, one.replica, one.tag, one.state, one.device, one.gpu,
        one.engine, one.requests, one.waiting, one.jobs,
        "" if one.hit_ratio is None else f"{100 * one.hit_ratio:.0f} %", one.version, one.reason or "",
    )  # fmt: skip
    return f"<tr>{''.join(f'<td>{html.escape(str(cell))}' for cell in cells)}</tr>"
