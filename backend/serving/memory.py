"""What is remembered from one click to the next: boxes drawn apart from points, and masks to start from.

Both only ever add to a click what the same prompts would have given anyway: a box counts for points inside it, a mask
for prompts that contain its own. So two annotators on one image do not disturb each other.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.caching.byte_lru import ByteLru
from backend.labelstudio.drafts import BoxFound
from backend.labelstudio.prompts import Click
from backend.segmenter import Prompts
from masks import shapes

PromptSet = frozenset[tuple[float, ...]]
BOX_MARGIN = 0.1
ENTRY_OVERHEAD_BYTES = 1024


@dataclass(frozen=True)
class _Place:
    """Whose box, and for what."""

    task_id: str | None
    annotator: str | None
    to_name: str
    item_index: int
    label: str | None


@dataclass(frozen=True)
class _Remembered:
    box: BoxFound
    answer_ids: frozenset[str]
    at: float


class BoxMemory:
    """The last box of each annotator, task, image and label, for a while. Safe to call from many threads.

    Label Studio sends a box and points in requests of their own, and the annotator's name only with a draft, which
    is saved some seconds later. A box that came without a name therefore counts for a named annotator too; it can
    only ever count for points that lie in it.
    """

    def __init__(self, seconds: float, limit: int = 1000, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            seconds: how long a box counts after it was last used; 0 remembers nothing.
            limit: how many boxes are kept; the least recently used goes first.
        """
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()  # a look-up and what follows from it
        self._boxes: ByteLru[_Place, _Remembered] = ByteLru(limit)

    def __len__(self) -> int:
        return len(self._boxes)

    def complete(self, task_id: str | None, click: Click) -> Click:
        """The click with the box that belongs to it, if one is remembered; else the click as it is.

        A click with a box of its own, on the screen or from a draft, keeps it. A remembered box must hold the key
        points (`Click.aim`), with a tenth of its sides to spare all around. It is forgotten when the annotator's
        draft shows that it was accepted (the draft holds the answer to it), or deleted (the draft holds a prompt of
        this click, so it is newer than the box, and not the box).
        """
        points = click.aim
        if click.box is not None or click.has_box or len(points) == 0:
            return click
        place = _place(task_id, click)
        with self._lock:
            now = self._clock()
            found: list[tuple[float, _Place, _Remembered]] = []
            for key in dict.fromkeys((place, replace(place, annotator=None))):
                kept = self._boxes.get(key)
                if kept is None:
                    continue
                if now - kept.at >= self._seconds or _is_done(kept, click):
                    self._boxes.pop(key)
                elif shapes.contains(np.asarray(kept.box.xyxy), points, BOX_MARGIN):
                    found.append((kept.at, key, kept))
            if not found:
                return click
            _, key, kept = max(found, key=lambda one: one[0])
            self._boxes.put(key, replace(kept, at=now), 1)
        return replace(click, box=kept.box)

    def remember(self, task_id: str | None, click: Click, answer_ids: Iterable[str] = ()) -> None:
        """Keep the click's box, from the screen or as `complete` or a draft gave it; without one, nothing happens.

        A new box takes the place of the old one of the same annotator, task, image and label.

        Args:
            answer_ids: region ids of the answer, to recognise in a draft that it was accepted.
        """
        box = click.drawn_box or click.box
        if box is None or self._seconds <= 0:
            return
        place = _place(task_id, click)
        with self._lock:
            unnamed = replace(place, annotator=None)
            ids = frozenset(answer_ids) - click.draft_ids - {click.replaces}  # a replaced stroke's id says nothing
            for key in dict.fromkeys((unnamed, place)):
                kept = self._boxes.get(key)
                if kept is not None and _is_same(kept.box, box):
                    ids |= kept.answer_ids
                    self._boxes.pop(key)
            self._boxes.put(place, _Remembered(box, ids, self._clock()), 1)


class MaskMemory:
    """Low-resolution logits by image and prompts, to start the next mask from. Safe to call from many threads.

    What is found depends on prompts alone, never on who placed them.
    """

    def __init__(self, limit_bytes: int) -> None:
        """
        Args:
            limit_bytes: how much is kept; the least recently used goes first. 0 keeps nothing.
        """
        self._masks: ByteLru[tuple[str, PromptSet], tuple[int, NDArray[np.float32]]] = ByteLru(limit_bytes)
        self._order = itertools.count()

    @property
    def size(self) -> int:
        """Bytes kept, with an allowance for each entry."""
        return self._masks.held

    def find(self, image: str, prompts: PromptSet) -> NDArray[np.float32] | None:
        """The logits of the largest set stored for this image that is a part of `prompts` and not all of them.

        Of several as large, the one that was stored last.

        Args:
            image: what the logits depend on besides prompts: digest, model, engine, crop.
            prompts: as `prompt_set` gives them.

        Returns:
            ``(h, w)`` float32, read-only, to be passed on as `Prompts.mask_logits`; None when nothing fits.
        """
        parts = [
            (len(placed), order, placed)
            for (of, placed), (order, _) in self._masks.items()
            if of == image and placed < prompts
        ]
        if not parts:
            return None
        found = self._masks.get((image, max(parts, key=lambda one: one[:2])[2]))
        return None if found is None else found[1]

    def store(self, image: str, prompts: PromptSet, logits: NDArray[np.float32]) -> None:
        """Keep a copy of the mask that was answered: ``(h, w)`` float32 at the model's low resolution."""
        copy = np.array(logits, dtype=np.float32)
        copy.setflags(write=False)
        self._masks.put((image, prompts), (next(self._order), copy), copy.nbytes + ENTRY_OVERHEAD_BYTES)

    def clear(self) -> None:
        """Forget everything, when memory is short."""
        self._masks.clear()


def prompt_set(prompts: Prompts, size_wh: tuple[int, int]) -> PromptSet:
    """The prompts as a set that does not know order, duplicates or the size of the image.

    A point is (x, y, 1 or 0), a box (left, top, right, bottom), in thousandths of a percent of the image.

    Args:
        size_wh: of the image whose pixels the prompts are in.
    """
    scale = 100_000 / np.asarray(size_wh, dtype=np.float64)
    points = np.rint(prompts.points_xy * scale)
    found: list[tuple[float, ...]] = [
        (float(x), float(y), float(positive)) for (x, y), positive in zip(points, prompts.is_positive, strict=True)
    ]
    if prompts.box_xyxy is not None:
        found.append(tuple(float(value) for value in np.rint(prompts.box_xyxy * np.tile(scale, 2))))
    return frozenset(found)


def _place(task_id: str | None, click: Click) -> _Place:
    return _Place(task_id, click.annotator, click.to_name, click.item_index or 0, click.label)


def _is_done(kept: _Remembered, click: Click) -> bool:
    if kept.answer_ids & click.draft_ids:
        return True
    return bool(click.region_ids & click.draft_ids) and kept.box.id not in click.draft_ids


def _is_same(one: BoxFound, other: BoxFound) -> bool:
    return one.xyxy == other.xyxy if one.id is None else one.id == other.id
