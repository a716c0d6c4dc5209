"""Where an image of a file is in a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataset.export.labeling import UsedConfig
from dataset.image_lookup import Ambiguous, ImageLookup, Place
from dataset.importing.source import Entry, Placed
from labeling.images import task_images
from labelstudio.bulk import task_rows

if TYPE_CHECKING:
    from labelstudio.client import Client


def project_images(client: Client, project_id: int, config: UsedConfig) -> ImageLookup:
    """Every image of every task of a project."""
    lookup = ImageLookup()
    for row in task_rows(client, project_id):
        for image in task_images(config.labeling.images, row.data):
            lookup.add(image.url, Place(row.id, image.name, image.item_index))
    return lookup


def place_of(entry: Entry, lookup: ImageLookup) -> tuple[int, Placed] | None:
    """The task and its image; None where there is none, or where several fit."""
    try:
        found = lookup.find(entry.file_name, entry.to_name, entry.item_index)
    except Ambiguous:
        return None
    return None if found is None else (found.task, Placed(entry, found.to_name, found.item_index))
