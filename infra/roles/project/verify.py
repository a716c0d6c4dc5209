"""The proof: one click through Label Studio's own API that comes back as a mask. Step 7 of `./inv up`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from core.errors import LabelStudioError, ProofFailed
from core.report import Report
from hosts.looking import is_file
from infra.roles.project.ml_backend import same_url
from infra.roles.project.project import get_project
from infra.roles.project.role import ProjectContext
from labelstudio.config import ProjectSpec
from labelstudio.image_files import path_in
from labelstudio.models import Backend, TaskRef
from labelstudio.prompts import Region, box_regions, click_regions
from labelstudio.proof import SAM2_LOG, Reply, SmokeTest, Target, judge, read_reply
from labelstudio.truth import truth_of

if TYPE_CHECKING:
    from labelstudio.client import Client

__all__ = ["SmokeTest", "verify"]

# Where to try in a person's own image, as shares of width and height: the middle first.
OWN_CLICKS = (
    *((0.5, 0.5), (0.3, 0.3), (0.7, 0.3), (0.3, 0.7), (0.7, 0.7)),
    *((0.5, 0.3), (0.5, 0.7), (0.3, 0.5), (0.7, 0.5)),
)
OWN_IMAGES = 3  # so many are tried: the first may be blank, or damaged


@dataclass(frozen=True)
class Answered:
    """A click and what came back."""

    target: Target
    click_xy: tuple[int, int]
    reply: Reply

    @property
    def is_hit(self) -> bool:
        """The mask covers what was clicked."""
        return self.reply.covers(self.target, self.click_xy)


def verify(spec: ProjectSpec, ctx: ProjectContext, report: Report) -> SmokeTest:
    """Click on a real task, as the editor would, and judge what comes back.

    Demo images: an object of which the truth is known; an IoU below 0.5 fails, below 0.75 is noted. A person's own
    images: the middle of the first one, then other pixels, then of the next images, until a mask covers what was
    clicked; see `judge` for what it means where none does.

    Raises:
        ProofFailed: names the link that is likely broken.
        LabelStudioError: Label Studio could not be asked.
    """
    client = ctx.access.client()
    project = get_project(client, spec.title)
    backend = _backend(client, project.id, ctx.backend_url)
    answered = _best(_clicks(client, project.id, backend.id, spec, ctx, report))
    proof, notices = judge(answered.reply, answered.target, answered.click_xy)
    for notice in notices:
        report.notice(notice)
    return proof


def _clicks(
    client: Client, project_id: int, backend_id: int, spec: ProjectSpec, ctx: ProjectContext, report: Report
) -> Iterator[Answered]:
    for target in targets(client, project_id, spec, ctx, report):
        for click_xy in target.clicks:
            report.progress(f"clicking on {target.path} at {click_xy}")
            answer = client.click(backend_id, target.task.id, prompt_of(spec, target, click_xy))
            yield Answered(target, click_xy, read_reply(answer, target, spec))


def _best(clicks: Iterator[Answered]) -> Answered:
    """The first that hits; else the last with a mask; else the last."""
    tried: list[Answered] = []
    for one in clicks:
        if one.is_hit:
            return one
        tried.append(one)
    return next((one for one in reversed(tried) if one.reply.mask is not None), tried[-1])


def _backend(client: Client, project_id: int, url: str) -> Backend:
    ours = [one for one in client.backends(project_id) if same_url(one.url, url)]
    if not ours:
        raise ProofFailed(f"the project has no ML backend {url}; run `./inv up` to connect it")
    if not ours[0].connected:
        raise ProofFailed(
            f"Label Studio cannot reach the ML backend {url} (state {ours[0].state}): {ours[0].error}; {SAM2_LOG}"
        )
    return ours[0]


def targets(
    client: Client, project_id: int, spec: ProjectSpec, ctx: ProjectContext, report: Report
) -> Iterator[Target]:
    """What to click, one after the other; at least one.

    Raises:
        ProofFailed: there is no task to click on, or no image of those that were tried can be read.
    """
    number = noted = 0
    unreadable: list[ProofFailed] = []
    for task in client.tasks(project_id, spec.labeling.images[0]):
        path = path_in(ctx.folder.name, task.image)
        if path is None or not _is_there(ctx, path):
            continue
        if ctx.truth is not None:
            objects = truth_of(ctx.truth, PurePosixPath(path).name)
            if not objects:
                continue
            one = objects[0]
            label = one.label if one.label in spec.labeling.labels else spec.labeling.labels[0]
            yield Target(task, path, size_of(client, task), label, (one.click_xy,), one, reach_of(spec, None))
            return
        number += 1
        try:
            width, height = size_wh = size_of(client, task)
        except ProofFailed as error:
            unreadable.append(error)
        else:
            for problem in unreadable[noted:]:
                report.notice(str(problem))
            noted = len(unreadable)
            clicks = tuple((int(x * width), int(y * height)) for x, y in OWN_CLICKS)
            yield Target(task, path, size_wh, spec.labeling.labels[0], clicks, None, reach_of(spec, size_wh))
        if number == OWN_IMAGES:
            break
    if unreadable and len(unreadable) == number:
        raise unreadable[0]
    if not number:
        raise ProofFailed(
            f"the project has no task with an image of {ctx.folder.path} to click on; run `./inv up` to sync the folder"
        )


def _is_there(ctx: ProjectContext, path: str) -> bool:
    """Whether the task still has its image: a file that was deleted is no broken link."""
    return is_file(ctx.host, f"{ctx.folder.path}/{path}")


def size_of(client: Client, task: TaskRef) -> tuple[int, int]:
    """Width and height as the browser shows the image."""
    from masks.pictures import PictureError, opened, upright_size

    try:
        content = client.download(task.image)
    except LabelStudioError as error:
        raise ProofFailed(
            f"Label Studio does not serve the image of task {task.id}: {error}; is the image folder mounted and "
            "readable in the label-studio container, and local file serving switched on?"
        ) from None
    try:
        with opened(io.BytesIO(content)) as picture:
            return upright_size(picture)
    except PictureError as error:
        raise ProofFailed(f"the image of task {task.id} ({task.image}) is no readable image: {error}") from None


def prompt_of(spec: ProjectSpec, target: Target, click_xy: tuple[int, int]) -> list[Region]:
    """What the editor would send for a click at this pixel."""
    if spec.labeling.point is not None:
        return click_regions(spec.labeling, target.label, click_xy, target.size_wh)
    if target.truth is not None:
        return box_regions(spec.labeling, target.label, target.truth.box_xyxy, target.size_wh)
    (x, y), (wide, high) = click_xy, target.reach_wh
    return box_regions(spec.labeling, target.label, (x - wide, y - high, x + wide, y + high), target.size_wh)


def reach_of(spec: ProjectSpec, size_wh: tuple[int, int] | None) -> tuple[int, int]:
    """See `Target`; without a point tool a box is drawn around the pixel."""
    if spec.labeling.point is not None or size_wh is None:
        return (0, 0)
    return (size_wh[0] // 8, size_wh[1] // 8)
