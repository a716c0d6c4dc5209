"""From the name of an image in another file (COCO, YOLO, an export) to the task that shows it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.text import inline, shortened, some
from dataset.export.image_name import file_name_of, image_key
from dataset.image_spellings import COPIED, Parts, parts_of, spellings, without_prefix, without_suffix
from labeling.images import TaskImage
from labelstudio.image_files import LOCAL_FILES


@dataclass(frozen=True)
class Place:
    """An image of a task, and its URL. `item_index` is which one of a list of several; None where the tag shows one."""

    task: int
    to_name: str
    item_index: int | None = None
    url: str = field(default="", compare=False)


@dataclass(frozen=True)
class Found:
    """What a name means.

    Attributes:
        place: the image; of several that show the file the first, or the one of the tag that was named.
        places: all that show the file.
        key: what tells it from all others, see `image_key`.
        name: its path below the folder that Label Studio serves.
        elsewhere: the name has other folders in it than the image's path has, and only the end of both is the same; or
            it was found without the digits before it, which may be a part of it.
    """

    place: Place
    places: tuple[Place, ...]
    key: str
    name: str
    elsewhere: bool

    def in_task(self, task: int | None, to_name: str, item_index: int | None) -> Place:
        """The image in this task, if it shows the file; else `place`."""
        return _best([one for one in self.places if one.task == task], to_name, item_index) or self.place


class Ambiguous(LookupError):
    """A name fits several images. The text is a sentence for people.

    Args:
        name: as it is written.
        images: the name of each image by its key.
        tags: their image tags.
    """

    def __init__(self, name: str, images: Mapping[str, str], tags: Collection[str]) -> None:
        self.names = tuple(images.values())
        what = f"the image {shortened(inline(name))} may be"
        if len(set(self.names)) < len(images):
            keys = some([shortened(one) for one in images])
            super().__init__(f"{what} {keys}, which have one name: only Label Studio's JSON tells them apart")
            return
        hint = f", or --image ({', '.join(tags)})" if len(tags) > 1 else ""
        super().__init__(f"{what} {some(self.names)}: give its path below the image folder{hint}")


class ImageLookup:
    """Finds an image by the longest end of a name that any image's path ends with; it must be the end of one only.

    A name without an image's suffix (YOLO) fits every suffix. The path below the image folder is a whole name, with
    and without the folder's own. Of several tasks that show the same file the first counts. Images are told apart by
    their keys (`image_key`): two may have one name.
    """

    def __init__(self) -> None:
        self._places: dict[str, list[Place]] = {}
        self._names: dict[str, str] = {}
        self._parts: dict[str, Parts] = {}
        self._whole: dict[Parts, list[str]] = {}
        self._whole_stem: dict[Parts, list[str]] = {}
        self._by_end: dict[Parts, list[str]] = {}
        self._by_stem: dict[Parts, list[str]] = {}
        self._by_digest: dict[str, list[str]] = {}

    def add_images(self, task: int, images: Iterable[TaskImage], only: str | None = None) -> None:
        """Take the images of a task in; with `only`, those of this image tag."""
        for image in images:
            if only in (None, image.name):
                self.add(image.url, Place(task, image.name, image.item_index, image.url))

    def add(self, url: str, place: Place) -> None:
        """Take an image in."""
        key = image_key(url)
        if key not in self._places:
            self._index(key, url)
        self._places.setdefault(key, []).append(place)

    def find(
        self, name: str | Sequence[str], to_name: str = "", item_index: int | None = None, *, any_suffix: bool = False
    ) -> Place | None:
        """See `locate`."""
        found = self.locate(name, to_name, item_index, any_suffix=any_suffix)
        return None if found is None else found.place

    def locate(
        self,
        name: str | Sequence[str],
        to_name: str = "",
        item_index: int | None = None,
        *,
        any_suffix: bool = False,
        key: str = "",
    ) -> Found | None:
        """The image of this name; where several tags of a task show the file, the one of `to_name`.

        Args:
            name: as it is written, or several names that the file may mean, the likeliest first.
            to_name: the image tag.
            item_index: which image of a list.
            any_suffix: `a.jpg` may mean `a.png`, where nothing is called `a.jpg`.
            key: where the file has the image's URL, its `image_key`; an image that has it is the one.

        Raises:
            Ambiguous: the end of the name fits several files.
        """
        if key and key in self._places:
            return self._found(key, self._parts[key], (), to_name, item_index)
        names = (name,) if isinstance(name, str) else tuple(name)
        written = tuple(dict.fromkeys(parts for one in names for parts in spellings(one)))
        bare = tuple(filter(None, map(without_prefix, written)))
        for is_bare, to_any in ((False, False), (True, False), (False, True), (True, True)):
            if to_any and not any_suffix:
                continue
            paths = bare if is_bare else written
            end, wholes = self._of_copy(paths) or self._longest(paths, any_suffix=to_any)
            if len(wholes) > 1:
                tags = dict.fromkeys(place.to_name for whole in wholes for place in self._places[whole])
                raise Ambiguous(names[0], {whole: self._names[whole] for whole in wholes}, tags)
            if wholes:
                found = self._found(wholes[0], end, written, to_name, item_index)
                return replace(found, elsewhere=found.elsewhere or is_bare)
        return None

    def _index(self, key: str, url: str) -> None:
        name = file_name_of(url)
        parts = parts_of(name)
        self._names[key], self._parts[key] = name, parts
        wholes = [parts, parts[1:]] if LOCAL_FILES.strip("/") in url else [parts]
        for whole in wholes:
            if whole:
                self._whole.setdefault(whole, []).append(key)
            if whole and (stem := without_suffix(whole)):
                self._whole_stem.setdefault(stem, []).append(key)
        # An upload is found by the name that it had before, too.
        bare = without_prefix(parts) if parts[0] == "upload" else None
        for one in filter(None, (parts, bare)):
            for end in _ends(one):
                self._by_end.setdefault(end, []).append(key)
            for end in _ends(without_suffix(one) or ()):
                self._by_stem.setdefault(end, []).append(key)
        digest = hashlib.md5(url.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
        self._by_digest.setdefault(digest[:8], []).append(key)

    def _of_copy(self, paths: Iterable[Parts]) -> tuple[Parts, list[str]] | None:
        """Label Studio's exports with images call a copy by eight digits of its URL's MD5 and its name."""
        for parts in paths:
            copied = COPIED.match(parts[-1])
            if copied is not None and len(found := self._by_digest.get(copied[1], [])) == 1:
                return self._parts[found[0]], found
        return None

    def _longest(self, paths: Sequence[Parts], *, any_suffix: bool) -> tuple[Parts, list[str]]:
        """The longest end of any of the paths that images have, and those images. A whole path comes before ends."""
        if any_suffix:
            paths = tuple(filter(None, map(without_suffix, paths)))
        for parts in paths:
            stems = self._whole_stem if any_suffix or not without_suffix(parts) else {}
            if whole := self._whole.get(parts) or stems.get(parts):
                return parts, whole
        for length in range(max(map(len, paths), default=0), 0, -1):
            for parts in (one for one in paths if len(one) >= length):
                end = parts[-length:]
                if found := self._by_end.get(end) or ([] if without_suffix(end) else self._by_stem.get(end)):
                    return end, found
                if any_suffix and (found := self._by_stem.get(end)):
                    return end, found
        return (), []

    def _found(self, whole: str, end: Parts, written: Sequence[Parts], to_name: str, item_index: int | None) -> Found:
        places = self._places[whole]
        is_whole = len(end) == len(self._parts[whole]) or any(len(one) == len(end) for one in written)
        return Found(
            _best(places, to_name, item_index) or places[0], tuple(places), whole, self._names[whole], not is_whole
        )


def _best(places: Sequence[Place], to_name: str, item_index: int | None) -> Place | None:
    """The place of this tag, else the first; None where there is none."""
    wanted = (one for one in places if (one.to_name, one.item_index or 0) == (to_name, item_index or 0))
    return next(wanted, places[0] if places else None)


def _ends(parts: Parts) -> Iterator[Parts]:
    """`a/b/c.png` -> itself, `b/c.png`, `c.png`."""
    return (parts[start:] for start in range(len(parts)))
