"""The schema of the HTTP interface. Bodies are read by hand (in threads, bounded), so FastAPI cannot derive it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from backend.labelstudio.protocol import PredictAnswer, PredictRequest, SetupRequest
from backend.serving.alignments import Alignment
from backend.web.box_routes import BoxesRequest
from backend.web.embed_routes import EmbedRequest
from backend.web.everything_routes import EverythingRequest
from backend.web.picture_routes import PATH as PICTURE
from backend.web.propagate_routes import NDJSON, PropagateRequest
from backend.web.refine_routes import RefineRequest

REFERENCE = "#/components/schemas/{model}"
BODIES: dict[str, type[BaseModel]] = {
    "/predict": PredictRequest,
    "/setup": SetupRequest,
    "/embed": EmbedRequest,
    "/boxes": BoxesRequest,
    "/everything": EverythingRequest,
    "/refine": RefineRequest,
    "/propagate": PropagateRequest,
    "/alignment": Alignment,
}
COMMON = {"400": "the request cannot be understood or served", "500": "a defect; the log has the details"}
WITH_BODY = {
    "413": "the body, or a list in it, is larger than may be sent",
    "503": "other large requests are worked on",
}
# What can happen besides, by path.
ERRORS: dict[str, dict[str, str]] = {
    "/predict": {
        "409": "a newer click on the same object came",
        "422": "the task's image cannot be read",
        "502": "the server that holds the image did not answer",
        "503": "the model is loading, failed to load, is out of memory, too many clicks wait, or their memory is taken",
        "504": "no answer in the time that Label Studio waits",
    },
    "/boxes": {
        "422": "the task's image cannot be read, or has another shape than the boxes' file says",
        "502": "the server that holds the image did not answer",
        "503": "the model is loading, failed to load, or is out of memory",
        "504": "clicks kept the model busy for too long",
    },
    "/everything": {
        "422": "the task's image cannot be read",
        "502": "the server that holds the image did not answer",
        "503": "the model is loading, failed to load, or is out of memory",
        "504": "clicks kept the model busy for too long",
    },
    "/alignment": {"503": "the disk is full"},
    "/refine": {
        "422": "the task's image cannot be read, or has another size than the masks",
        "502": "the server that holds the image did not answer",
        "503": "the model is loading, failed to load, or is out of memory",
        "504": "clicks kept the model busy for too long",
    },
    "/propagate": {
        "409": "the same propagation was begun again",
        "422": "the image of a frame with masks cannot be read, or has another size than the masks",
        "502": "the server that holds the image did not answer",
        "503": "the model is loading, failed to load, or is out of memory, or too many propagations run",
        "504": "clicks kept the model busy for too long",
    },
    "/propagate/{key}": {"404": "there is no such propagation"},
    "/picture": {
        "401": "no grant of Label Studio's came with it, or one that has ended",
        "422": "the image cannot be read",
        "502": "the server that holds the image did not answer",
        "503": "other pictures are made first, or their memory is taken",
        "504": "the picture was not made in time",
    },
    "/embed": {"422": "there is no such folder", "503": "the model is loading, or too many jobs wait"},
    "/embed/{job}": {"404": "there is no such job"},
    "/health": {"503": "the model could not be loaded"},
    "/": {"503": "the model could not be loaded"},
    "/ready": {"503": "no click would be answered now"},
}
OPEN = "/health"
UNAUTHORIZED = {"401": "the password is missing or wrong, where the backend asks for one"}
GOOD = {"/webhook": "201", "/embed": "202"}
TEXTS = {"/status": "text/html", "/metrics": "text/plain", "/propagate": NDJSON}


def describe(app: FastAPI) -> None:
    """Let `/openapi.json` tell bodies and errors."""

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _schema(app)
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema


def _schema(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(title=app.title, version=app.version, routes=app.routes)
    _, definitions = models_json_schema([(model, "validation") for model in BODIES.values()], ref_template=REFERENCE)
    _, answers = models_json_schema([(PredictAnswer, "serialization")], ref_template=REFERENCE)
    made.setdefault("components", {})["schemas"] = {
        **definitions["$defs"],
        **answers["$defs"],
        "Error": {
            "type": "object",
            "required": ["detail", "request_id"],
            "properties": {"detail": {"type": "string"}, "request_id": {"type": "string"}},
        },
    }
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            _complete(operation, path, method)
    return made


def _complete(operation: dict[str, Any], path: str, method: str) -> None:
    if method in ("post", "put") and path in BODIES:
        operation["requestBody"] = {"required": True, "content": _json(REFERENCE.format(model=BODIES[path].__name__))}
    good = GOOD.get(path, "200") if method == "post" else "200"
    kept = operation["responses"].pop("200", {"description": "done"})
    if path == "/predict":
        kept["content"] = _json(REFERENCE.format(model=PredictAnswer.__name__))
    if path == PICTURE:
        kept["content"] = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
    if path in TEXTS:
        kept["content"] = {TEXTS[path]: {"schema": {"type": "string"}}}
    error = _json(REFERENCE.format(model="Error"))
    closed = {} if path == OPEN else UNAUTHORIZED
    described = {**COMMON, **closed, **(WITH_BODY if path in BODIES else {}), **ERRORS.get(path, {})}
    operation["responses"] = {
        good: kept,
        **{status: {"description": text, "content": error} for status, text in sorted(described.items())},
    }


def _json(reference: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": reference}}}
