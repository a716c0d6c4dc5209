"""Boxes by image, whatever they came from; and how they find their tasks."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TypeVar

from core.errors import SettingsError
from core.text import some

Place = TypeVar("Place", bound=Hashable)


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


def matched(boxes: BoxFile, paths: Mapping[str, Place]) -> tuple[dict[Place, list[Box]], list[str]]:
    """The boxes by the place of their image (its task, or task and tag), and the images that no task has.

    An image is found by its whole path below the folder, else by the end of it, else by its name without ending (YOLO
    has none) if that is the name of one task only.

    Args:
        paths: the places, by the path of their image below the folder.

    Raises:
        SettingsError: a name fits several images.
    """
    by_place: dict[Place, list[Box]] = {}
    alone = []
    ends = _by_end(paths)
    for image, found in boxes.by_image.items():
        place = paths.get(image)
        if place is None:
            fitting = next((ends[end] for end in _ends(image) if end in ends), [])
            if len(fitting) > 1:
                raise SettingsError(
                    f"{boxes.origin}: the image {image} may be {some(fitting)}: give its path below the image folder"
                )
            place = paths[fitting[0]] if fitting else None
        if place is None:
            alone.append(image)
        else:
            by_place.setdefault(place, []).extend(found)
    return by_place, alone


def with_labels(boxes: Iterable[Box], names: Mapping[str, str], labels: Sequence[str], origin: str) -> None:
    """Look whether the configuration has every label, after renaming.

    Raises:
        SettingsError: lists those that it has not.
    """
    unknown = sorted({box.label for box in boxes if names.get(box.label, box.label) not in labels})
    if unknown:
        raise SettingsError(
            f"{origin}: the labeling configuration has no {', '.join(map(repr, unknown))} (there are: "
            f"{', '.join(labels)}); say what they are with --label THEIRS=OURS"
        )


def _ends(path: str) -> list[str]:
    """`a/b/c.png` -> itself, `b/c.png`, `c.png`, and the same without the ending."""
    parts = PurePosixPath(path).parts
    ends = ["/".join(parts[start:]) for start in range(len(parts))]
    return [*ends, *(str(PurePosixPath(end).with_suffix("")) for end in ends if end)]


def _by_end(paths: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in paths:
        for end in dict.fromkeys(_ends(path)):
            found.setdefault(end, []).append(path)
    return found
