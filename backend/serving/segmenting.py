"""From an image and prompts to one mask: embedding, decoder, the mask before as a start, small objects closer up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backend.errors import ImageError
from backend.geometry import masks
from backend.geometry.crop import CELL, Crop, choose_crop, first_point, object_box
from backend.images.image_store import ImageInfo
from backend.picture import ArrayPicture, Picture
from backend.queue.scheduling import Priority, Together
from backend.segmenter import Candidates, Embedding, Prepared, Prompts
from backend.serving.in_flight import Token
from backend.serving.memory import MaskMemory, PromptSet, prompt_set
from backend.serving.model import Model
from backend.stages import Stages

Feedback = Literal["always", "positive", "never"]


@dataclass(frozen=True)
class View:
    """One image for one click.

    Attributes:
        info: names the content.
        use: calls a function with the picture; called only when something must be encoded.
        deadline: `time.monotonic` value.
        token: the click's right to go on.
        stages: where the time goes.
        priority: in the model's queue.
        candidate: which mask of several is wanted, 0 the best one.
        is_preview: encode nothing and remember nothing.
    """

    info: ImageInfo
    use: Callable[[Callable[[Picture], Prepared]], Prepared]
    deadline: float
    token: Token
    stages: Stages
    priority: Priority = Priority.CLICK
    candidate: int = 0
    is_preview: bool = False


@dataclass(frozen=True)
class Found:
    """The answer of the model.

    Attributes:
        logits: ``(h, w)`` float32, of the crop where there is one, else of the whole image.
        score: the model's own estimate of the mask's IoU.
        crop: the piece that was segmented.
        embedding: where the embedding came from: `memory`, `disk`, `encoded`.
        candidates: how many masks the model offered.
    """

    logits: NDArray[np.float32]
    score: float
    crop: Crop | None
    embedding: str
    candidates: int

    @property
    def object_share(self) -> float:
        """How much of the image the upright box around the object takes, 0 to 1."""
        share = masks.object_share(self.logits)
        if self.crop is None:
            return share
        piece, image = self.crop.size_wh, self.crop.image_wh
        return share * piece[0] * piece[1] / (image[0] * image[1])

    def mask(self, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
        """``(H, W)`` bool in this size."""
        if self.crop is not None:
            return self.crop.paste(self.logits, size_wh)
        return masks.full_size(self.logits, size_wh)


class MaskPredictor:
    """Answers prompts with the model. Safe to call from many threads."""

    def __init__(self, memory: MaskMemory, feedback: Feedback) -> None:
        """
        Args:
            memory: of masks, to start the next one of the same object from.
            feedback: whether it is used: always, while all points are positive, or never.
        """
        self._memory = memory
        self._feedback = feedback

    def predict(
        self, model: Model, view: View, prompts: Prompts, *, closer: bool, start: NDArray[np.bool_] | None = None
    ) -> Found:
        """The mask of the object that the prompts name.

        Args:
            prompts: in pixels of the image; they name an object.
            closer: encode a piece around the object where it is small in the image.
            start: ``(H, W)`` bool in the image's size, a mask to start from. Then nothing is remembered, and nothing
                that is remembered counts.

        Raises:
            RequestError: superseded, too late, out of memory, or the image cannot be read; of a preview, also that
                something must be encoded.
        """
        whole: Found | None = None
        if closer:
            size_wh, side, extent = view.info.size_wh, model.segmenter.input_side, None
            if prompts.box_xyxy is None:
                # No box says how large the object is: the mask that the first point has in the whole image does.
                first = first_point(prompts)
                whole = self._decode(model, view, first, None, start)
                extent = object_box(whole.logits, size_wh, first.points_xy[0])
            crop = choose_crop(size_wh, prompts, extent, side)
            if crop is not None:
                found = self._decode(model, view, prompts, crop, start)
                if not crop.cuts(found.logits):
                    return found
        if whole is not None and prompts.is_lone_point:
            return whole  # the very same prompts
        return self._decode(model, view, prompts, None, start)

    def _decode(
        self, model: Model, view: View, prompts: Prompts, crop: Crop | None, start: NDArray[np.bool_] | None
    ) -> Found:
        view.token.check()
        where = model.embeddings.where(view.info, None if crop is None else crop.box_xyxy)
        if view.is_preview and where is None:
            raise ImageError("the image is not encoded yet, and a preview encodes nothing")
        embedding = self.embedding(model, view, crop)
        # With the candidate, so that one annotator's second choice is not what another's points start from.
        key = f"{view.info.digest} {model.segmenter.engine} {'' if crop is None else crop.key} {view.candidate or ''}"
        placed_prompts = prompts if crop is None else crop.prompts(prompts)
        placed = prompt_set(prompts, view.info.size_wh)
        if start is None:
            before = self._start(key, placed, prompts)
        else:
            piece = start if crop is None else crop.part_of(start)
            before = masks.as_logits(piece, model.segmenter.input_side // CELL)
        placed_prompts = replace(placed_prompts, mask_logits=before)
        ticket = model.queue.submit(
            lambda: model.embeddings.with_memory(lambda: model.segmenter.decode(embedding, placed_prompts)),
            view.priority,
            deadline=view.deadline,
            name="decode",
            together=Together(
                "decode", (embedding, placed_prompts), model.segmenter.decode_batch, model.segmenter.decode_at_once
            ),
        )
        candidates: Candidates = view.token.attach(ticket).result()
        view.stages.add("wait", ticket.waited_seconds)
        view.stages.add("decode", ticket.ran_seconds)
        logits, score = masks.best(candidates, view.candidate)
        if start is None and not view.is_preview:
            self._memory.store(key, placed, logits)
        return Found(logits, score, crop, where or "encoded", len(candidates.iou))

    def embedding(self, model: Model, view: View, crop: Crop | None = None) -> Embedding:
        """The embedding of an image, or of a piece of it, from where it is or from the encoder.

        Raises:
            RequestError: superseded, too late, out of memory, or the image cannot be read.
        """

        def prepare(picture: Picture) -> Prepared:
            return model.embeddings.prepare(
                picture if crop is None else ArrayPicture(np.ascontiguousarray(picture.piece(crop.box_xyxy)))
            )

        with view.stages("encode"):
            return model.embeddings.get(
                view.info,
                lambda: view.use(prepare),
                view.priority,
                view.deadline,
                crop_xyxy=None if crop is None else crop.box_xyxy,
                claim=view.token.attach,
            )

    def _start(self, key: str, placed: PromptSet, prompts: Prompts) -> NDArray[np.float32] | None:
        if self._feedback == "never" or (self._feedback == "positive" and not prompts.is_positive.all()):
            return None
        return self._memory.find(key, placed)
