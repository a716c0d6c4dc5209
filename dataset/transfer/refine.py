"""SAM2's own mask of each thing that was carried over, and the rule by which it takes the carried one's place.

Parallax puts masks of near things beside them, and SAM2 finds the thing again where it shows on the twin. Where it does
not show, SAM2 wanders off to something else. What tells one from the other without the truth: how far the new mask is
from the carried one, and by how much better its outline follows the edges. docs/pairs.md has what was measured.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.errors import LabelStudioError
from dataset.registration.features import Field
from dataset.transfer.fit import outline_fit
from dataset.transfer.regions import RegionFigures
from hosts.base import Exec
from infra.roles.project.ask_backend import NOT_NOW, OK, Answer, ask_backend_lines
from masks.arrays import Mask
from masks.measure import intersection_over_union
from masks.rle import decode_rle, encode_rle

LEAST_IOU = 0.2  # with the carried mask: farther off it is another thing, or a small part
LEAST_GAIN = 0.05  # of the correlation with the edges
LEAST_SCORE = 0.5  # SAM2's own estimate


@dataclass(frozen=True)
class Offer:
    """SAM2's mask, ``(H, W)`` bool, and its own estimate of that mask's IoU."""

    mask: Mask
    score: float


def better(carried: Mask, figures: RegionFigures, offer: Offer | None, field: Field) -> tuple[Mask, RegionFigures]:
    """The mask that is taken, with its figures: SAM2's where the rule takes it, else the carried one.

    Args:
        carried: ``(H, W)`` bool, as the transform puts it; `figures` are its own.
        field: of the twin's picture.
    """
    if offer is None or figures.fit is None or offer.score < LEAST_SCORE:
        return carried, figures
    if intersection_over_union(offer.mask, carried) < LEAST_IOU:
        return carried, figures
    fit = outline_fit(offer.mask, field)
    if fit is None or fit < figures.fit + LEAST_GAIN:
        return carried, figures
    area = int(offer.mask.sum())
    return offer.mask, replace(figures, area=area, fit=round(fit, 4), sam2=round(offer.score, 4), stayed=False)


@dataclass(frozen=True)
class Question:
    """Masks of one image, not empty; `url` as its task names it."""

    task: int
    url: str
    size_wh: tuple[int, int]
    masks: Sequence[Mask]

    def as_json(self) -> dict[str, object]:
        """As the backend's `/refine` takes it."""
        codes = [base64.b64encode(bytes(encode_rle(one))).decode("ascii") for one in self.masks]
        return {"url": self.url, "task": str(self.task), "size_wh": self.size_wh, "masks": codes}


class NotRefined(Exception):
    """SAM2 cannot look at an image; the text says why, in words that follow its name."""


def ask_sam2(run: Exec, questions: Sequence[Question]) -> list[list[Offer | None] | NotRefined]:
    """SAM2's masks for each question in the order of its masks, or why there are none.

    Args:
        run: runs a command in the sam2 container.

    Raises:
        LabelStudioError: the backend stopped, or does not work now.
    """
    answers = ask_backend_lines(run, "/refine", [one.as_json() for one in questions]) if questions else []
    found: list[list[Offer | None] | NotRefined] = []
    for question, answer in zip(questions, answers, strict=True):
        if answer["status"] in NOT_NOW:
            raise LabelStudioError(
                f"the SAM2 backend does not work now: {_detail(answer)}; run the same command again, it goes on from "
                "here, or carry masks over without it (--refine none)"
            )
        if answer["status"] != OK:
            found.append(NotRefined(f"SAM2 cannot look at its twin: {_detail(answer)}"))
        else:
            found.append([_offer(one, question.size_wh) for one in answer["body"]["masks"]])
    return found


def _offer(one: dict[str, object] | None, size_wh: tuple[int, int]) -> Offer | None:
    if one is None:
        return None
    return Offer(decode_rle(base64.b64decode(str(one["rle"])), size_wh), float(str(one["score"])))


def _detail(answer: Answer) -> object:
    body = answer["body"]
    return body.get("detail", body) if isinstance(body, dict) else body
