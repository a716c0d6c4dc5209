"""The measurements of one engine.

What is compared is measured in turn, within the same seconds: a machine that others use too is slow in stretches.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from backend.geometry import masks
from masks.arrays import Mask
from masks.measure import intersection_over_union
from tools.bench.clicks import Reply, click, opened, predict
from tools.bench.pictures import Album, Picture
from tools.bench.plan import Counts
from tools.bench.results import BenchError, ClickRow, Fidelity, LoadRow, Memory, Sample
from tools.bench.server import Backend
from tools.bench.worker import Call

IDLE_SECONDS = 90.0


@dataclass(frozen=True)
class Bench:
    """The processes of one engine side by side.

    Attributes:
        row: model, engine and weights, as the rows name them.
        size: of the images for the figures that do not depend on it.
    """

    row: tuple[str, str, str]
    backend: Backend
    engine: Call
    stock: Call
    album: Album
    counts: Counts
    size: str

    def clicks(self, size: str) -> ClickRow:
        """Cold, warm, bare and stock clicks on one image size."""
        cold, stock, bare = list[float](), list[dict[str, float]](), list[float]()
        replies: list[Reply] = []
        picture, counts = self.album.new(size), self.counts
        self._click(picture, 0)  # the first of a size also makes buffers
        for number in range(max(counts.cold, counts.stock)):
            if number < counts.stock:
                stock.append(self.stock("click", picture.path, picture.pixel(number)))
            if number < counts.cold:
                cold.append(self._click(self.album.new(size), number).taken)
        for start in range(0, counts.rounds * counts.per_round, counts.per_round):
            numbers = range(start, start + counts.per_round)
            # The first of a round warms the processor's caches after the other's turn, for both.
            places = [picture.pixel(number) for number in (start, *numbers)]
            bare += self.engine("decode", picture.path, places)[1:]
            replies += [self._click(picture, number) for number in (start, *numbers)][1:]
        return ClickRow(
            *self.row,
            size=size,
            stock=Sample(sum(one.values()) for one in stock),
            warm=Sample(one.taken for one in replies),
            bare=Sample(bare),
            cold=Sample(cold) if cold else None,
            stages=_medians([one.stages for one in replies]),
            stock_stages=_medians(stock),
            reply_bytes=len(replies[-1].body),
        )

    def annotators(self) -> list[LoadRow]:
        """Some people at once who click without a pause, each on an image of their own that was clicked before."""
        together = self.counts.annotators
        pictures = [self.album.new(self.size) for _ in range(max(together))]
        for picture in pictures:
            self._click(picture, 0)
        return [self._load(pictures[:people], self.counts.load // people) for people in together]

    def _load(self, pictures: Sequence[Picture], each: int) -> LoadRow:
        def person(bodies: list[bytes]) -> list[float]:
            return [predict(self.backend.port, body).taken for body in bodies]

        bodies = [[click(one, start + 7 * n) for n in range(each)] for start, one in enumerate(pictures)]
        with ThreadPoolExecutor(len(pictures)) as pool:
            began = time.perf_counter()
            taken = [one for person_taken in pool.map(person, bodies) for one in person_taken]
            seconds = time.perf_counter() - began
        return LoadRow(len(pictures), Sample(taken), len(taken) / seconds)

    def after_open(self) -> Sample:
        """First click on an image whose task was opened, once the backend has finished what that started."""
        taken = []
        for number in range(self.counts.opened):
            picture = self.album.new(self.size)
            predict(self.backend.port, opened(picture))
            self.backend.wait_until_idle(IDLE_SECONDS)
            taken.append(self._click(picture, number).taken)
        return Sample(taken)

    def first_clicks(self) -> list[bytes]:
        """Click new images and wait until all are on disk: the clicks, to be repeated after a restart."""
        bodies = [click(self.album.new(self.size), number) for number in range(self.counts.revisits + 1)]
        for body in bodies:
            predict(self.backend.port, body)
        self.backend.wait_until_idle(IDLE_SECONDS)
        return bodies

    def fidelity(self) -> Fidelity:
        """Compare the engine's masks with stock's, in the image's size: of the candidate that stock would show.

        Raises:
            BenchError: the weights are meant for a clean mask and gave another.
        """
        overlaps, same = list[float](), 0
        for start in range(0, self.counts.fidelity * self.counts.prompts, self.counts.prompts):
            picture = self.album.new(self.size)
            places = [picture.pixel(start + one) for one in range(self.counts.prompts)]
            found = (call("masks", picture.path, places) for call in (self.stock, self.engine))
            for (stock, scores), (ours, our_scores) in zip(*found, strict=True):
                chosen = int(scores.argmax())
                same += chosen == int(our_scores.argmax())
                wanted, got = (masks.full_size(logits[chosen], picture.size_wh) for logits in (stock, ours))
                overlaps.append(intersection_over_union(wanted, got))
                if "clean" in self.row:
                    check_clean(got)
        count = len(overlaps)
        return Fidelity(*self.row, count, float(np.mean(overlaps)), min(overlaps), same_choice=same / count)

    def _click(self, picture: Picture, number: int) -> Reply:
        return predict(self.backend.port, click(picture, number))


def memory(backend: Backend, album: Album, size: str, counts: Counts, setting_mb: int) -> Memory:
    """Click images for a while, each once, and read the backend's memory."""
    before = backend.memory_mb()
    until = time.monotonic() + counts.memory_seconds
    images = 0
    while images < counts.memory_images and (images < 2 or time.monotonic() < until):
        predict(backend.port, click(album.new(size), images))
        images += 1
    return Memory(images, setting_mb, before, backend.memory_mb(), backend.memory_mb("VmHWM"))


def check_clean(mask: Mask) -> None:
    """Else the run-length code would be measured: `BenchError` unless the mask is one part, 5 to 40 % of the image."""
    parts, share = cv2.connectedComponents(mask.astype(np.uint8))[0] - 1, float(mask.mean())
    if parts != 1 or not 0.05 <= share <= 0.40:
        raise BenchError(f"the mask has {parts} parts and covers {share:.1%}: expected one, 5 to 40 %")


def _medians(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: round(statistics.median(row[name] for row in rows if name in row), 3) for name in names}
