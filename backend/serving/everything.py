"""All objects of an image: the model is asked about a grid of points, in small batches between people's clicks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from backend.geometry.crop import CELL
from backend.geometry.proposals import (
    Proposal,
    good_ones,
    grid_points,
    lone_points,
    points_a_side,
    without_duplicates,
)
from backend.labelstudio.labeling_config import config_of_task, image_named, image_url
from backend.labelstudio.protocol import Task
from backend.queue.scheduling import Priority
from backend.segmenter import Candidates, Embedding
from backend.serving.clicks import ClickAnswerer, view_behind_clicks
from backend.serving.model import Model
from backend.serving.segmenting import View

FIRST_BATCH, LARGEST_BATCH = 4, 64  # points
BATCH_SECONDS = 0.1  # so long a click may wait behind a batch
MOST_PROPOSALS = 256  # of an image
MOST_AT_ONCE = 512  # proposals in memory before duplicates are left out: 64 MB of a real model's

Told = Callable[[float], None]


def view_of(
    answerer: ClickAnswerer, label_config: str, task: Task, to_name: str, item_index: int | None, deadline: float
) -> View:
    """One image of a task, for work that every click goes before.

    Raises:
        RequestError: there is no such image, or it cannot be read.
    """
    config = config_of_task(label_config, task.data)
    url = image_url(task.data, image_named(config, to_name), item_index)
    return view_behind_clicks(answerer, url, task.id, deadline, Priority.BATCH)


def all_objects(
    answerer: ClickAnswerer, model: Model, view: View, told: Told = lambda _share: None
) -> tuple[Proposal, ...]:
    """A proposal for each object that the model finds, the best first, 256 at most.

    Args:
        told: called after each batch with the share of the points that are done; what it raises ends the work.

    Raises:
        RequestError: too late, out of memory, or the image cannot be read.
    """
    embedding = answerer.predictor.embedding(model, view)
    points = grid_points(points_a_side(model.segmenter.input_side // CELL), view.info.size_wh)
    found: list[Proposal] = []
    done, size = 0, FIRST_BATCH
    while done < len(points):
        candidates, seconds = _decoded(model, view, embedding, points[done : done + size])
        found += good_ones(candidates)
        if len(found) > MOST_AT_ONCE:
            found = without_duplicates(found)
        done += len(candidates)
        size = next_size(size, seconds)
        told(done / len(points))
    return tuple(without_duplicates(found)[:MOST_PROPOSALS])


def next_size(size: int, seconds: float) -> int:
    """How many points the next batch has, after one of so many took so long: as many as a click may wait for."""
    if seconds > BATCH_SECONDS:
        return max(1, size // 2)
    return min(LARGEST_BATCH, 2 * size) if 2 * seconds <= BATCH_SECONDS else size


def _decoded(
    model: Model, view: View, embedding: Embedding, points_xy: NDArray[np.float32]
) -> tuple[list[Candidates], float]:
    asked = [(embedding, prompts) for prompts in lone_points(points_xy)]
    ticket = model.queue.submit(
        lambda: model.embeddings.with_memory(lambda: model.segmenter.decode_batch(asked)),
        view.priority,
        deadline=view.deadline,
        name="everything",
    )
    return ticket.result(), ticket.ran_seconds
