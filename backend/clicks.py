"""Answer one click: from Label Studio's request to its results, each stage timed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from backend import images, labeling_config, masks
from backend.errors import BadRequest, ImageError
from backend.prompts import read_click, to_pixels
from backend.protocol import Prediction, PredictRequest, Task
from backend.results import encode_rle, to_results
from backend.segmenter import Segmenter

logger = logging.getLogger(__name__)
ASPECT_TOLERANCE = 0.02


class Stopwatch:
    """Names the stages of one click and how long each took."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._start = self._last = clock()
        self._laps: list[str] = []

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = self._clock()
        self._laps.append(f"{stage}={(now - self._last) * 1000:.0f}")
        self._last = now

    def __str__(self) -> str:
        return f"{' '.join(self._laps)} total={(self._last - self._start) * 1000:.0f} ms"


class ClickAnswerer:
    """Holds what all clicks share. Safe to call from many threads."""

    def __init__(self, root: Path, pixel_limit: int, model_version: str) -> None:
        """
        Args:
            root: the shared image folder.
            pixel_limit: largest image, in pixels, on disk and in the browser.
            model_version: is part of every answer.
        """
        self._root = root
        self._pixel_limit = pixel_limit
        self._model_version = model_version

    def answer(self, request: PredictRequest, segmenter: Segmenter) -> Prediction:
        """The mask of the clicked object, or an empty result when nothing was asked for or found.

        Raises:
            RequestError: one sentence; nothing else is shown to the client.
        """
        regions = request.context.result if request.context else None
        if not regions:
            return self._nothing()
        if len(request.tasks) != 1:
            raise BadRequest(f"a click belongs to one task, but the request holds {len(request.tasks)}")
        task, watch = request.tasks[0], Stopwatch()
        config = labeling_config.parse(request.label_config)
        click = read_click(regions)
        output = config.output_for(click.to_name, click.label, click.kind)
        if click.size_wh[0] * click.size_wh[1] > self._pixel_limit:
            raise BadRequest(
                f"the browser shows {click.size_wh[0]}x{click.size_wh[1]} pixels, "
                f"more than IMAGE_PIXEL_LIMIT={self._pixel_limit}"
            )
        pixels = images.load(_url_of(task, config.image(click.to_name).key), self._root, self._pixel_limit)
        size_wh = (pixels.shape[1], pixels.shape[0])
        _check_same_shape(size_wh, click.size_wh)
        prompts = to_pixels(click, size_wh)
        watch.lap("read")
        what = (
            f"click task={task.id} image={size_wh[0]}x{size_wh[1]} positive={int(prompts.is_positive.sum())} "
            f"negative={int((~prompts.is_positive).sum())} box={0 if prompts.box_xyxy is None else 1}"
        )
        if not prompts.names_an_object:
            logger.info("%s nothing to segment: %s", what, watch)
            return self._nothing()
        embedding = segmenter.encode(pixels)
        watch.lap("encode")
        logits, score = masks.best(segmenter.decode(embedding, prompts))
        watch.lap("decode")
        mask = masks.full_size(logits, click.size_wh)
        watch.lap("mask")
        if not mask.any():
            logger.info("%s empty mask score=%.3f: %s", what, score, watch)
            return self._nothing()
        results = to_results(encode_rle(mask), score, click, output)
        watch.lap("rle")
        logger.info("%s area=%.2f%% score=%.3f: %s", what, 100 * float(mask.mean()), score, watch)
        return Prediction(model_version=self._model_version, score=score, result=results)

    def _nothing(self) -> Prediction:
        """An object with an empty result: the editor clears the suggestion."""
        return Prediction(model_version=self._model_version, score=0.0, result=[])


def _url_of(task: Task, key: str) -> str:
    url = task.data.get(key)
    if not isinstance(url, str) or not url:
        seen = ", ".join(sorted(task.data)) or "nothing"
        raise ImageError(f"the task's data holds no image URL under {key!r} (it holds: {seen})")
    return url


def _check_same_shape(file_wh: tuple[int, int], shown_wh: tuple[int, int]) -> None:
    """A scaled picture is fine, prompts are percent. A turned or exchanged one would give a wrong mask."""
    if abs(file_wh[0] * shown_wh[1] / (file_wh[1] * shown_wh[0]) - 1) > ASPECT_TOLERANCE:
        raise ImageError(
            f"the image on disk is {file_wh[0]}x{file_wh[1]} pixels but the browser shows "
            f"{shown_wh[0]}x{shown_wh[1]}: was the file exchanged? Reload the task"
        )
