"""What a proof click came back as: reading the reply, and judging it."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import ProofFailed
from labelstudio.config import ProjectSpec
from labelstudio.masks import MaskResult, masks_in
from labelstudio.models import ClickAnswer, TaskRef
from labelstudio.truth import TruthObject
from masks.measure import intersection_over_union

GOOD_IOU = 0.75
BAD_IOU = 0.5
SAM2_LOG = "see the log of the sam2 container (`docker logs`)"
SHOWN = 400
DEMO = "demo"  # with what the demo model's version begins


@dataclass(frozen=True)
class SmokeTest:
    """What the click came back as.

    Attributes:
        task_id: the task that was clicked.
        image: its image, as a path below the image folder.
        click_xy: the pixel that was clicked.
        label: the label it was clicked with.
        iou: overlap with the truth in ``[0, 1]``, None for a person's own image.
        score: the model's own score of its mask, None where it gave none.
        covered: the share of the image that the mask covers, in ``[0, 1]``; 0 where the model found nothing.
        on_click: the mask covers what was clicked; only the demo model on a person's own images may miss it.
        model_version: what the backend calls its model.
        seconds: wall time of the click; the first one of an image includes its encoding.
    """

    task_id: int
    image: str
    click_xy: tuple[int, int]
    label: str
    iou: float | None
    score: float | None
    covered: float
    on_click: bool
    model_version: str
    seconds: float

    def sentence(self) -> str:
        """The proof line for people."""
        x, y = self.click_xy
        click = f"a click on {self.image} at ({x}, {y})"
        model = f"(model {self.model_version or 'unnamed'})"
        if self.covered == 0:
            return f"{click} was answered in {self.seconds:.1f} s: the model found no object there {model}"
        if not self.on_click:
            return (
                f"{click} came back as a mask in {self.seconds:.1f} s, beside the click, which says nothing: the demo "
                f"model knows drawn shapes only {model}"
            )
        measures = [] if self.iou is None else [f"IoU {self.iou:.2f} with the drawn object"]
        measures.append(f"{100 * self.covered:.1f} % of the image")
        if self.score is not None:
            measures.append(f"the model's own score {self.score:.2f}")
        return f"{click} came back as a mask in {self.seconds:.1f} s: {', '.join(measures)} {model}"


@dataclass(frozen=True)
class Target:
    """What to click: a task, its image's upright size, the label, and the truth where there is one.

    `clicks` are pixels to try in turn until a mask covers what was clicked; with a truth there is one. `reach_wh`: half
    the width and height of the box around a click, in pixels; zeros where the prompt is a point.
    """

    task: TaskRef
    path: str
    size_wh: tuple[int, int]
    label: str
    clicks: tuple[tuple[int, int], ...]
    truth: TruthObject | None
    reach_wh: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Reply:
    """A reply without error. `mask` is None where the model found nothing."""

    mask: MaskResult | None
    model_version: str
    seconds: float

    def covers(self, target: Target, click_xy: tuple[int, int]) -> bool:
        """Whether the mask covers the clicked pixel, or a part of the box that was drawn around it."""
        if self.mask is None:
            return False
        (x, y), (wide, high) = click_xy, target.reach_wh
        return bool(self.mask.mask[max(0, y - high) : y + high + 1, max(0, x - wide) : x + wide + 1].any())


def read_reply(answer: ClickAnswer, target: Target, spec: ProjectSpec) -> Reply:
    """Find the mask for our label in what came back, and check its form.

    Raises:
        ProofFailed: an error, or something that the editor could not use; names the link that is likely broken.
    """
    if answer.errors:
        said = " ".join("; ".join(answer.errors).split())
        raise ProofFailed(
            f"the click did not reach the model, or failed there. Label Studio says: {said[:SHOWN]}; {SAM2_LOG}"
        )
    if answer.data is None:
        raise ProofFailed(f"the backend answered the click with nothing; {SAM2_LOG}")
    results = answer.data.get("result")
    if not isinstance(results, list):
        raise ProofFailed(f"the backend's answer has no list of results; {SAM2_LOG}")
    version = str(answer.data.get("model_version") or "")
    regions = [one for one in results if isinstance(one, dict)]
    return Reply(_mask(regions, target, spec) if regions else None, version, answer.seconds)


def _mask(results: list[dict[str, object]], target: Target, spec: ProjectSpec) -> MaskResult:
    try:
        masks = masks_in(results)
    except ValueError as error:
        raise ProofFailed(f"the mask that came back cannot be read: {error}; {SAM2_LOG}") from None
    tag = spec.labeling.mask.name if spec.labeling.mask is not None else ""
    fitting = [one for one in masks if one.from_name == tag and target.label in one.labels]
    if not fitting:
        seen = ", ".join(f"{one.from_name} {'/'.join(one.labels)}" for one in masks) or "none"
        raise ProofFailed(
            f'no mask for the tag "{tag}" with the label {target.label} came back (masks: {seen}): the backend '
            f"reads another labeling configuration than {spec.config}/v{spec.version}; {SAM2_LOG}"
        )
    found = fitting[0]
    height, width = found.mask.shape
    if (width, height) != target.size_wh:
        raise ProofFailed(
            f"the mask is {width}x{height} pixels, the image {target.path} {target.size_wh[0]}x{target.size_wh[1]}: "
            "the backend reads another file than Label Studio serves"
        )
    if not found.mask.any():
        raise ProofFailed(f"the mask that came back is empty; {SAM2_LOG}")
    return found


def judge(reply: Reply, target: Target, click_xy: tuple[int, int]) -> tuple[SmokeTest, list[str]]:
    """Make the proof, and what else a person should know.

    A person's own images have no truth. A mask of a real model covers what was clicked: where none does, at all the
    pixels that were tried, clicks and masks are not of the same picture. The demo model is not judged there.

    Raises:
        ProofFailed: the truth is known, and this is not it; or no mask covers its click.
    """
    on_click = reply.covers(target, click_xy)
    proof = SmokeTest(
        task_id=target.task.id,
        image=target.path,
        click_xy=click_xy,
        label=target.label,
        iou=_iou(reply, target, click_xy),
        score=None if reply.mask is None else reply.mask.score,
        covered=0.0 if reply.mask is None else float(reply.mask.mask.mean()),
        on_click=on_click,
        model_version=reply.model_version,
        seconds=reply.seconds,
    )
    x, y = click_xy
    notices = []
    if not on_click and not reply.model_version.startswith(DEMO):
        if reply.mask is not None:
            raise ProofFailed(
                f"the mask does not cover the clicked pixel ({x}, {y}) of {target.path}, and none did at the other "
                "pixels that were tried: the model is asked about another picture than Label Studio shows, or its "
                f"weights are damaged; {SAM2_LOG}"
            )
        notices.append(
            f"the way to the model and back works, but it found no object in {target.path} at the pixels that were "
            "tried; look at a few images before you rely on it"
        )
    if proof.iou is not None and proof.iou < GOOD_IOU:
        notices.append(f"the proof click's mask is rough: IoU {proof.iou:.2f}, {GOOD_IOU} or more is usual")
    return proof, notices


def _iou(reply: Reply, target: Target, click_xy: tuple[int, int]) -> float | None:
    if target.truth is None:
        return None
    x, y = click_xy
    where = f"{target.path} at ({x}, {y})"
    if reply.mask is None:
        raise ProofFailed(f"the model found nothing in {where}, where an object was drawn; {SAM2_LOG}")
    try:
        iou = intersection_over_union(reply.mask.mask, target.truth.mask())
    except (OSError, ValueError) as error:
        raise ProofFailed(f"the truth of {target.path} cannot be compared with its mask: {error}") from None
    if iou < BAD_IOU:
        raise ProofFailed(
            f"the mask is not the clicked object: IoU {iou:.2f} with the truth of {where}, at least {BAD_IOU} "
            f"expected; are the model's weights whole, and the right ones (model {reply.model_version})?"
        )
    if not reply.mask.mask[y, x]:
        raise ProofFailed(f"the mask does not cover the clicked pixel of {where}; {SAM2_LOG}")
    return iou
