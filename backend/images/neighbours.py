"""Which images will likely be opened next: those that follow in the same folder, as Label Studio imports them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from backend.errors import ImageError
from backend.images.image_store import TaskImage
from backend.sources.mount import LOCAL_FILES_PATH, Mount, name_in_query
from labeling.image_names import file_pattern, is_skipped_folder

SEARCHED_ENTRIES = 200_000
IS_IMAGE = re.compile(file_pattern("")).match


def following_images(root: Path, url: str, count: int) -> Sequence[TaskImage]:
    """The next files with the same ending in the folder of an image, by name.

    Args:
        root: the shared folder.
        url: of the opened image. Only files of the shared folder have neighbours that can be known without asking
            Label Studio.

    Returns:
        At most `count` images; none when the folder cannot be read.
    """
    path, _, query = url.partition("?")
    if path != LOCAL_FILES_PATH:
        return []
    try:
        name = name_in_query(query)
        opened = Mount(root).find(name)
    except ImageError:
        return []
    folder, own = os.path.split(name)
    ending = os.path.splitext(own)[1].lower()
    found: list[str] = []
    try:
        with os.scandir(opened.path.parent) as entries:
            for number, entry in enumerate(entries):
                if number >= SEARCHED_ENTRIES:
                    break
                if entry.name > own and _ending(entry.name) == ending:
                    found.append(entry.name)
    except OSError:
        return []
    names = (os.path.join(folder, one) for one in sorted(found)[:count])
    return [TaskImage(f"{LOCAL_FILES_PATH}?d={quote(os.fsencode(one))}", None) for one in names]


def images_of_folder(root: Path, folder: str, endings: Sequence[str]) -> list[TaskImage]:
    """Every image below a folder of the shared folder, by name; links to folders are not followed, and what servers and
    systems put there is left out (`labeling.image_names`).

    Args:
        folder: path below the shared folder; empty is the shared folder itself.
        endings: with the dot, in lower case.

    Raises:
        ImageError: there is no such folder.
    """
    real_root = root.resolve()
    try:
        top = (real_root / folder).resolve()
        is_known = top.is_relative_to(real_root) and top.is_dir()
    except (OSError, ValueError, RuntimeError):  # a name that no folder can have, or a link that leads to itself
        is_known = False
    if not is_known:
        raise ImageError(f"there is no folder {folder!r} in the shared folder")
    found: list[str] = []
    for where, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not is_skipped_folder(name))
        relative = Path(where).relative_to(real_root)
        found += [str(relative / name) for name in sorted(names) if _ending(name) in endings]
    return [TaskImage(f"{LOCAL_FILES_PATH}?d={quote(os.fsencode(one))}", None) for one in found]


def _ending(name: str) -> str | None:
    """The ending in lower case; None for a file that is left out everywhere."""
    return os.path.splitext(name)[1].lower() if IS_IMAGE(name) else None
