"""Boxes by image, whatever they came from; and how they find their tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.errors import SettingsError
from core.text import some
from dataset.image_lookup import Ambiguous, ImageLookup


@dataclass(frozen=True)
class Box:
    """A corner and sides in percent of the image; `rotation` in degrees about the corner, clockwise.

    `image` is the image tag that it is on; the task's first one if None.
    """

    label: str
    x: float
    y: float
    width: float
    height: float
    rotation: float = 0.0
    image: str | None = None

    def as_json(self) -> dict[str, object]:
        """As the backend's `/boxes` takes it."""
        values: dict[str, object] = {"label": self.label, "x": self.x, "y": self.y}
        return {**values, "width": self.width, "height": self.height, "rotation": self.rotation}


@dataclass
class BoxFile:
    """The boxes of a file or folder, by the image's name as it stands there."""

    origin: str
    by_image: dict[str, list[Box]] = field(default_factory=dict)


def matched(file: BoxFile, lookup: ImageLookup) -> tuple[dict[int, list[Box]], list[str]]:
    """The boxes by task, each on its image tag, and the images that no task has.

    Raises:
        SettingsError: a name fits several images.
    """
    by_task: dict[int, list[Box]] = {}
    alone = []
    for image, boxes in file.by_image.items():
        try:
            place = lookup.find(image, any_suffix=True)
        except Ambiguous as error:
            raise SettingsError(
                f"{file.origin}: the image {image} may be {some(error.names)}: give its path below the image folder"
            ) from None
        if place is None:
            alone.append(image)
        else:
            by_task.setdefault(place.task, []).extend(replace(box, image=place.to_name) for box in boxes)
    return by_task, alone


def with_labels(boxes: Iterable[Box], names: Mapping[str, str], labels: Sequence[str], origin: str) -> None:
    """Check that the configuration has every label, after renaming.

    Raises:
        SettingsError: lists those that are missing.
    """
    unknown = sorted({box.label for box in boxes if names.get(box.label, box.label) not in labels})
    if unknown:
        raise SettingsError(
            f"{origin}: the labeling configuration has no {', '.join(map(repr, unknown))} (there are: "
            f"{', '.join(labels)}); say what they are with --label THEIRS=OURS"
        )
