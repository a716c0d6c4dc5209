"""From the command line of `./inv preannotate` to the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import LabelStudioError, SettingsError
from core.report import Report
from core.text import some
from dataset.image_lookup import ImageLookup
from dataset.label_names import respelled
from dataset.preannotate.boxes import Box, BoxFile, matched, with_labels
from dataset.preannotate.coco import read_coco
from dataset.preannotate.drawn import newest
from dataset.preannotate.project import open_project
from dataset.preannotate.work import Preannotation, TaskState, without_task
from dataset.preannotate.yolo import read_yolo
from dataset.problems import FileProblems
from infra.fleet.session import Session
from labeling.config import LabelingConfig
from labeling.images import task_images

DRAWN = ("annotations", "predictions")


@dataclass(frozen=True)
class PreannotateOptions:
    """The options of the command line.

    Attributes:
        project: its key in `projects.yaml` or its title; None means the default one.
        boxes: `annotations`, `predictions`, or the path of a COCO file or YOLO folder on this machine.
        labels: what the boxes' labels are called in the project.
        image: only boxes on the images of this tag; None takes each box on the image that it is of.
        also_annotated: see `Preannotation`.
        skip_broken: leave out boxes that cannot be read, instead of refusing them all.
    """

    project: str | None
    boxes: str
    labels: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    also_annotated: bool = False
    skip_broken: bool = False


def read_boxes(options: PreannotateOptions) -> BoxFile | None:
    """The boxes of a file or folder; None where they are drawn in Label Studio.

    Raises:
        SettingsError: it is neither, or something in it is wrong. Nothing was done.
    """
    if options.boxes in DRAWN:
        return None
    path = Path(options.boxes).expanduser()
    if path.is_dir():
        return read_yolo(path, skip_broken=options.skip_broken)
    if path.is_file():
        return read_coco(path, skip_broken=options.skip_broken)
    raise SettingsError(
        f"--boxes {options.boxes}: must be `annotations`, `predictions`, a COCO file or a YOLO folder; it is not there"
    )


def preannotate(session: Session, options: PreannotateOptions, file: BoxFile | None) -> str:
    """Make masks of boxes; returns what was done, for people.

    Raises:
        SettingsError: labels or images do not fit; nothing was done.
        LabelStudioError: some or all of it failed; the same command goes on from there.
    """
    opened = open_project(session, options.project, options.image)
    labeling = opened.labeling
    with session.report.stage(f"preannotate {opened.title}"):
        tasks = opened.tasks(session, options.boxes if file is None else None)
        if file is None:
            boxes = _drawn(session.report, tasks, options, opened.title)
        else:
            boxes = _of_file(session.report, file, tasks, options, labeling)
        if not boxes:
            raise LabelStudioError(f"{opened.title}: there are no boxes in {options.boxes} for any of its tasks")
        names = _labels(session.report, boxes, options, labeling)
        # Boxes that people drew are in annotations, which are there to be made masks of.
        also = options.also_annotated or options.boxes == "annotations"
        work = Preannotation(opened.client, session.site.exec_in_backend, opened.project, session.report, names, also)
        return work.go(boxes, tasks).text()


def _drawn(
    report: Report, tasks: Mapping[int, TaskState], options: PreannotateOptions, title: str
) -> Mapping[int, Sequence[Box]]:
    heading = f"{title}: its {options.boxes} hold boxes that cannot be read; nothing was done"
    problems = FileProblems(heading, skip_broken=options.skip_broken)
    boxes = {}
    for task, one in tasks.items():
        found = newest(one.drawn, options.image)
        if found.boxes:
            boxes[task] = found.boxes
        for text in found.broken:
            problems.region(f"task {task}: {text}")
    problems.check()
    if problems.broken:
        report.notice(_left_out(title, problems.broken))
    return boxes


def _left_out(origin: str, broken: Sequence[str]) -> str:
    return f"{origin}: {len(broken)} broken boxes are left out ({some(list(broken))})"


def _of_file(
    report: Report,
    file: BoxFile,
    tasks: Mapping[int, TaskState],
    options: PreannotateOptions,
    labeling: LabelingConfig,
) -> Mapping[int, Sequence[Box]]:
    lookup = ImageLookup()
    for task in tasks.values():
        shown = [one for one in task_images(labeling.for_data(task.data).images, task.data) if one.item_index is None]
        lookup.add_images(task.id, shown, options.image)
    found = matched(file, lookup)
    notices = [*file.notices, found.notice]
    if file.broken:
        notices.append(_left_out(file.origin, file.broken))
    if found.alone:
        notices.append(without_task(found.alone, file.origin))
    for notice in filter(None, notices):
        report.notice(notice)
    return found.by_task


def _labels(
    report: Report, boxes: Mapping[int, Sequence[Box]], options: PreannotateOptions, labeling: LabelingConfig
) -> Mapping[str, str]:
    everything = (box for found in boxes.values() for box in found)
    names = with_labels(everything, options.labels, labeling.labels, options.boxes)
    if notice := respelled(names):
        report.notice(notice)
    return names
