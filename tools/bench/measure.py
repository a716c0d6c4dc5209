"""The clicks themselves: cold, warm, beside the bare decoder and the stock path, in turn.

In turn, because a machine that others use too is slow in stretches: what is compared
is measured within the same seconds.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from label_studio_sdk.converter.brush import decode_rle
from numpy.typing import NDArray

from backend.geometry import masks
from tools.bench.clicks import Picture, Reply, click, opened, predict
from tools.bench.errors import MaskNotClean
from tools.bench.pictures import Album, in_pixels
from tools.bench.plan import Counts
from tools.bench.results import ClickRow, Fidelity, LoadRow, Memory, Sample
from tools.bench.server import Backend
from tools.bench.worker import Worker

CLEAN_SHARE = (0.05, 0.40)
PREWARM_SECONDS = 90.0
ANNOTATORS = (1, 2, 4, 8)


def clicks(
    backend: Backend, engine: Worker, stock: Worker, album: Album, size: str, counts: Counts, row: tuple[str, str, str]
) -> ClickRow:
    """Cold, warm, bare and stock clicks on one image size.

    Args:
        row: model, engine and weights, as the row names them.

    Raises:
        MaskNotClean: the weights are meant for a clean mask and gave another.
    """
    model, engine_name, weights = row
    cold: list[float] = []
    stock_clicks: list[dict[str, float]] = []
    picture = album.new(size)
    predict(backend.port, click(picture, album.point(size, 0)))  # the first of a size also makes buffers
    for number in range(max(counts.cold, counts.stock)):
        xy = album.point(size, number)
        if number < counts.stock:
            pixels = in_pixels([xy], picture.size_wh)[0]
            stock_clicks.append(stock.ask("click", path=album.path(picture), xy=pixels))
        if number < counts.cold:
            cold.append(predict(backend.port, click(album.new(size), xy)).seconds * 1000)
    replies, bare = _warm(backend, engine, album, picture, size, counts)
    if weights == "clean":
        check_clean(replies[-1], picture.size_wh)
    return ClickRow(
        model=model,
        engine=engine_name,
        weights=weights,
        size=size,
        stock=Sample.of([one["total"] for one in stock_clicks]),
        warm=Sample.of([one.seconds * 1000 for one in replies]),
        bare=Sample.of(bare),
        cold=Sample.of(cold) if cold else None,
        stages=_medians([one.stages for one in replies]),
        stock_stages=_medians([{name: one[name] for name in ("set_image", "predict", "rle")} for one in stock_clicks]),
        reply_bytes=len(replies[-1].body),
    )


def _warm(
    backend: Backend, engine: Worker, album: Album, picture: Picture, size: str, counts: Counts
) -> tuple[list[Reply], list[float]]:
    replies: list[Reply] = []
    bare: list[float] = []
    engine.ask("set", path=album.path(picture))
    for number in range(counts.rounds):
        points = [album.point(size, number * counts.per_round + one) for one in range(counts.per_round)]
        # The first of a round warms the processor's caches after the other's turn, for both.
        bare += engine.ask("decode", xy=in_pixels([points[0], *points], picture.size_wh))["decode"][1:]
        predict(backend.port, click(picture, points[0]))
        replies += [predict(backend.port, click(picture, point)) for point in points]
    return replies, bare


def annotators(backend: Backend, album: Album, size: str, counts: Counts) -> list[LoadRow]:
    """1, 2, 4 and 8 people who click without a pause, each on an image of their own that was clicked before."""
    pictures = [album.new(size) for _ in range(max(ANNOTATORS))]
    for picture in pictures:
        predict(backend.port, click(picture, album.point(size, 0)))
    return [_load(backend, album, size, pictures[:people], counts.load // people) for people in ANNOTATORS]


def _load(backend: Backend, album: Album, size: str, pictures: list[Picture], each: int) -> LoadRow:
    taken: list[float] = []
    failures: list[Exception] = []
    start = threading.Barrier(len(pictures) + 1)

    def person(number: int, picture: Picture) -> None:
        bodies = [click(picture, album.point(size, number + 7 * one)) for one in range(each)]
        start.wait()
        try:
            for body in bodies:
                taken.append(predict(backend.port, body).seconds * 1000)
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits
            failures.append(error)

    threads = [threading.Thread(target=person, args=one) for one in enumerate(pictures)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return LoadRow(len(pictures), Sample.of(taken), len(taken) / (time.perf_counter() - began))


def after_open(backend: Backend, album: Album, size: str, counts: Counts) -> Sample:
    """First click on an image whose task was opened, once the backend has finished what that started."""
    taken = []
    for number in range(counts.opened):
        picture = album.new(size)
        predict(backend.port, opened(picture))
        backend.wait_until_idle(PREWARM_SECONDS)
        taken.append(predict(backend.port, click(picture, album.point(size, number))).seconds * 1000)
    return Sample.of(taken)


def memory(backend: Backend, album: Album, size: str, counts: Counts, setting_mb: int) -> Memory:
    """Click images for a while, each once, and look at the backend's memory."""
    before = backend.memory_mb()
    until = time.monotonic() + counts.memory_seconds
    images = 0
    while images < counts.memory_images and (images < 2 or time.monotonic() < until):
        predict(backend.port, click(album.new(size), album.point(size, images)))
        images += 1
    return Memory(images, setting_mb, before, backend.memory_mb(), backend.memory_mb("VmHWM"))


def fidelity(
    engine: Worker, stock: Worker, album: Album, size: str, counts: Counts, row: tuple[str, str, str], folder: Path
) -> Fidelity:
    """Compare the engine's masks with stock's, in the image's size: of the candidate that stock would show."""
    overlaps: list[float] = []
    same = 0
    for number in range(counts.fidelity):
        picture = album.new(size)
        points = [album.point(size, number * counts.prompts + one) for one in range(counts.prompts)]
        found = []
        for worker, name in ((stock, "stock"), (engine, "engine")):
            out = str(folder / f"{name}.npz")
            worker.ask("set", path=album.path(picture))
            worker.ask("masks", xy=in_pixels(points, picture.size_wh), out=out)
            with np.load(out) as file:
                found.append((file["logits"], file["iou"].argmax(axis=1)))
        (theirs, chosen), (ours, our_choice) = found
        same += int((chosen == our_choice).sum())
        for prompt, candidate in enumerate(chosen):
            one, other = (masks.full_size(logits[prompt, candidate], picture.size_wh) for logits in (theirs, ours))
            overlaps.append(overlap(one, other))
    model, engine_name, weights = row
    return Fidelity(
        model, engine_name, weights, len(overlaps), float(np.mean(overlaps)), min(overlaps), same / len(overlaps)
    )


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union; 1 for two empty masks."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0


def check_clean(reply: Reply, size_wh: tuple[int, int]) -> None:
    """The mask must be one part that covers 5 to 40 % of the image.

    Raises:
        MaskNotClean: it is another.
    """
    width, height = size_wh
    rle = next((region["value"]["rle"] for region in reply.regions if "rle" in region["value"]), None)
    if rle is None:
        raise MaskNotClean("the click was answered without a mask")
    mask = decode_rle(rle).reshape(height, width, 4)[..., 3]
    parts = cv2.connectedComponents((mask > 0).astype(np.uint8))[0] - 1
    share = float((mask > 0).mean())
    if parts != 1 or not CLEAN_SHARE[0] <= share <= CLEAN_SHARE[1]:
        raise MaskNotClean(f"the mask has {parts} parts and covers {share:.1%}: expected one, 5 to 40 %")


def _medians(rows: list[dict[str, float]]) -> dict[str, float]:
    by_name: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            by_name[name].append(value)
    return {name: round(Sample.of(values).median, 3) for name, values in by_name.items()}
