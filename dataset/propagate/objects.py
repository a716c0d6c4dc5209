"""The objects on an annotated frame: their masks, and which track each belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dataset.export.labeling import UsedConfig
from dataset.export.regions import Region, read_results
from dataset.export.tracks import FOLLOWED, with_tracks
from dataset.propagate.sequences import Frame
from labeling.tracks import mask_digest
from masks.rle import encode_rle

Result = dict[str, Any]


@dataclass(frozen=True)
class Tracked:
    """One object on an annotated frame.

    Attributes:
        track: its track's name.
        region_id: of the region in the annotation.
        labels: those of the region.
        code: its mask in Label Studio's run-length code, of the image's size.
    """

    track: str
    region_id: str
    labels: tuple[str, ...]
    code: bytes

    @property
    def digest(self) -> str:
        """Of the mask."""
        return mask_digest(self.code)

    def is_called(self, names: frozenset[str]) -> bool:
        """Whether its region, its track or one of its labels is among the names."""
        return not names.isdisjoint({self.track, self.region_id, *self.labels})


@dataclass(frozen=True)
class AnnotatedFrame:
    """A frame that people have annotated, and its place in the sequence."""

    frame: Frame
    place: int
    size_wh: tuple[int, int]
    objects: tuple[Tracked, ...]

    @property
    def tracks(self) -> frozenset[str]:
        """Of its objects."""
        return frozenset(one.track for one in self.objects)


def annotated_frame(
    frame: Frame, place: int, results: Sequence[Result], predicted: Sequence[Result], config: UsedConfig, image: str
) -> tuple[AnnotatedFrame, list[str]]:
    """The objects of an annotation, and a sentence for each region that cannot be read.

    Args:
        results: of the annotation.
        predicted: of the newest propagated prediction of the task.
        image: the image tag.
    """
    objects: list[Tracked] = []
    problems: list[str] = []
    size_wh = (0, 0)
    for region in with_tracks(frame.task, _followed(results, config, image), predicted):
        try:
            mask = region.mask()
        except ValueError as error:
            problems.append(f"{frame.name}: region {region.id} ({region.label}) cannot be read: {error}")
            continue
        if mask.any():
            size_wh = region.size_wh
            objects.append(Tracked(region.track, region.id, region.labels, bytes(encode_rle(mask))))
    return AnnotatedFrame(frame, place, size_wh, tuple(objects)), problems


def _followed(results: Sequence[Result], config: UsedConfig, image: str) -> list[Region]:
    found = [one for one in read_results(results, config).regions if one.to_name == image and one.item_index is None]
    return [one for one in found if one.kind in FOLLOWED]
