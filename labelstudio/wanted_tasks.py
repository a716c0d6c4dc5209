"""Which tasks the files of an image folder make: one for each image, or one for each pair of a pair project."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from core.errors import SettingsError
from labeling.image_names import file_pattern
from labelstudio.config import ProjectSpec
from labelstudio.image_files import LOCAL_FILES, ImageFiles
from labelstudio.projects_file import NAME

NO_FILE = "(?!)"  # a storage filter that no file name matches


@dataclass(frozen=True)
class WantedTasks:
    """The tasks, by the path of their first image; each is its images' paths by the key of the task's data.

    Attributes:
        alone: files that match one pattern of a pair and have no partner.
        others: files that match no pattern of a pair.
    """

    tasks: Mapping[str, Mapping[str, str]]
    alone: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()


def image_keys(spec: ProjectSpec) -> tuple[str, ...]:
    """The keys of a task's data that hold images; the first one names the task.

    Raises:
        SettingsError: the image is made of a text with references in it, or is repeated.
    """
    if spec.labeling.repeaters:
        raise SettingsError(
            f"{spec.title}: its images are repeated for each entry of {spec.labeling.repeaters[0].on} (<Repeater>), of "
            "which labelrig cannot make tasks; import tasks that hold the list"
        )
    image = spec.labeling.images[0]
    if not spec.images_pairs and not image.is_reference:
        raise SettingsError(
            f'{spec.title}: its image is {image.attribute}="{image.value}", of which labelrig cannot make tasks; '
            "import tasks that hold its fields"
        )
    return tuple(spec.images_pairs) or (image.key,)


def wanted_tasks(spec: ProjectSpec, paths: Iterable[str]) -> WantedTasks:
    """The tasks that these images, as paths below the folder, make."""
    if not spec.images_pairs:
        key = image_keys(spec)[0]
        return WantedTasks({path: {key: path} for path in paths})
    by_name: dict[str, dict[str, str]] = {}
    others, doubled = set(), set()
    patterns = {key: _pattern(text, re.IGNORECASE) for key, text in spec.images_pairs.items()}
    for path in _as_written_first(spec.images_pairs.values(), paths):
        found = {key: match[1] for key, pattern in patterns.items() if (match := pattern.fullmatch(path))}
        if not found:
            others.add(path)
        for key, name in found.items():
            if by_name.setdefault(name, {}).setdefault(key, path) != path:
                doubled.add(path)
    first, *_ = patterns
    whole = [images for images in by_name.values() if len(images) == len(patterns)]
    tasks = {images[first]: {key: images[key] for key in patterns} for images in whole}
    matched = {path for images in by_name.values() for path in images.values()} | doubled
    alone = matched - {path for images in whole for path in images.values()}
    return WantedTasks(tasks, frozenset(alone), frozenset(others))


def _as_written_first(patterns: Iterable[str], paths: Iterable[str]) -> list[str]:
    """Of `a.png` and `a.PNG`, which both are the image of a pair, the one in the pattern's own case comes first."""
    exact = [_pattern(text) for text in patterns]
    return sorted(paths, key=lambda path: (not any(one.fullmatch(path) for one in exact), path))


def storage_filter(spec: ProjectSpec, images: ImageFiles) -> str:
    """The filter of the storage, for its Sync in the browser: it takes the files that we take, or none.

    Label Studio's sync knows one image a task, so of pairs it takes none: they come from us. Nor does it where the
    folder holds what only we can leave out.
    """
    return NO_FILE if spec.images_pairs or not images.is_plain else file_pattern(spec.images_filter)


def is_our_filter(spec: ProjectSpec, regex_filter: str) -> bool:
    """Whether a storage's filter is one that `storage_filter` gives, for one folder or another."""
    return regex_filter in (NO_FILE, file_pattern(spec.images_filter))


def list_filter(spec: ProjectSpec) -> str:
    """The filter of file names in the folder."""
    return "" if spec.images_pairs else spec.images_filter


def task_url(folder_name: str, path: str) -> str:
    """The URL of an image below a connected folder, as Label Studio's own sync writes it."""
    return f"{LOCAL_FILES}?d={quote(f'{folder_name}/{path}')}"


def _pattern(text: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    before, after = text.split(NAME)
    return re.compile(f"{re.escape(before)}(.+){re.escape(after)}", flags)
