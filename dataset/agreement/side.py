"""One of the two that are compared: images by name, each with its masks as somebody or something drew them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from masks.arrays import Mask


@dataclass(frozen=True)
class Drawn:
    """One object: `mask` is ``(H, W)`` bool, `region` its id; `label` has no spaces around it. Both may be empty."""

    label: str
    mask: Mask
    region: str = ""


@dataclass(frozen=True)
class ImageMasks:
    """What is on one image, in drawing order: what comes later lies above.

    Attributes:
        size_wh: of the image in pixels; None where nothing on it tells.
        unreadable: how many regions could not be read as masks.
    """

    drawn: Sequence[Drawn]
    size_wh: tuple[int, int] | None
    unreadable: int = 0


@dataclass
class SideNotes:
    """What people must know about a side before they trust its figures."""

    lines: list[str] = field(default_factory=list)


class Side(Protocol):
    """Annotated images. `has_objects` is False where only classes are known, and not which pixels are one object."""

    name: str
    has_objects: bool
    notes: SideNotes

    @property
    def images(self) -> Sequence[str]:
        """The path or name of each image that is annotated; one that has an annotation without masks is."""

    def read(self, image: str) -> ImageMasks:
        """The masks of one of `images`.

        Raises:
            SettingsError: it cannot be read.
        """

    def close(self) -> None:
        """Remove temporary files."""
