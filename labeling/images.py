"""Which URL an image tag means for a task, resolved as the editor does it (utils/data.js `parseValue`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

LONGEST = 10_000_000  # characters of a URL that is made of several: an image in the task itself may be large
VARIABLE = re.compile(r"\$([\w[\].{}]+)")


class NoImage(ValueError):
    """The task's data holds no such image; the message names what it holds."""


@dataclass(frozen=True)
class ImageTag:
    """`<Image name="image" value="$image"/>`, or `valueList="$images"` for several images under one name.

    Attributes:
        name: the `to_name` of results.
        value: the attribute as it is written: a reference to the task's data (`$image`, `$images[0]`,
            `$pages[0].url`), or a text with references in it (`/data/local-files/?d=demo/$file`).
        is_list: it is the `valueList`; results then carry an `item_index`.
        line: where the tag stands, from 1.
    """

    name: str
    value: str
    is_list: bool = False
    line: int = field(default=0, compare=False)

    @property
    def attribute(self) -> str:
        """The attribute that holds `value`."""
        return "valueList" if self.is_list else "value"

    @property
    def key(self) -> str:
        """Where a task's data holds the URL, for people; the key itself for a plain reference."""
        return self.value.removeprefix("$")

    @property
    def is_reference(self) -> bool:
        """Whether the value is one reference, and not a text that is made of some."""
        return VARIABLE.fullmatch(self.value) is not None

    @property
    def fields(self) -> frozenset[str]:
        """The keys of a task's data that are needed."""
        return frozenset(re.split(r"[.[]", path)[0] for path in VARIABLE.findall(self.value))


@dataclass(frozen=True)
class TaskImage:
    """One image of a task. `item_index` is which one of a list of several; None where the tag shows one."""

    name: str
    url: str
    item_index: int | None


def task_images(tags: Iterable[ImageTag], data: Mapping[str, Any]) -> list[TaskImage]:
    """Every image that a task shows, in the order of the tags."""
    found = []
    for tag in tags:
        urls = image_urls(data, tag)
        found += [TaskImage(tag.name, url, index if len(urls) > 1 else None) for index, url in enumerate(urls)]
    return found


def image_url(data: Mapping[str, Any], tag: ImageTag, item_index: int | None = None) -> str:
    """The URL of one image.

    Args:
        data: the task's data.
        item_index: which image of a list; None is the first.

    Raises:
        NoImage: the data holds no such image.
    """
    found = _resolve(data, tag)
    if isinstance(found, list):
        index = item_index or 0
        if not 0 <= index < len(found):
            raise NoImage(f"image {index + 1} was requested, but {tag.key!r} of the task's data holds {len(found)}")
        found = found[index]
    if not isinstance(found, str) or not found:
        seen = ", ".join(sorted(data)[:20]) or "nothing"
        raise NoImage(f"the task's data holds no image URL under {tag.key!r} (it holds: {seen})")
    return found


def image_urls(data: Mapping[str, Any], tag: ImageTag) -> list[str]:
    """All URLs that a task's data holds for this tag: none, one, or as many as its list has."""
    try:
        found = _resolve(data, tag)
    except NoImage:
        return []
    return [str(one) for one in (found if isinstance(found, list) else [found]) if one]


def value_of(data: Mapping[str, Any], reference: str) -> Any:
    """What `$pages` or `$scene.pages` means for a task; None where the data hold no such thing."""
    whole = VARIABLE.fullmatch(reference)
    return _look_up(data, whole[1]) if whole else None


def _resolve(data: Mapping[str, Any], tag: ImageTag) -> Any:
    if tag.is_reference:
        return value_of(data, tag.value)
    parts: list[str] = []
    length = end = 0
    for match in VARIABLE.finditer(tag.value):
        parts += [tag.value[end : match.start()], _text(data, match[1])]
        end = match.end()
        length += len(parts[-1])
        if length > LONGEST:
            raise NoImage(
                f"the image's URL, which is made of {tag.key[:100]!r}, would have more than {LONGEST} characters"
            )
    return "".join([*parts, tag.value[end:]])


def _look_up(data: Mapping[str, Any], path: str) -> Any:
    """As lodash's `get`: the key itself, else a way through objects and lists, `photos[0].url`."""
    if path in data:
        return data[path]
    found: Any = data
    for step in re.findall(r"[^.[\]]+", path):
        if isinstance(found, list) and step.isdecimal() and len(step) < 10 and int(step) < len(found):
            found = found[int(step)]
        elif isinstance(found, Mapping) and step in found:
            found = found[step]
        else:
            return None
    return found


def _text(data: Mapping[str, Any], path: str) -> str:
    found = _look_up(data, path)
    if not isinstance(found, str | int):
        raise NoImage(f"the task's data holds no text under {path!r}, of which the image's URL is made")
    return str(found)
