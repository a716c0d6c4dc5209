"""Boxes by image, whatever they came from; and how they find their tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.errors import SettingsError
from dataset.image_lookup import ImageLookup
from dataset.label_names import label_names, quoted
from dataset.locating import Wanted, elsewhere_notice, locate_all


@dataclass(frozen=True)
class Box:
    """A corner and sides in percent of the image; `rotation` in degrees about the corner, clockwise.

    `image` is the image tag that it is on; the task's first one if None. `of_wh` is the image's width and height as the
    file says them; None where it says none.
    """

    label: str
    x: float
    y: float
    width: float
    height: float
    rotation: float = 0.0
    image: str | None = None
    of_wh: tuple[int, int] | None = None

    def as_json(self) -> dict[str, object]:
        """As the backend's `/boxes` takes it."""
        values: dict[str, object] = {"label": self.label, "x": self.x, "y": self.y}
        return {**values, "width": self.width, "height": self.height, "rotation": self.rotation}


@dataclass
class BoxFile:
    """The boxes of a file or folder, by the image's name as it stands there.

    Attributes:
        origin: the file or folder, for messages.
        by_image: the boxes of each image.
        other_names: what else an image may be called, where it may.
        notices: what people must know about the file.
        broken: boxes that were left out with `--skip-broken`.
    """

    origin: str
    by_image: dict[str, list[Box]] = field(default_factory=dict)
    other_names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


@dataclass
class Matched:
    """The boxes by task, each on its image tag, the images that no task has, and what to say of the others."""

    by_task: dict[int, list[Box]] = field(default_factory=dict)
    alone: list[str] = field(default_factory=list)
    notice: str = ""


def matched(file: BoxFile, lookup: ImageLookup) -> Matched:
    """Find the image of each box.

    Raises:
        SettingsError: see `locate_all`.
    """
    result = Matched()
    wanted = [Wanted((name, *file.other_names.get(name, ()))) for name in file.by_image]
    found = locate_all(wanted, lookup, file.origin, any_suffix=True)
    for (name, boxes), mine in zip(file.by_image.items(), found, strict=True):
        if mine is None:
            result.alone.append(name)
        else:
            placed = (replace(box, image=mine.place.to_name) for box in boxes)
            result.by_task.setdefault(mine.place.task, []).extend(placed)
    result.notice = elsewhere_notice(wanted, found)
    return result


def with_labels(boxes: Iterable[Box], names: Mapping[str, str], labels: Sequence[str], origin: str) -> dict[str, str]:
    """What the labels of boxes are called in the project.

    Raises:
        SettingsError: lists those that it does not have, after renaming.
    """
    theirs = dict.fromkeys(box.label for box in boxes)
    found = label_names(theirs, labels, names)
    unknown = sorted(label for label in theirs if found.get(label, label) not in labels)
    if unknown:
        raise SettingsError(
            f"{origin}: the labeling configuration has no {', '.join(map(quoted, unknown))} (there are: "
            f"{', '.join(labels)}); say what they are with --label THEIRS=OURS"
        )
    return found
