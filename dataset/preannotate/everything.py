"""`./inv preannotate --everything`: all objects of each image, found by SAM2 without any box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.errors import SettingsError
from dataset.label_names import quoted
from dataset.preannotate.project import open_project
from dataset.preannotate.work import Ask, Preannotation, TaskState
from infra.fleet.session import Session
from labeling.config import MASK_SHAPES, LabelingConfig
from labeling.images import task_images


@dataclass(frozen=True)
class EverythingOptions:
    """The options of the command line.

    Attributes:
        project: its key in `projects.yaml` or its title; None means the default one.
        label: what the objects are called; None: they get no label.
        image: only the images of this tag.
        also_annotated: see `Preannotation`.
    """

    project: str | None
    label: str | None = None
    image: str | None = None
    also_annotated: bool = False

    @classmethod
    def of(
        cls, project: str | None, labels: Sequence[str], image: str | None, *, also_annotated: bool
    ) -> EverythingOptions:
        """From the command line, where `--label` may be given several times.

        Raises:
            SettingsError: there is more than one label, or one for boxes.
        """
        if len(labels) > 1 or any("=" in one for one in labels):
            raise SettingsError(f"--label {labels[-1]}: with --everything it is one label of the project")
        return cls(project, labels[0] if labels else None, image, also_annotated)


def preannotate_everything(session: Session, options: EverythingOptions) -> str:
    """Make masks of all objects; returns what was done, for people.

    Raises:
        SettingsError: the configuration has no such label or image, or takes no mask without a label; nothing was done.
        LabelStudioError: some or all of it failed; the same command goes on from there.
    """
    opened = open_project(session, options.project, options.image)
    with session.report.stage(f"preannotate {opened.title}"):
        tasks = opened.tasks(session, None)
        asks = asks_of(tasks, opened.labeling, options)
        run, report = session.site.exec_in_backend, session.report
        work = Preannotation(opened.client, run, opened.project, report, also_annotated=options.also_annotated)
        return work.ask("/everything", asks, tasks).text()


def asks_of(
    tasks: Mapping[int, TaskState], labeling: LabelingConfig, options: EverythingOptions
) -> dict[int, list[Ask]]:
    """What to ask about the images of each task.

    Raises:
        SettingsError: see `preannotate_everything`.
    """
    label = {} if options.label is None else {"label": options.label}
    asks: dict[int, list[Ask]] = {}
    for task in tasks.values():
        config = labeling.for_data(task.data)
        for place in task_images(config.images, task.data):
            if options.image not in (None, place.name):
                continue
            _check_label(options.label, place.name, config)
            index = {} if place.item_index is None else {"item_index": place.item_index}
            asks.setdefault(task.id, []).append(Ask(place.name, 0, {**index, **label}))
    return asks


def _check_label(label: str | None, image: str, config: LabelingConfig) -> None:
    """
    Raises:
        SettingsError: masks on this image cannot be called so.
    """
    there = f"(there are: {', '.join(config.labels)})"
    if label is not None:
        if not config.offers_mask(label, image):
            raise SettingsError(
                f"--label: the labeling configuration has no {quoted(label)} for masks on the image {image!r} {there}"
            )
        return
    split = any(config.of_kind(kind, image) for kind in MASK_SHAPES)
    if not split and not any(
        tag.allows_empty for kind in MASK_SHAPES for tag in config.of_kind(f"{kind}labels", image)
    ):
        raise SettingsError(f"--everything: masks on the image {image!r} must have a label; say which: --label {there}")
