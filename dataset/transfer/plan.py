"""What a run inside Label Studio will carry over, found before anything is stored: an annotation that lacks some of its
masks looks like one that is complete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from core.errors import SettingsError
from core.text import bulleted
from dataset.export.regions import Region, read_results
from dataset.export.selection import Selection
from dataset.importing.source import renamed
from dataset.importing.target import NoTag, way_of
from dataset.label_names import label_names, quoted
from dataset.pair_sides import NoTwin, ProjectSides, TwinLookup
from labelstudio.bulk import WholeTask
from labelstudio.label_use import Rename

SHOWN = 20


@dataclass
class Plan:
    """The run.

    Attributes:
        pictures: for each task of the twins, how many pictures lead to it: all of a list are stored at once.
        left_out: masks by label, where `--label LABEL=` leaves them out.
    """

    pictures: Counter[int] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def notes(self) -> list[str]:
        """What people must know."""
        return [
            f"{number} masks with the label {quoted(label)} are left out, as --label says"
            for label, number in self.left_out.items()
        ]


def plan_of(
    tasks: Iterable[WholeTask],
    sides: ProjectSides,
    selection: Selection,
    twins: TwinLookup,
    labels: Mapping[str, str],
    is_left: Callable[[int], bool],
) -> Plan:
    """Look at all masks that will be carried over.

    Args:
        tasks: of the source project.
        labels: theirs to ours; empty where they are left out.
        is_left: whether a task of the twins gets nothing.

    Raises:
        SettingsError: no tag of the twins takes some of the labels; names them all.
    """
    plan, missing = Plan(), Counter[str]()
    labeling = sides.target_config.labeling
    for task in tasks:
        chosen = selection.annotations(task.annotations)
        if not chosen:
            continue
        reading = read_results(chosen[0].results, sides.source_config.for_data(task.data))
        for image in twins.images_of(task.data):
            try:
                twin = twins.find(task.id, task.data, image)
            except NoTwin:
                continue
            plan.pictures[twin.task] += 1
            if is_left(twin.task):
                continue
            for region in reading.regions:
                if not is_on(region, image.name, image.item_index):
                    continue
                ours = labels_on_twin(region, sides, labels)
                if ours is None:
                    plan.left_out[region.label] += 1
                    continue
                try:
                    way_of("brush", ours, twin.to_name, labeling)
                except NoTag:
                    missing[region.label] += 1
    if missing:
        lines = [f"{quoted(label)} ({number} masks): --label {label}=NAME" for label, number in missing.items()]
        raise SettingsError(
            f"the image {sides.target_image!r} of the project {sides.target.title!r} has no tag for these labels, "
            "nothing was stored; say what they are called there, or leave their masks out with --label LABEL=\n"
            f"{bulleted(lines, SHOWN)}"
        )
    return plan


def labels_on_twin(region: Region, sides: ProjectSides, labels: Mapping[str, str]) -> tuple[str, ...] | None:
    """What a region's labels are called on the twin; None where it is left out."""
    ours = renamed(region.labels, label_names(region.labels, sides.target_config.labeling.labels, labels))
    kept = tuple(filter(None, ours))
    return kept if kept or not region.labels else None


def is_on(region: Region, to_name: str, item_index: int | None) -> bool:
    """Whether a region lies on this image of its task."""
    return (region.to_name, region.item_index or 0) == (to_name, item_index or 0)


def given_labels(texts: Iterable[str]) -> dict[str, str]:
    """The options `--label THEIRS=OURS`, and `--label THEIRS=`, which leaves masks out.

    Raises:
        SettingsError: one is neither.
    """
    found: dict[str, str] = {}
    for text in texts:
        theirs, separator, ours = (part.strip() for part in text.partition("="))
        if theirs and separator and not ours:
            found[theirs] = ""
        else:
            one = Rename.parse(text, "--label")
            found[one.old] = one.new
    return found
