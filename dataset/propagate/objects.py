"""The objects on an annotated frame: their masks, and which track each belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataset.export.labeling import UsedConfig
from dataset.export.regions import Region, read_results, region_of
from dataset.export.results import regions_in, with_ids
from dataset.propagate.sequences import Frame
from labeling.tracks import mask_digest, note_of, track_name
from masks.arrays import Mask
from masks.measure import same_object
from masks.rle import encode_rle

MASK_KINDS = ("brush", "bitmask", "polygon", "ellipse")
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


def annotated_frame(
    frame: Frame, place: int, results: Sequence[Result], predicted: Sequence[Result], config: UsedConfig, image: str
) -> tuple[AnnotatedFrame, list[str]]:
    """The objects of an annotation, and a sentence for each region that cannot be read.

    A region keeps the track that it was accepted with. One that was drawn anew where a propagated mask of its label
    lies is that object, corrected. Every other one begins a track.

    Args:
        results: of the annotation.
        predicted: of the newest propagated prediction of the task.
        image: the image tag.
    """
    notes = _tracks_of(results)
    objects: list[Tracked] = []
    problems: list[str] = []
    taken: set[str] = set()
    waiting: list[tuple[Region, Mask]] = []
    size_wh = (0, 0)
    for region in read_results(results, config).regions:
        if region.to_name != image or region.item_index is not None or region.kind not in MASK_KINDS:
            continue
        try:
            mask = region.mask()
        except ValueError as error:
            problems.append(f"{frame.name}: region {region.id} ({region.label}) cannot be read: {error}")
            continue
        if not mask.any():
            continue
        size_wh = region.size_wh
        track = notes.get(region.id)
        if track is None or track in taken:  # a copy of a region has the note of the first
            waiting.append((region, mask))
            continue
        taken.add(track)
        objects.append(_tracked(track, region, mask))
    offers = [one for one in _predicted(predicted, image) if one[0] not in taken]
    for region, mask in waiting:
        same = [(track, other) for track, labels, other in offers if track not in taken and labels == region.labels]
        track = same_object(mask, same) or track_name(frame.task, region.id)
        taken.add(track)
        objects.append(_tracked(track, region, mask))
    return AnnotatedFrame(frame, place, size_wh, tuple(objects)), problems


def _tracks_of(results: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    found = {}
    for one in results:
        note = note_of(one)
        if note is not None:
            found[str(one.get("id", ""))] = note.track
    return found


def _predicted(results: Sequence[Result], image: str) -> list[tuple[str, tuple[str, ...], Mask]]:
    tracks = _tracks_of(results)
    found = []
    for one in regions_in(with_ids(results)):
        if not one.shapes:
            continue
        region = region_of(one)
        if region.to_name == image and region.id in tracks and region.labels:
            try:
                found.append((tracks[region.id], region.labels, region.mask()))
            except ValueError:
                continue  # it is ours; a broken one is no evidence of anything
    return found


def _tracked(track: str, region: Region, mask: Mask) -> Tracked:
    return Tracked(track, region.id, region.labels, bytes(encode_rle(mask)))
