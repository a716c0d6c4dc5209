"""Proposals for a page and for `./inv preannotate --everything`: what was found, and one of them as a region.

A page asks `everything` with an entry that names the image (and, to take one, the label): while they are made the
answer says how far that is, then where they lie. A proposal is taken by its number.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.budget import WAIT_SECONDS
from backend.errors import BadRequest, NotFound
from backend.geometry.cleanup import clean
from backend.geometry.masks import full_size
from backend.geometry.proposals import Proposal
from backend.labelstudio.labeling_config import Output, config_of_task, output_for
from backend.labelstudio.options import ProjectOptions
from backend.labelstudio.prompts import Click
from backend.labelstudio.protocol import ContextRegion, Prediction, PredictRequest, RegionResult, Task
from backend.labelstudio.region_masks import placed_like
from backend.labelstudio.results import to_results
from backend.serving.clicks import MASK_BYTES, PART_BYTES, check_same_shape
from backend.serving.everything import Told, all_objects, view_of
from backend.serving.model import Model
from backend.serving.outlining import outlined, small_size
from backend.serving.proposal_jobs import Proposals
from backend.serving.service import Service

SECONDS = 300.0  # for one image: clicks go before it


def everything_answer(service: Service, model: Model, request: PredictRequest, deadline: float) -> dict[str, Any]:
    """The body of the answer to a page.

    Raises:
        RequestError: the image or the proposal is not there, or no tag takes the label; one sentence.
    """
    entry, task = _named(request)
    view = view_of(service.answerer, request.label_config, task, entry.to_name, entry.item_index, deadline)
    check_same_shape(view.info.size_wh, (entry.original_width, entry.original_height))
    key = model.embeddings.key(view.info)
    number = request.context.proposal if request.context else None
    if number is not None:
        known = service.proposals.known(key)
        if known is None or number >= len(known):
            raise NotFound("the proposals of this image are not there any more; ask for them again")
        results = _regions(service, request.project, request.label_config, task.data, entry, known[number])
        return _body(service, results, known[number].score)

    def make(told: Told) -> Proposals:
        return all_objects(service.answerer, model, replace(view, deadline=time.monotonic() + SECONDS), told)

    progress = service.proposals.ask(key, make)
    found: dict[str, Any] = {"share": round(progress.share, 3)}
    if progress.proposals is not None:
        size_wh = small_size(view.info.size_wh)
        found["proposals"] = [outlined(_mask(one, size_wh)) for one in progress.proposals]
    return _body(service, [], 0.0, found)


def all_as_regions(
    service: Service, model: Model, label_config: str, project: str | None, task: Task, entry: ContextRegion
) -> Prediction:
    """A region for each object of an image.

    Args:
        entry: names the image and the label; its size is that of the image as the browser shows it.

    Raises:
        RequestError: the image cannot be read, no tag takes the label, or clicks kept the model busy for too long.
    """
    view = view_of(service.answerer, label_config, task, entry.to_name, entry.item_index, time.monotonic() + SECONDS)
    _output(service, project, label_config, task.data, entry)  # before minutes of work
    found = all_objects(service.answerer, model, view)
    results = [one for each in found for one in _regions(service, project, label_config, task.data, entry, each)]
    score = float(np.mean([one.score for one in found])) if found else 0.0
    return Prediction(model_version=service.files.version, score=score, result=results)


def _mask(proposal: Proposal, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    return full_size(proposal.logits.astype(np.float32), size_wh)


def _named(request: PredictRequest) -> tuple[ContextRegion, Task]:
    entries = (request.context.result if request.context else None) or []
    if len(entries) != 1 or len(request.tasks) != 1:
        raise BadRequest("which image is meant: expected one entry for an image of one task")
    return entries[0], request.tasks[0]


def _output(
    service: Service, project: str | None, label_config: str, data: Mapping[str, Any], entry: ContextRegion
) -> tuple[ProjectOptions, Output]:
    options, config = service.options.of(project), config_of_task(label_config, data)
    return options, output_for(config, entry.to_name, entry.value.label, entry.type, options.output)


def _regions(
    service: Service,
    project: str | None,
    label_config: str,
    data: Mapping[str, Any],
    entry: ContextRegion,
    one: Proposal,
) -> list[RegionResult]:
    options, output = _output(service, project, label_config, data, entry)
    click: Click = placed_like(entry, entry.value.label)
    pixels = click.size_wh[0] * click.size_wh[1]
    with service.answerer.work.hold(pixels * (MASK_BYTES + PART_BYTES), time.monotonic() + WAIT_SECONDS):
        mask = clean(_mask(one, click.size_wh), options)
        return to_results(mask, one.score, click, output, options)


def _body(
    service: Service, results: list[RegionResult], score: float, everything: dict[str, Any] | None = None
) -> dict[str, Any]:
    prediction = Prediction(model_version=service.files.version, score=score, result=results)
    body = prediction.model_dump(mode="json", exclude_none=True, by_alias=True)
    return {"results": [body if everything is None else {**body, "everything": everything}]}
