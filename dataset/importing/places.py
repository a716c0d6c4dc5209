"""Where the images of a file are in a project."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dataset.export.labeling import UsedConfig
from dataset.image_lookup import Found, ImageLookup
from dataset.importing.source import Entry, Placed
from dataset.locating import Wanted, elsewhere_notice, locate_all
from labelstudio.bulk import task_rows

if TYPE_CHECKING:
    from labelstudio.client import Client


@dataclass
class Places:
    """The images of a file by task, those that no task shows, and what to say of how they were found."""

    by_task: dict[int, list[Placed]] = field(default_factory=dict)
    missing: list[Entry] = field(default_factory=list)
    notice: str = ""


def project_images(client: Client, project_id: int, config: UsedConfig, image: str | None = None) -> ImageLookup:
    """Every image of every task of a project; with `image`, those of this image tag."""
    lookup = ImageLookup()
    for row in task_rows(client, project_id):
        lookup.add_images(row.id, config.images_of(row.data), image)
    return lookup


def places_of(entries: Sequence[Entry], lookup: ImageLookup, origin: str) -> Places:
    """Find every image of a file. The images of one of its tasks stay in one task of the project that shows them.

    Raises:
        SettingsError: see `locate_all`.
    """
    places = Places()
    wanted = [Wanted((one.file_name,), one.to_name, one.item_index, one.key) for one in entries]
    found = locate_all(wanted, lookup, origin)
    tasks = _tasks_of(entries, found)
    for entry, mine in zip(entries, found, strict=True):
        if mine is None:
            places.missing.append(entry)
        else:
            place = mine.in_task(tasks.get(entry.handle), entry.to_name, entry.item_index)
            placed = Placed(entry, place.to_name, place.item_index, place.url)
            places.by_task.setdefault(place.task, []).append(placed)
    places.notice = elsewhere_notice(wanted, found)
    return places


def without(by_task: Mapping[int, list[Placed]], others: Mapping[int, list[Placed]]) -> dict[int, list[Placed]]:
    """What is placed in the first and not, in the same task, in the second."""
    return {
        task: rest
        for task, placed in by_task.items()
        if (rest := [one for one in placed if one not in others.get(task, ())])
    }


def _tasks_of(entries: Sequence[Entry], found: Sequence[Found | None]) -> dict[int, int]:
    """For each task of the file (by handle) the project's task that shows most of its images; each goes to one only."""
    showing: dict[str, dict[int, None]] = {}
    by_handle: dict[int, list[dict[int, None]]] = {}
    for entry, mine in zip(entries, found, strict=True):
        if mine is not None and entry.is_of_task:
            if mine.key not in showing:
                showing[mine.key] = dict.fromkeys(place.task for place in mine.places)
            by_handle.setdefault(entry.handle, []).append(showing[mine.key])
    # Who finds most of its images in one task comes first: else another, which has little there, might take it away.
    most = {handle: _best_task(shown, {})[1] for handle, shown in by_handle.items()}
    taken: dict[int, int] = {}
    for handle in sorted(by_handle, key=lambda one: -most[one]):
        task, count = _best_task(by_handle[handle], taken)
        if count:
            taken[task] = handle
    return {handle: task for task, handle in taken.items()}


def _best_task(shown: Sequence[Mapping[int, None]], taken: Mapping[int, int]) -> tuple[int, int]:
    """The first free task that shows most of the images, and how many it shows. `shown` are the tasks of each image."""
    rarest = min(shown, key=len)
    whole = (task for task in rarest if task not in taken and all(task in one for one in shown))
    if (task := next(whole, None)) is not None:
        return task, len(shown)
    counts = Counter(task for one in shown for task in one if task not in taken)
    return counts.most_common(1)[0] if counts else (0, 0)
