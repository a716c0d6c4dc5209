"""Which tasks the files of an image folder make: one for each image, or one for each pair of a pair project."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from core.errors import SettingsError
from labelstudio.config import ProjectSpec
from labelstudio.image_files import LOCAL_FILES
from labelstudio.projects_file import NAME

NO_FILE = "(?!)"  # a storage filter that no file name matches


@dataclass(frozen=True)
class WantedTasks:
    """The tasks, by the path of their first image; each is its images' paths by the key of the task's data.

    `alone` are files that match one pattern of a pair and have no partner.
    """

    tasks: Mapping[str, Mapping[str, str]]
    alone: frozenset[str] = frozenset()


def image_keys(spec: ProjectSpec) -> tuple[str, ...]:
    """The keys of a task's data that hold images; the first one names the task.

    Raises:
        SettingsError: the image is made of a text with references in it.
    """
    image = spec.labeling.images[0]
    if not spec.images_pairs and not image.is_reference:
        raise SettingsError(
            f'{spec.title}: its image is {image.attribute}="{image.value}", of which labelrig cannot make tasks; '
            "import tasks that hold its fields"
        )
    return tuple(spec.images_pairs) or (image.key,)


def wanted_tasks(spec: ProjectSpec, paths: Iterable[str]) -> WantedTasks:
    """The tasks that these files, as paths below the folder, make."""
    if not spec.images_pairs:
        matches, key = re.compile(spec.images_filter).match, image_keys(spec)[0]
        return WantedTasks({path: {key: path} for path in paths if matches(PurePosixPath(path).name)})
    patterns = {key: _pattern(text) for key, text in spec.images_pairs.items()}
    by_name: dict[str, dict[str, str]] = {}
    for path in paths:
        for key, pattern in patterns.items():
            if found := pattern.fullmatch(path):
                by_name.setdefault(found[1], {})[key] = path
    first, *_ = patterns
    whole = {name: images for name, images in by_name.items() if len(images) == len(patterns)}
    alone = {path for name, images in by_name.items() if name not in whole for path in images.values()}
    tasks = {images[first]: {key: images[key] for key in patterns} for images in whole.values()}
    return WantedTasks(tasks, frozenset(alone))


def storage_filter(spec: ProjectSpec) -> str:
    """The filter of the storage, for its Sync in the browser.

    Label Studio's sync knows one image a task, so of pairs it takes none: they come from us.
    """
    return NO_FILE if spec.images_pairs else spec.images_filter


def list_filter(spec: ProjectSpec) -> str:
    """The filter of file names in the folder."""
    return "" if spec.images_pairs else spec.images_filter


def task_url(folder_name: str, path: str) -> str:
    """The URL of an image below a connected folder, as Label Studio's own sync writes it."""
    return f"{LOCAL_FILES}?d={quote(f'{folder_name}/{path}')}"


def _pattern(text: str) -> re.Pattern[str]:
    before, after = text.split(NAME)
    return re.compile(f"{re.escape(before)}(.+){re.escape(after)}")
