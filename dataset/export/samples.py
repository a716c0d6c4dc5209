"""The samples of a data set: what each is called, and which picture of which task is which side of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from dataset.export.formats import Side
from dataset.export.image_name import file_name_of
from dataset.export.writers.base import ExportImage
from labeling.images import TaskImage
from labelstudio.bulk import TaskRow

ImagesOf = Callable[[Mapping[str, object]], list[TaskImage]]


@dataclass(frozen=True)
class Pairing:
    """Which pictures are the two sides of a pair.

    Attributes:
        rgb, thermal: their image tags.
        twins: of two projects, the samples of each image of the thermal one, by its task and its place in a list; None
            where the tasks of one project show both.
    """

    rgb: str
    thermal: str
    twins: Mapping[tuple[int, int], Sequence[str]] | None = None

    @cached_property
    def twin_tasks(self) -> frozenset[int]:
        """The tasks of the thermal project, where there are two."""
        return frozenset(task for task, _ in self.twins or ())

    def side_of(self, task: int, to_name: str) -> Side | None:
        """The side of an image of a task; None of one that is not of the pair."""
        if task in self.twin_tasks:
            return "thermal" if to_name == self.thermal else None
        if to_name == self.rgb:
            return "rgb"
        return "thermal" if self.twins is None and to_name == self.thermal else None

    def folder(self, side: Side) -> str:
        """What the folder of a side is called: as its tag, or where two projects may call theirs alike, as itself."""
        if self.twins is not None:
            return side
        return self.rgb if side == "rgb" else self.thermal


@dataclass(frozen=True)
class Samples:
    """All samples.

    Attributes:
        names: by task.
        pairing: None where pictures are not looked at as pairs.
        rgb: the URL of the RGB picture of each sample of a pair, with the number of the image in a list.
        tags: the images that the tasks show; a sample is whole with all of them.
    """

    names: Mapping[int, str]
    pairing: Pairing | None = None
    rgb: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()

    @property
    def folders(self) -> list[str]:
        """What a whole sample has, whether its pictures can be had or not."""
        if self.pairing is not None:
            return [self.pairing.folder("rgb"), self.pairing.folder("thermal")]
        return list(self.tags)

    def of(self, task: int, image: ExportImage) -> list[str]:
        """The samples that an image of a task is of."""
        if self.pairing is not None and task in self.pairing.twin_tasks:
            return list((self.pairing.twins or {}).get((task, image.item_index or 0), ()))
        return [numbered(self.names[task], image.item_index)]


def numbered(name: str, item_index: int | None) -> str:
    """The name of the sample of one image of a list."""
    return name if item_index is None else f"{name}_{item_index + 1}"


def tags_of(rows: Iterable[TaskRow], images_of: ImagesOf) -> list[str]:
    """The image tags that tasks show, in their order."""
    return list(dict.fromkeys(shown.name for row in rows for shown in images_of(row.data)))


def rgb_urls(rows: Iterable[TaskRow], images_of: ImagesOf, names: Mapping[int, str], tag: str) -> dict[str, str]:
    """The URL of the RGB picture of each sample.

    Args:
        tag: its image tag.
    """
    return {
        numbered(names[row.id], shown.item_index): shown.url
        for row in rows
        if row.id in names
        for shown in images_of(row.data)
        if shown.name == tag
    }


def sample_names(rows: Iterable[TaskRow], images_of: ImagesOf) -> dict[int, str]:
    """What the sample of each task is called: the path of its first image without suffix and without what all share.

    A name that two tasks would have gets the task's number behind it.
    """
    paths = {row.id: PurePosixPath(file_name_of(shown[0].url)) for row in rows if (shown := images_of(row.data))}
    shared = 0
    folders = [path.parent.parts for path in paths.values()]
    while folders and all(len(one) > shared and one[shared] == folders[0][shared] for one in folders):
        shared += 1
    found: dict[int, str] = {}
    taken: set[str] = set()
    for task, path in paths.items():
        name = PurePosixPath(*path.parts[shared:]).with_suffix("").as_posix()
        found[task] = name if name not in taken else f"{name}_{task}"
        taken.add(found[task])
    return found
