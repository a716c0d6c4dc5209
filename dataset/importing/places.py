"""Where an image of a file is in a project."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from dataset.export.image_name import file_name_of
from dataset.export.labeling import UsedConfig
from dataset.importing.source import Entry, Placed
from labelstudio.bulk import task_rows

if TYPE_CHECKING:
    from labelstudio.client import Client


class Index:
    """Which image of which task a file name means: by its whole path, else by its last part where only one has it."""

    def __init__(self, client: Client, project_id: int, config: UsedConfig) -> None:
        self._exact: dict[tuple[str, str, int], int] = {}
        self._loose: dict[str, list[tuple[int, str, int | None]]] = {}
        for row in task_rows(client, project_id):
            for tag in config.labeling.images:
                urls = config.labeling.urls(tag, row.data)
                for number, url in enumerate(urls):
                    name = file_name_of(url)
                    self._exact.setdefault((name, tag.name, number), row.id)
                    place = (row.id, tag.name, number if len(urls) > 1 else None)
                    for key in {name, PurePosixPath(name).name}:
                        self._loose.setdefault(key, []).append(place)

    def place(self, entry: Entry) -> tuple[int, Placed] | None:
        """The task and its image, or None."""
        exact = self._exact.get((entry.file_name, entry.to_name, entry.item_index or 0))
        if exact is not None:
            return exact, Placed(entry, entry.to_name, entry.item_index)
        for key in (entry.file_name, PurePosixPath(entry.file_name).name):
            found = self._loose.get(key, [])
            if len(found) == 1:
                task_id, to_name, item_index = found[0]
                return task_id, Placed(entry, to_name, item_index)
        return None
