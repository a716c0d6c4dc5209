"""From the command line of `./inv preannotate` to the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import LabelStudioError, SettingsError
from dataset.export.labeling import Labeling, read_labeling
from dataset.preannotate.boxes import Box, BoxFile, matched, with_labels
from dataset.preannotate.coco import read_coco
from dataset.preannotate.drawn import newest
from dataset.preannotate.work import Preannotation, TaskState, labels_of, states, without_task
from dataset.preannotate.yolo import read_yolo
from infra.fleet.session import Session
from infra.roles.project.project import get_project
from labelstudio.image_files import path_in

if TYPE_CHECKING:
    from labelstudio.models import Project

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
            boxes = _of_file(session, file, tasks, folder.name, options, labeling)
        if not boxes:
            raise LabelStudioError(f"{spec.title}: there are no boxes in {options.boxes} for any of its tasks")
        _check_labels(boxes, options, project)
        # Boxes that people drew are in annotations, which are there to be made masks of.
        also = options.also_annotated or options.boxes == "annotations"
        work = Preannotation(client, session.site.exec_in("sam2"), project, session.report, options.labels, also)
        return work.go(boxes, tasks).text()


def _check_image(options: PreannotateOptions, labeling: Labeling) -> None:
    names = [one.name for one in labeling.images]
    if options.image is not None and options.image not in names:
        raise SettingsError(
            f"--image {options.image}: the labeling configuration has no such image (there are: {', '.join(names)})"
        )


def _of_file(
    session: Session,
    file: BoxFile,
    tasks: Mapping[int, TaskState],
    folder: str,
    options: PreannotateOptions,
    labeling: Labeling,
) -> Mapping[int, Sequence[Box]]:
    paths: dict[str, tuple[int, str]] = {}
    for one in tasks.values():
        for tag in labeling.images:
            urls = labeling.urls(tag, one.data)
            path = path_in(folder, urls[0]) if len(urls) == 1 and options.image in (None, tag.name) else None
            if path is not None:
                paths.setdefault(path, (one.id, tag.name))
    by_place, alone = matched(file, paths)
    if alone:
        session.report.notice(without_task(alone, file.origin))
    boxes: dict[int, list[Box]] = {}
    for (task, image), found in by_place.items():
        boxes.setdefault(task, []).extend(replace(box, image=image) for box in found)
    return boxes


def _check_labels(boxes: Mapping[int, Sequence[Box]], options: PreannotateOptions, project: Project) -> None:
    everything = (box for found in boxes.values() for box in found)
    with_labels(everything, options.labels, labels_of(project), options.boxes)
