"""The objects of an annotation that are followed through a sequence: their masks, labels, and the track of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backend.labelstudio import regions
from backend.labelstudio.protocol import ContextRegion
from backend.labelstudio.region_masks import BITMASKS, Mask, mask_of
from labeling.tracks import note_of, track_name
from masks.measure import same_object
from masks.rle import encode_rle

SHAPES = (*regions.BRUSHES, *BITMASKS, *regions.POLYGONS, *regions.ELLIPSES)


@dataclass(frozen=True)
class Given:
    """One object: its track, its region's id, labels and kind, and its mask in Label Studio's run-length code."""

    track: str
    region_id: str
    labels: tuple[str, ...]
    kind: str
    code: bytes


def given_in(task: str, entries: Sequence[ContextRegion], predicted: Sequence[ContextRegion]) -> list[Given]:
    """The objects of one image.

    A region keeps the track that it was accepted with. One that was drawn anew where a propagated mask of its labels
    lies is that object, corrected. Every other one begins a track.

    Args:
        task: its id.
        predicted: the propagated masks that the image had before.

    Raises:
        BadRequest: a mask cannot be read.
    """
    found: dict[str, Given] = {}
    labels, waiting = _labels(entries), list[tuple[str, ContextRegion, Mask]]()
    for region_id, one in _shaped(entries):
        mask = mask_of(one)
        if not mask.any():
            continue
        track = _track(one)
        if track is None or track in found:  # a copy of a region has the note of the first
            waiting.append((region_id, one, mask))
        else:
            found[track] = Given(track, region_id, labels[region_id], one.type, bytes(encode_rle(mask)))
    names = _labels(predicted)
    offers = [
        (track, names[region_id], mask_of(one))
        for region_id, one in (_shaped(predicted) if waiting else ())
        if (track := _track(one)) is not None
    ]
    for region_id, one, mask in waiting:
        same = [(track, other) for track, named, other in offers if track not in found and named == labels[region_id]]
        track = same_object(mask, same) or track_name(task, region_id)
        found[track] = Given(track, region_id, labels[region_id], one.type, bytes(encode_rle(mask)))
    return list(found.values())


def _track(region: ContextRegion) -> str | None:
    note = note_of({"meta": region.meta})
    return None if note is None else note.track


def _shaped(entries: Sequence[ContextRegion]) -> Iterator[tuple[str, ContextRegion]]:
    """Each region once: with a palette, the editor writes its shape into both of its results."""
    shaped = {one.id: one for one in entries if one.type in SHAPES and one.id is not None}
    yield from ((str(region_id), one) for region_id, one in shaped.items())


def _labels(entries: Sequence[ContextRegion]) -> dict[str, tuple[str, ...]]:
    """The labels of each region: with a palette they stand in an entry of their own."""
    found: dict[str, tuple[str, ...]] = {}
    for one in entries:
        if one.id is not None:
            found[one.id] = found.get(one.id) or one.value.all_labels
    return found
