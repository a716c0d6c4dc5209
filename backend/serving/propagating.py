"""Masks through a sequence: from frames whose masks are given into those that follow, one frame at a time.

Each frame is encoded once for clicks and for this: the embedding is that of the cache. The model is asked for one
object on one frame at a time, below every click, so a click waits for no more than that. The next frame is read and
encoded while the model follows objects into this one.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from backend.errors import BadRequest, Busy, ImageError
from backend.geometry.masks import full_size
from backend.images.image_store import ImageInfo, TaskImage
from backend.queue.scheduling import Priority
from backend.segmenter import Embedding, Prepared, Tracked, Tracker
from backend.serving.belief import PRESENT, Belief
from backend.serving.clicks import MASK_BYTES, ClickAnswerer, turn
from backend.serving.in_flight import Token
from backend.serving.model import Model
from labeling.tracks import LEAST_SCORE
from masks.rle import decode_rle, encode_rle

FRAME_SECONDS = 300.0  # for one frame to be read and encoded, and for one object on it: clicks go before them
ANCHOR_BYTES = 12  # for each pixel of a given mask: decoded, and as floating point on its way to the model's size
RUNS_AT_ONCE = 4
MAX_OBJECTS = 64
REPLACED = "the same propagation was begun again"
T = TypeVar("T")


@dataclass(frozen=True)
class Frame:
    """One frame of a sequence: its number there, from 0, and the image as a task names it."""

    number: int
    image: TaskImage


@dataclass(frozen=True)
class Anchor:
    """A frame whose masks are given: Label Studio's run-length codes of the frame's size, by object."""

    frame: Frame
    size_wh: tuple[int, int]
    codes: dict[str, bytes]


@dataclass(frozen=True)
class Wanted:
    """What to propagate.

    Attributes:
        length: how many frames the sequence has.
        anchors: where masks are given; the tracks begin at the first.
        frames: those to follow the objects into, in this order; none of them is an anchor.
        backward: they come from later to earlier.
        lost_after: the track of an object that has no mask on so many frames in a row ends.
        least_score: see `backend.serving.belief`; of a mask that is not believed nothing is remembered.
    """

    length: int
    anchors: Sequence[Anchor]
    frames: Sequence[Frame]
    backward: bool
    lost_after: int
    least_score: float = LEAST_SCORE


@dataclass(frozen=True)
class FollowedMask:
    """One object on one frame.

    Attributes:
        rle: Label Studio's run-length code, of the frame's size; None where the object is absent, or the mask not
            believed.
        score: the model's own estimate of the mask's IoU.
        presence: the model's own estimate that the object is there.
        ended: its track ends here: it had no mask for too long.
        doubted: the model takes the object for present, but its mask is not believed; see `backend.serving.belief`.
    """

    rle: bytes | None
    score: float
    presence: float
    ended: bool = False
    doubted: bool = False


@dataclass(frozen=True)
class FollowedFrame:
    """One frame: its masks by object, or why it cannot be read and was passed over."""

    frame: Frame
    size_wh: tuple[int, int] | None = None
    masks: dict[str, FollowedMask] = field(default_factory=dict)
    problem: str | None = None


class Runs:
    """The propagations that are under way, each under a key of its caller's. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str, Token] = {}

    def enter(self, key: str) -> Token:
        """Hold a place; a run of the same key, whose caller has gone or begins again, ends.

        Raises:
            Busy: too many run.
        """
        token = Token(REPLACED)
        with self._lock:
            older = self._tokens.pop(key, None)
            if older is None and len(self._tokens) >= RUNS_AT_ONCE:
                raise Busy(f"{len(self._tokens)} propagations run already; try again when one is done")
            self._tokens[key] = token
        if older is not None:
            older.supersede()
        return token

    def leave(self, key: str, token: Token) -> None:
        """Give the place back, and end what is left of the run."""
        with self._lock:
            if self._tokens.get(key) is token:
                del self._tokens[key]
        token.supersede()

    def cancel(self, key: str) -> bool:
        """End a run. False where there is none of this key."""
        with self._lock:
            token = self._tokens.pop(key, None)
        if token is not None:
            token.supersede()
        return token is not None


class Propagation:
    """One run. Used by one thread at a time, which need not always be the same."""

    def __init__(self, answerer: ClickAnswerer, model: Model, wanted: Wanted, token: Token) -> None:
        """
        Args:
            answerer: holds the sources and images that clicks use, and the memory for masks.
            token: ends the run from elsewhere.
        """
        self._answerer = answerer
        self._model = model
        self._wanted = wanted
        self._token = token
        self._tracker: Tracker = model.segmenter.track(wanted.length, backward=wanted.backward)
        self._belief = Belief(wanted.least_score)
        self._first: dict[str, int] = {}  # the frame from which an object is followed
        self._absent: dict[str, int] = {}  # for how many frames in a row
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="propagate-reader")
        self._context = contextvars.copy_context()  # so that the reader's log lines carry the request's id too

    def close(self) -> None:
        """End the run: what waits for the model is taken back."""
        self._token.supersede()
        self._reader.shutdown(wait=False, cancel_futures=True)

    def begin(self) -> None:
        """Give the anchors to the model.

        Raises:
            RequestError: an image or a mask cannot be read, or has another size; too late, or out of memory.
        """
        for anchor in self._wanted.anchors:
            self.give(anchor)

    def give(self, anchor: Anchor) -> None:
        """Give one anchor to the model.

        Raises:
            RequestError: see `begin`.
        """
        info, embedding = self._read(anchor.frame)
        if info.size_wh != anchor.size_wh:
            seen, said = ("x".join(map(str, one)) for one in (info.size_wh, anchor.size_wh))
            raise ImageError(f"the masks of frame {anchor.frame.number} are of {said} pixels, and it has {seen}")
        for object_id, code in anchor.codes.items():
            self._anchor(anchor.frame.number, object_id, code, info.size_wh, embedding)

    def into(self, frame: Frame) -> FollowedFrame:
        """Follow all objects into one frame.

        Raises:
            RequestError: see `frames`.
        """
        return self._into(frame, partial(self._read, frame))

    def frames(self) -> Iterator[FollowedFrame]:
        """Every frame in its turn.

        Raises:
            RequestError: the run was ended, or the model does not work now; no frame comes after it.
        """
        ahead: Future[tuple[ImageInfo, Embedding]] | None = None
        frames = self._wanted.frames
        for place, frame in enumerate(frames):
            reading = ahead or self._reading(frame)
            ahead = self._reading(frames[place + 1]) if place + 1 < len(frames) else None
            yield self._into(frame, reading.result)

    def _into(self, frame: Frame, read: Callable[[], tuple[ImageInfo, Embedding]]) -> FollowedFrame:
        """Into a frame, or why its image cannot be read: it is passed over."""
        try:
            info, embedding = read()
        except ImageError as error:
            return FollowedFrame(frame, problem=str(error))
        found = {
            object_id: self._run(partial(self._tracker.step, object_id, frame.number, embedding))
            for object_id, first in self._first.items()
            if self._is_behind(first, frame.number)
        }
        doubted = self._belief.doubted(found)
        for object_id in sorted(doubted):
            self._tracker.discard(object_id, frame.number)
        masks = {
            object_id: self._mask(object_id, info.size_wh, one, is_believed=object_id not in doubted)
            for object_id, one in found.items()
        }
        return FollowedFrame(frame, info.size_wh, masks)

    def _is_behind(self, first: int, number: int) -> bool:
        return first > number if self._wanted.backward else first < number

    def _reading(self, frame: Frame) -> Future[tuple[ImageInfo, Embedding]]:
        return self._reader.submit(self._context.run, self._read, frame)

    def _read(self, frame: Frame) -> tuple[ImageInfo, Embedding]:
        self._token.check()
        deadline = _deadline()
        store, embeddings = self._answerer.images, self._model.embeddings
        file = self._answerer.sources.open(*frame.image, deadline)
        info = store.describe(file, turn(deadline))

        def load() -> Prepared:
            return store.use(file, info, embeddings.prepare, turn(deadline), keep=False)

        embedding = embeddings.get_in_batch(info, load, deadline, self._token.attach)
        return info, embedding

    def _anchor(self, number: int, object_id: str, code: bytes, size_wh: tuple[int, int], embedding: Embedding) -> None:
        with self._answerer.work.hold(size_wh[0] * size_wh[1] * ANCHOR_BYTES, turn(_deadline())):
            try:
                mask = decode_rle(code, size_wh)
            except ValueError as error:
                raise BadRequest(f"the mask of {object_id!r} on frame {number} cannot be read: {error}") from None
            if not mask.any():
                raise BadRequest(f"the mask of {object_id!r} on frame {number} is empty")
            self._run(lambda: self._tracker.anchor(object_id, number, embedding, mask))
            self._belief.give(number, object_id, mask)
        known = self._first.get(object_id)
        if known is None or self._is_behind(number, known):
            self._first[object_id] = number

    def _mask(self, object_id: str, size_wh: tuple[int, int], found: Tracked, *, is_believed: bool) -> FollowedMask:
        code: bytes | None = None
        if is_believed and found.presence > PRESENT and (found.logits > 0).any():
            with self._answerer.work.hold(size_wh[0] * size_wh[1] * MASK_BYTES, turn(_deadline())):
                mask = full_size(found.logits, size_wh)
                code = bytes(encode_rle(mask)) if mask.any() else None
        self._absent[object_id] = 0 if code is not None else self._absent.get(object_id, 0) + 1
        ended = self._absent[object_id] >= self._wanted.lost_after
        if ended:
            del self._first[object_id]
            self._tracker.forget(object_id)
        return FollowedMask(code, found.score, found.presence, ended, doubted=not is_believed)

    def _run(self, work: Callable[[], T]) -> T:
        """In the model's thread, below every click."""
        self._token.check()
        ticket = self._model.queue.submit(
            lambda: self._model.embeddings.with_memory(work),
            Priority.BATCH,
            deadline=_deadline(),
            name="propagate",
        )
        return self._token.attach(ticket).result()


def _deadline() -> float:
    return time.monotonic() + FRAME_SECONDS
