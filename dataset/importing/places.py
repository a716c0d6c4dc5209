"""Where the images of a file are in a project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dataset.export.labeling import UsedConfig
from dataset.image_lookup import ImageLookup
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
    """Find every image of a file.

    Raises:
        SettingsError: see `locate_all`.
    """
    places = Places()
    wanted = [Wanted((one.file_name,), one.to_name, one.item_index) for one in entries]
    found = locate_all(wanted, lookup, origin)
    for entry, mine in zip(entries, found, strict=True):
        if mine is None:
            places.missing.append(entry)
        else:
            placed = Placed(entry, mine.place.to_name, mine.place.item_index, mine.place.url)
            places.by_task.setdefault(mine.place.task, []).append(placed)
    places.notice = elsewhere_notice(wanted, found)
    return places
