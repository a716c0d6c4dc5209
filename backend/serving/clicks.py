"""Answer one click: from Label Studio's request to its results, each stage timed."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.budget import WAIT_SECONDS, MemoryBudget
from backend.errors import BadRequest, ImageError
from backend.geometry.cleanup import clean
from backend.images.image_store import ImageStore
from backend.labelstudio.labeling_config import Output, config_of_task, image_named, image_url, output_for
from backend.labelstudio.options import ProjectOptions, ProjectOptionsRegistry
from backend.labelstudio.prompts import Click, read_click, to_pixels
from backend.labelstudio.protocol import ContextRegion, Prediction, PredictRequest, RegionResult, Task
from backend.labelstudio.regions import BRUSHES
from backend.labelstudio.results import to_results
from backend.queue.scheduling import Priority
from backend.segmenter import Prompts
from backend.serving.in_flight import InFlight, Token
from backend.serving.memory import BoxMemory
from backend.serving.model import Model
from backend.serving.segmenting import Found, MaskPredictor, View
from backend.sources import ImageSources
from backend.stages import Stages

logger = logging.getLogger(__name__)
ASPECT_TOLERANCE = 0.02
# Bytes for each pixel as the browser shows it: a stroke that is decoded and measured; a mask and its code; and inside
# the object's box, where parts are numbered (clean-up, polygons).
STROKE_BYTES, MASK_BYTES, PART_BYTES = 5, 3, 12


@dataclass(frozen=True)
class Answered:
    """An answer, and what the log, the status page and the metrics say of it.

    Attributes:
        kind: what was drawn, one word: `point`, `points`, `box`, `box+points`, `stroke`, `nothing`.
        what: the same for people: `2 points +, 1 point -`.
    """

    prediction: Prediction
    kind: str = "nothing"
    what: str = "nothing"
    task: str = ""
    label: str | None = None
    size_wh: tuple[int, int] | None = None
    embedding: str | None = None


@dataclass(frozen=True)
class ClickAnswerer:
    """Holds what all clicks share. Safe to call from many threads.

    Attributes:
        sources: where images come from.
        images: what is known of them.
        predictor: runs the model.
        boxes: remembers the box that was drawn before the points.
        options: what each project chose.
        in_flight: all clicks that are worked on.
        work: bounds the memory of masks at work; that of images is taken by `images`.
        pixel_limit: largest image, in pixels, on disk and in the browser.
        model_version: is part of every answer.
    """

    sources: ImageSources
    images: ImageStore
    predictor: MaskPredictor
    boxes: BoxMemory
    options: ProjectOptionsRegistry
    in_flight: InFlight
    work: MemoryBudget
    pixel_limit: int
    model_version: str

    def answer(self, request: PredictRequest, model: Model, deadline: float, stages: Stages) -> Answered:
        """The mask of the clicked object, or an empty result without prompts and without an object.

        Args:
            deadline: `time.monotonic` value until which the client waits.
            stages: gets the time of each stage.

        Raises:
            RequestError: one sentence; nothing else is shown to the client.
        """
        regions = request.context.result if request.context else None
        if not regions:
            return Answered(self._prediction(0.0, []))
        if len(request.tasks) != 1:
            raise BadRequest(f"a click belongs to one task, but the request holds {len(request.tasks)}")
        task = request.tasks[0]
        click = self.boxes.complete(task.id, self._read(regions, task, deadline))
        with self.in_flight.enter(task.id or "", click.region_ids) as token:
            answered, found = self._answer(request, task, click, model, deadline, stages, token)
        if found is not None:
            self.boxes.remember(task.id, click, found)
        return answered

    def answer_in_batch(self, request: PredictRequest, model: Model, deadline: float, stages: Stages) -> Answered:
        """As `answer`, for a batch: every click goes first, and nothing is remembered for the next click."""
        regions = request.context.result if request.context else None
        click = read_click(regions or [], (), self.pixel_limit)
        task = request.tasks[0]
        return self._answer(request, task, click, model, deadline, stages, Token(), Priority.BATCH)[0]

    def shown_size(self, task: Task, url: str, deadline: float) -> tuple[int, int]:
        """Width and height of a task's image as the browser shows it.

        Raises:
            RequestError: it cannot be read.
        """
        return self.images.describe(self.sources.open(url, task.id, deadline), deadline).size_wh

    def _read(self, regions: list[ContextRegion], task: Task, deadline: float) -> Click:
        drafts = task.drafts or ()
        pixels = min(self.pixel_limit, max(one.original_width * one.original_height for one in regions))
        needed = STROKE_BYTES * pixels if drafts or any(one.type in BRUSHES for one in regions) else 0
        with self.work.hold(needed, turn(deadline)):
            return read_click(regions, drafts, self.pixel_limit)

    def _answer(
        self,
        request: PredictRequest,
        task: Task,
        click: Click,
        model: Model,
        deadline: float,
        stages: Stages,
        token: Token,
        priority: Priority = Priority.CLICK,
    ) -> tuple[Answered, set[str] | None]:
        """The answer, and the ids of its regions; None where nothing was asked of the model."""
        options = self.options.of(request.project)
        config = config_of_task(request.label_config, task.data)
        shown = image_named(config, click.to_name)
        output = output_for(config, click.to_name, click.label, click.kind, options.output)
        with stages("fetch"):
            url = image_url(task.data, shown, click.item_index)
            file = self.sources.open(url, task.id, deadline)
        with stages("read"):
            info = self.images.describe(file, turn(deadline))
        check_same_shape(info.size_wh, click.size_wh)
        prompts = to_pixels(click, info.size_wh)
        kind, what = described(prompts, click)
        line = f"click task={task.id} image={info.size_wh[0]}x{info.size_wh[1]} {what}"
        if not prompts.names_an_object:
            logger.info("%s: nothing to segment", line)
            nothing = self._prediction(0.0, [])
            return Answered(nothing, kind, what, task.id or "", click.label, info.size_wh), None
        wanted = request.context.candidate if request.context else None
        view = View(
            info,
            lambda make: self.images.use(file, info, make, turn(deadline)),
            deadline,
            token,
            stages,
            priority,
            wanted or 0,
        )
        found = self.predictor.predict(model, view, prompts, closer=options.crop_small_objects)
        token.check()
        with stages("post"), self.work.hold(_mask_bytes(found, click, options, output), turn(deadline)):
            results, covered = self._results(found, click, prompts, info.size_wh, options, output)
        logger.info("%s area=%.2f%% score=%.3f %s: %s", line, 100 * covered, found.score, found.embedding, stages)
        offered = None if wanted is None else found.candidates
        prediction = self._prediction(found.score if results else 0.0, results, offered)
        answered = Answered(prediction, kind, what, task.id or "", click.label, info.size_wh, found.embedding)
        return answered, {result.id for result in results}

    def _results(
        self,
        found: Found,
        click: Click,
        prompts: Prompts,
        size_wh: tuple[int, int],
        options: ProjectOptions,
        output: Output,
    ) -> tuple[list[RegionResult], float]:
        mask = found.mask(click.size_wh)
        positive = prompts.points_xy[prompts.is_positive] * (np.asarray(click.size_wh) / np.asarray(size_wh))
        mask = clean(mask, options, positive)
        return to_results(mask, found.score, click, output, options), _share(mask)

    def _prediction(self, score: float, results: list[RegionResult], candidates: int | None = None) -> Prediction:
        """With an empty result the editor clears the suggestion."""
        return Prediction(model_version=self.model_version, score=score, result=results, candidates=candidates)


def view_behind_clicks(
    answerer: ClickAnswerer, url: str, task: str | None, deadline: float, priority: Priority, token: Token | None = None
) -> View:
    """An image, for work that every click goes before.

    Args:
        url: of the image, as its task names it.
        deadline: `time.monotonic` value.
        token: ends the work from elsewhere; None: nothing does.

    Raises:
        RequestError: the image cannot be read.
    """
    file = answerer.sources.open(url, task, deadline)
    info = answerer.images.describe(file, turn(deadline))
    return View(
        info,
        lambda make: answerer.images.use(file, info, make, turn(deadline)),
        deadline,
        token or Token(),
        Stages(),
        priority,
    )


def turn(deadline: float) -> float:
    """Until when a click waits for memory."""
    return min(deadline, time.monotonic() + WAIT_SECONDS)


def _mask_bytes(found: Found, click: Click, options: ProjectOptions, output: Output) -> int:
    """What the full mask and the making of its results take, in bytes."""
    parts = options.fill_holes_pixels or options.remove_specks_pixels or options.keep != "all"
    inside = PART_BYTES * found.object_share if parts or output.kind == "polygon" else 0.0
    return int(click.size_wh[0] * click.size_wh[1] * (MASK_BYTES + inside))


def described(prompts: Prompts, click: Click) -> tuple[str, str]:
    """The kind of a prompt in one word, and what it is made of, for people."""
    positive = int(prompts.is_positive.sum())
    negative = len(prompts.is_positive) - positive
    has_box = prompts.box_xyxy is not None
    parts = ["stroke"] if len(click.stroke_points) else []
    parts += ["box"] if has_box else []
    parts += [f"{positive} point{'' if positive == 1 else 's'} +"] if positive else []
    parts += [f"{negative} point{'' if negative == 1 else 's'} -"] if negative else []
    if len(click.stroke_points):
        kind = "stroke"
    elif has_box:
        kind = "box+points" if positive or negative else "box"
    else:
        kind = "point" if prompts.is_lone_point else "points"
    return kind, ", ".join(parts)


def _share(mask: NDArray[np.bool_]) -> float:
    """How much of the image a mask covers, 0 to 1."""
    return float(np.count_nonzero(mask)) / mask.size


def check_same_shape(file_wh: tuple[int, int], shown_wh: tuple[int, int]) -> None:
    """A scaled picture is fine, prompts are percent. A turned or exchanged one would give a wrong mask.

    Raises:
        ImageError: the shapes differ.
    """
    if abs(file_wh[0] * shown_wh[1] / (file_wh[1] * shown_wh[0]) - 1) > ASPECT_TOLERANCE:
        raise ImageError(
            f"the image on disk is {file_wh[0]}x{file_wh[1]} pixels but the browser shows "
            f"{shown_wh[0]}x{shown_wh[1]}: was the file exchanged? Reload the task"
        )
