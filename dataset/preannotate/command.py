"""From the command line of `./inv preannotate` to the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import LabelStudioError, SettingsError
from core.report import Report
from dataset.export.labeling import read_labeling
from dataset.image_lookup import ImageLookup, Place
from dataset.preannotate.boxes import Box, BoxFile, matched, with_labels
from dataset.preannotate.coco import read_coco
from dataset.preannotate.drawn import newest
from dataset.preannotate.work import Preannotation, TaskState, states, without_task
from dataset.preannotate.yolo import read_yolo
from infra.fleet.session import Session
from infra.roles.project.project import get_project
from labeling.config import LabelingConfig
from labeling.images import task_images
from labelstudio.image_files import path_in

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
    """

    project: str | None
    boxes: str
    labels: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    also_annotated: bool = False


def read_boxes(options: PreannotateOptions) -> BoxFile | None:
    """The boxes of a file or folder; None where they are drawn in Label Studio.

    Raises:
        SettingsError: it is neither, or something in it is wrong. Nothing was done.
    """
    if options.boxes in DRAWN:
        return None
    path = Path(options.boxes).expanduser()
    if path.is_dir():
        return read_yolo(path)
    if path.is_file():
        return read_coco(path)
    raise SettingsError(
        f"--boxes {options.boxes}: must be `annotations`, `predictions`, a COCO file or a YOLO folder; it is not there"
    )


def preannotate(session: Session, options: PreannotateOptions, file: BoxFile | None) -> str:
    """Make masks of boxes; returns what was done, for people.

    Raises:
        SettingsError: labels or images do not fit; nothing was done.
        LabelStudioError: some or all of it failed; the same command goes on from there.
    """
    spec, folder = session.spec(options.project)
    client = session.access.client()
    project = get_project(client, spec.title)
    labeling = read_labeling(project.label_config, f"the project {spec.title!r}")
    _check_image(options, labeling)
    with session.report.stage(f"preannotate {spec.title}"):
        tasks = {
            one.id: one for one in states(client, project, options.boxes if file is None else None, session.report)
        }
        if not tasks:
            raise LabelStudioError(f"{spec.title} has no tasks; `./inv project.sync` makes them")
        if file is None:
            boxes: Mapping[int, Sequence[Box]] = {
                task: found for task, one in tasks.items() if (found := newest(one.drawn, options.image))
            }
        else:
            boxes = _of_file(session.report, file, tasks, folder.name, options, labeling)
        if not boxes:
            raise LabelStudioError(f"{spec.title}: there are no boxes in {options.boxes} for any of its tasks")
        _check_labels(boxes, options, labeling)
        # Boxes that people drew are in annotations, which are there to be made masks of.
        also = options.also_annotated or options.boxes == "annotations"
        work = Preannotation(client, session.site.exec_in("sam2"), project, session.report, options.labels, also)
        return work.go(boxes, tasks).text()


def _check_image(options: PreannotateOptions, labeling: LabelingConfig) -> None:
    names = [one.name for one in labeling.images]
    if options.image is not None and options.image not in names:
        raise SettingsError(
            f"--image {options.image}: the labeling configuration has no such image (there are: {', '.join(names)})"
        )


def _of_file(
    report: Report,
    file: BoxFile,
    tasks: Mapping[int, TaskState],
    folder: str,
    options: PreannotateOptions,
    labeling: LabelingConfig,
) -> Mapping[int, Sequence[Box]]:
    lookup = ImageLookup()
    for task in tasks.values():
        for image in task_images(labeling.images, task.data):
            if image.item_index is None and options.image in (None, image.name):
                lookup.add(image.url, Place(task.id, image.name), path_in(folder, image.url))
    by_task, alone = matched(file, lookup)
    if alone:
        report.notice(without_task(alone, file.origin))
    return by_task


def _check_labels(boxes: Mapping[int, Sequence[Box]], options: PreannotateOptions, labeling: LabelingConfig) -> None:
    everything = (box for found in boxes.values() for box in found)
    with_labels(everything, options.labels, labeling.labels, options.boxes)
