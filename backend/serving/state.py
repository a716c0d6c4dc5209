"""The backend's state for a browser: the model, its device, and whether a task's image is ready.

Browsers reach the backend through Label Studio alone, by its interactive route, which passes `context` on untouched. So
the question is a context with `ask: state`, and the answer a prediction without results that carries `state` beside.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from backend.errors import Busy, RequestError
from backend.images.image_store import TaskImage
from backend.images.neighbours import following_images
from backend.labelstudio.labeling_check import check
from backend.labelstudio.labeling_config import config_of_task, image_url
from backend.labelstudio.protocol import PredictRequest
from backend.serving.model import Model
from backend.serving.service import Service
from labeling.config import LabelingConfig
from labeling.images import ImageTag

FIND_SECONDS = 2.0  # to find the image; what takes longer is still on its way


def state_answer(service: Service, request: PredictRequest) -> dict[str, Any]:
    """The body of the answer: one prediction without results for the task."""
    state, reason = service.loader.state
    model = service.loader.loaded
    found: dict[str, Any] = {"backend": state, "reason": reason, "model": service.files.name}
    if model is not None:
        image, problem, pages = _image_state(service, model, request)
        found |= {"backend": "ready", "reason": problem, "device": model.device, "image": image, "pages": pages or None}
    found = {name: value for name, value in found.items() if value is not None}
    return {"results": [{"model_version": service.files.version, "score": 0.0, "result": [], "state": found}]}


def task_images(request: PredictRequest) -> list[TaskImage]:
    """The images of the first task, in the order of the labeling configuration; or the one that is meant."""
    task = request.tasks[0]
    config = config_of_task(request.label_config, task.data)
    return [TaskImage(image_url(task.data, tag, None), task.id) for tag in _tags(request, config)]


def prewarm(service: Service, model: Model, request: PredictRequest, images: list[TaskImage]) -> None:
    """Begin to encode them, and after them what lies beside them in their folder."""
    root, count = service.settings.local_files_document_root, service.settings.prewarm_neighbours
    for image in reversed(images):
        model.prewarmer.opened(request.project, image, partial(following_images, root, image.url, count))


def _tags(request: PredictRequest, config: LabelingConfig) -> tuple[ImageTag, ...]:
    return tuple(tag for tag in config.images if request.only_image in (None, tag.name))


def _image_state(
    service: Service, model: Model, request: PredictRequest
) -> tuple[str | None, str | None, dict[str, int]]:
    """`ready`, `encoding` or `failed`, and for the last the reason in one sentence; and of which image tags the file
    has more pages than the one that is seen, and how many.
    """
    if len(request.tasks) != 1:
        return None, None, {}
    try:
        config = config_of_task(request.label_config, request.tasks[0].data)
        check(config, service.options.of(request.project).output)
        images = task_images(request)
        deadline = time.monotonic() + FIND_SECONDS
        infos = [service.images.describe(service.sources.open(*one, deadline), deadline) for one in images]
    except Busy:  # its turn will come
        return "encoding", None, {}
    except RequestError as error:
        return "failed", str(error), {}
    pages = {tag.name: info.pages for tag, info in zip(_tags(request, config), infos, strict=True) if info.pages > 1}
    if all(model.embeddings.where(info) for info in infos):
        return "ready", None, pages
    for image, info in zip(images, infos, strict=True):
        if (failure := model.prewarmer.failure_of(image, info)) is not None:
            return "failed", failure, pages
    if not model.prewarmer.waiting:  # Label Studio does not tell us of every task that is opened
        prewarm(service, model, request, images)
    return "encoding", None, pages
