"""What every route shares: request ids, log lines that carry them, and one shape of error answers."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.errors import RequestError, Superseded
from backend.web.reason import reason_header

logger = logging.getLogger(__name__)
REQUEST_ID_HEADER = "X-Request-ID"
ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
LONGEST_SENTENCE = 1000
# What would begin a new line in a log, or steer a terminal.
NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
CLIENT_GONE = 499  # as nginx logs it; nobody reads it
_request_id: ContextVar[str] = ContextVar("request_id", default="-")


class RequestIdMiddleware:
    """Gives each request an id (the client's own, when it is a plain one) and answers with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = given if ACCEPTED_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        token = _request_id.set(request_id)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = scope["state"]["request_id"]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            _request_id.reset(token)


class CountingMiddleware:
    """Tells which route was answered with which status."""

    def __init__(self, app: ASGIApp, answered: Callable[[str, int], None]) -> None:
        self._app = app
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_see)
        finally:
            # The route's own pattern: a path of the client's choice must not become a label.
            self._answered(getattr(scope.get("route"), "path", "other"), status)


class RequestIdFilter(logging.Filter):
    """Puts the id of the current request on each log record, as `request_id`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        record.request_id = _request_id.get()
        return True


class OneLineFormatter(logging.Formatter):
    """Keeps what a client chose (a task's id, a file's name) from making lines of its own; tracebacks keep theirs."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        return "".join(one if one.isprintable() else "?" for one in super().formatMessage(record))


def error_response(
    request: Request, status: int, detail: str, also: dict[str, str | None] | None = None
) -> JSONResponse:
    """The one shape of an error: `{"detail": sentence, "request_id": id}`, plus what a route must say too."""
    request_id = request_id_of(request)
    return JSONResponse(
        {"detail": one_line(detail), "request_id": request_id, **(also or {})},
        status_code=status,
        headers={REQUEST_ID_HEADER: request_id, **reason_header(detail)},
    )


def one_line(text: str) -> str:
    """Names that clients choose are part of sentences and log lines: they may neither flood nor forge them."""
    short = text if len(text) <= LONGEST_SENTENCE else f"{text[: LONGEST_SENTENCE - 1]}…"
    return NOT_SHOWN.sub(" ", short)


def request_id_of(request: Request) -> str:
    """The id that the answer and the log lines of a request carry."""
    return getattr(request.state, "request_id", "-")


def take_request_id(request: Request, request_id: str | None) -> None:
    """Go on under the id that a page chose: Label Studio, which is between us, passes on no header of its."""
    if request_id is not None:
        request.state.request_id = request_id
        _request_id.set(request_id)


def install_error_handlers(
    app: FastAPI, on_error: Callable[[Exception, str], None], answered: Callable[[str, int], None]
) -> None:
    """Answer every failure in the one shape; tracebacks go to the log only.

    Args:
        on_error: gets each error that a client receives, and the request's id.
        answered: gets the path of each known route, else `other`, and the status of the answer.
    """

    async def expected(request: Request, error: Exception) -> JSONResponse:
        status = error.status if isinstance(error, RequestError) else 500
        path, sentence = one_line(request.url.path), one_line(str(error))
        # A superseded click is normal work.
        level = logging.DEBUG if isinstance(error, Superseded) else logging.WARNING
        logger.log(level, "%s %s -> %d: %s", request.method, path, status, sentence)
        on_error(error, request_id_of(request))
        return error_response(request, status, str(error))

    async def http(request: Request, error: Exception) -> JSONResponse:
        status, detail = (error.status_code, str(error.detail)) if isinstance(error, HTTPException) else (500, "")
        response = error_response(request, status, f"{detail}: {request.method} {request.url.path}")
        response.headers.update((error.headers if isinstance(error, HTTPException) else None) or {})  # 405 has `Allow`
        return response

    async def gone(request: Request, _error: Exception) -> JSONResponse:
        """The client broke its request off: no fault of ours, and no line in a log that anybody could fill so."""
        logger.debug("%s %s: the client broke the request off", request.method, one_line(request.url.path))
        return error_response(request, CLIENT_GONE, "the request was broken off")

    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        request_id = request_id_of(request)
        path = one_line(request.url.path)
        logger.error("%s %s failed unexpectedly, request id %s", request.method, path, request_id)
        on_error(error, request_id)
        detail = f"unexpected {type(error).__name__}; see the log for this request id"
        return error_response(request, 500, detail)

    app.add_exception_handler(RequestError, expected)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, unexpected)
    app.add_middleware(CountingMiddleware, answered=answered)
    app.add_middleware(RequestIdMiddleware)
