"""Which track each region of an annotation is of: one rule for exports, figures and `./inv propagate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dataset.export.regions import Region, region_of
from dataset.export.results import regions_in, with_ids
from labeling.tracks import MODEL_VERSION, OUT_OF, note_of, track_name
from labelstudio.bulk import TaskReader, tasks_with_result
from masks.measure import same_object

if TYPE_CHECKING:
    from labelstudio.bulk import Prediction, WholeTask
    from labelstudio.client import Client
    from masks.arrays import Mask

FOLLOWED = ("brush", "bitmask", "polygon", "ellipse")  # the kinds of regions that are followed through a sequence
Result = dict[str, Any]
Place = tuple[str, int]  # an image tag, and which one of a list of images


@dataclass(frozen=True)
class _Offer:
    """A propagated mask, whose track a region may have; it is decoded once, and only if one asks for it."""

    region: Region

    @cached_property
    def mask(self) -> Mask | None:
        return _mask_of(self.region)


def propagated(task: WholeTask) -> list[Prediction]:
    """The propagated predictions of a task, the newest last."""
    return [one for one in task.predictions if one.model_version == MODEL_VERSION]


def has_notes(client: Client, project_id: int) -> bool:
    """Whether a mask in an annotation says which track it is of; what `M` in the page gives is no prediction."""
    reader = TaskReader(client, project_id)
    # Only the text of a whole note is one: the part that Label Studio finds may be in an answer of a person's.
    tasks = (task for number in tasks_with_result(client, project_id, OUT_OF) for task in reader.read([number]))
    return any(note_of(one) for task in tasks for drawn in task.annotations for one in drawn.results)


def drawn_regions(results: Sequence[Result]) -> list[Region]:
    """All regions that results draw, whatever they are, each with the track of its note."""
    return [region_of(one) for one in regions_in(with_ids(results)) if one.shapes]


def with_tracks(task: int, regions: Sequence[Region], predicted: Sequence[Result]) -> list[Region]:
    """The regions of one annotation in the same order, each with the name of its track.

    A region keeps the track that it was accepted with; a copy of it is another object. One that was drawn anew where a
    propagated mask of its labels lies is that object, corrected. Every other one begins a track.

    Args:
        task: its id.
        regions: as `read_results` gives them, each with the track of its note, if it has one.
        predicted: the results of the newest propagated prediction of the task.
    """
    noted = {(_place(one), one.track) for one in regions if one.track}
    if len(noted) == len(regions):  # no region waits for a track, so that no mask must be looked at
        return list(regions)
    found: dict[int, str] = {}
    taken = set[tuple[Place, str]]()
    for number, region in enumerate(regions):
        key = (_place(region), region.track)
        if region.track and key not in taken and _mask_of(region) is not None:
            taken.add(key)
            found[number] = region.track
    offers = [_Offer(one) for one in drawn_regions(predicted) if one.track and one.labels]
    for number, region in enumerate(regions):
        if number not in found:
            found[number] = _redrawn(region, offers, taken) or track_name(task, region.id)
            taken.add((_place(region), found[number]))
    return [replace(region, track=found[number]) for number, region in enumerate(regions)]


def _redrawn(region: Region, offers: Sequence[_Offer], taken: set[tuple[Place, str]]) -> str | None:
    """The track of the propagated mask that a region was drawn over."""
    place = _place(region)
    free = [one for one in offers if _place(one.region) == place and (place, one.region.track) not in taken]
    same = [one for one in free if one.region.labels == region.labels]
    mask = _mask_of(region) if same and region.kind in FOLLOWED else None
    if mask is None:
        return None
    return same_object(mask, ((one.region.track, one.mask) for one in same if one.mask is not None))


def _place(region: Region) -> Place:
    return region.to_name, region.item_index or 0


def _mask_of(region: Region) -> Mask | None:
    """None where it is empty or cannot be read, which its reader tells; it is no evidence of anything."""
    try:
        mask = region.mask()
    except (ValueError, MemoryError):
        return None
    return mask if mask.any() else None
