"""`/propagate`: masks through a sequence, streamed frame by frame, asked for by `./inv propagate`.

The answer is NDJSON: a line that says which model answers, a line a frame as soon as it is done, and a last line with
`done` or, where the run ended early, `error` and its `status`. Empty lines between them say that the run goes on
(`backend.web.streaming`). What is wrong with the request is said by the status of the answer, before the first line;
where the frames with masks take longer than a beat, what is wrong with them is said by an `error`, which is then the
only line.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Generator
from contextlib import AsyncExitStack
from typing import Annotated

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, model_validator

from backend.errors import BadRequest, ModelError, NotFound, RequestError
from backend.images.image_store import TaskImage
from backend.labelstudio.protocol import MAX_FRAMES, Name
from backend.serving.in_flight import Token
from backend.serving.model import Model
from backend.serving.propagating import MAX_OBJECTS, Anchor, FollowedFrame, Frame, Propagation, Runs, Wanted
from backend.serving.service import Service
from backend.web.bodies import MEGABYTE, Bodies
from backend.web.middleware import one_line, request_id_of
from backend.web.streaming import SlowLines, Streamed
from labeling.tracks import LEAST_SCORE, LOST_AFTER

MAX_ANCHORS = 8  # each is read for every frame; SAM 2 is trained with 4
BODY_BYTES = 64 * MEGABYTE
NDJSON = "application/x-ndjson"
NO_RUN = "no propagation of this key is under way"
Side = Annotated[int, Field(gt=0, le=10**6)]
Number = Annotated[int, Field(ge=0, lt=MAX_FRAMES)]
Key = Annotated[str, Field(min_length=1, max_length=200)]


class PropagateFrame(BaseModel):
    """One frame: its number in the sequence, from 0, and its image as a task names it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, coerce_numbers_to_str=True)

    number: Number
    url: Annotated[str, Field(min_length=1, max_length=4000)]
    task: Name | None = None

    def frame(self) -> Frame:
        """As the run knows it."""
        return Frame(self.number, TaskImage(self.url, self.task))


class PropagateAnchor(PropagateFrame):
    """A frame whose masks are given, by object: Label Studio's run-length code in base64, of the image's size."""

    size_wh: tuple[Side, Side]
    masks: Annotated[dict[Key, Base64Bytes], Field(min_length=1, max_length=MAX_OBJECTS)]


class PropagateRequest(BaseModel):
    """Frames with masks, and frames to follow their objects into, in the order in which they follow.

    `length` is how many frames the sequence has; `backward` follows from later to earlier frames. The track of an
    object that has no mask on `lost_after` frames in a row ends. A mask whose score is below `least_score`, or that
    other objects cover (see `backend.serving.belief`), is none, and the memory leaves the frame out. While a run of
    the same `key` is under way, this one takes its place.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    key: Key
    length: Annotated[int, Field(gt=0, le=MAX_FRAMES)]
    anchors: Annotated[list[PropagateAnchor], Field(min_length=1, max_length=MAX_ANCHORS)]
    frames: Annotated[list[PropagateFrame], Field(min_length=1, max_length=MAX_FRAMES)]
    backward: bool = False
    lost_after: Annotated[int, Field(ge=1, le=MAX_FRAMES)] = LOST_AFTER
    least_score: Annotated[float, Field(ge=0, le=1)] = LEAST_SCORE

    @model_validator(mode="after")
    def _in_order(self) -> PropagateRequest:
        numbers = [one.number for one in self.frames]
        if numbers != sorted(set(numbers), reverse=self.backward):
            raise ValueError(f"`frames` must come from {'later to earlier' if self.backward else 'earlier to later'}")
        given = [one.number for one in self.anchors]
        if len({*numbers, *given}) < len(numbers) + len(given):
            raise ValueError("a frame is either one of `anchors`, once, or one of `frames`")
        if max(*numbers, *given) >= self.length:
            raise ValueError(f"`length` is {self.length}, so the last frame has the number {self.length - 1}")
        if len({object_id for one in self.anchors for object_id in one.masks}) > MAX_OBJECTS:
            raise ValueError(f"there are more than {MAX_OBJECTS} objects")
        return self

    def wanted(self) -> Wanted:
        """As the run knows it."""
        anchors = [Anchor(one.frame(), one.size_wh, dict(one.masks)) for one in self.anchors]
        frames = [one.frame() for one in self.frames]
        return Wanted(self.length, anchors, frames, self.backward, self.lost_after, self.least_score)


def add_propagate_routes(app: FastAPI, service: Service, bodies: Bodies) -> None:
    """Add the routes to the application."""
    runs = Runs()

    @app.post("/propagate")
    async def propagate(request: Request) -> Streamed:
        """Follow objects from the frames whose masks are given into those that follow; a line a frame."""
        async with bodies.parsed(request, PropagateRequest, "the format of /propagate", BODY_BYTES) as asked:
            key, wanted = asked.key, asked.wanted()
        model = await service.loader.model(service.settings.model_wait_seconds)

        def last(error: RequestError) -> str:
            service.failed(error, request_id_of(request))
            return _line(_error(error))

        async with AsyncExitStack() as stack:
            token = runs.enter(key)
            lines = SlowLines(_lines(service, model, wanted, token))
            stack.push_async_callback(lines.close)
            stack.callback(runs.leave, key, token)  # before that: the line that is in work is given up
            await lines.begin()
            until_done = stack.pop_all()
        return Streamed(lines.passed(last), until_done, media_type=NDJSON)

    @app.delete("/propagate/{key}")
    async def cancel(key: str) -> JSONResponse:
        """End a run."""
        if not runs.cancel(key):
            raise NotFound(NO_RUN)
        return JSONResponse({"cancelled": True})


def _lines(service: Service, model: Model, wanted: Wanted, token: Token) -> Generator[str, None, None]:
    """The whole run; in a thread.

    Raises:
        RequestError: the run ended early; no line comes after it.
    """
    try:
        run = Propagation(service.answerer, model, wanted, token)
    except ModelError as error:
        raise BadRequest(str(error)) from None
    try:
        run.begin()
        yield _line({"model_version": service.files.version, "frames": len(wanted.frames)})
        for found in run.frames():
            yield _line(_frame(found))
        yield _line({"done": True})
    finally:
        run.close()


def error_line(error: RequestError) -> bytes:
    """The last line of a run that ended early."""
    return _line(_error(error)).encode()


def _error(error: RequestError) -> dict[str, object]:
    return {"error": one_line(str(error)), "status": error.status}


def _frame(found: FollowedFrame) -> dict[str, object]:
    about: dict[str, object] = {"frame": found.frame.number, "task": found.frame.image.task_id}
    if found.problem is not None:
        return {**about, "problem": found.problem}
    masks = {
        object_id: {
            "rle": None if one.rle is None else base64.b64encode(one.rle).decode("ascii"),
            "score": round(one.score, 4),
            "presence": round(one.presence, 4),
            "ended": one.ended,
            "doubted": one.doubted,
        }
        for object_id, one in found.masks.items()
    }
    return {**about, "size_wh": found.size_wh, "masks": masks}


def _line(line: dict[str, object]) -> str:
    return json.dumps(line, separators=(",", ":")) + "\n"
