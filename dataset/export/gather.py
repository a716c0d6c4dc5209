"""Images put together from all tasks that show them: a reader of masks looks for one file an image, not one a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dataset.export.image_name import file_name_of, image_key
from dataset.export.regions import Region
from dataset.export.results import item_index_of, size_of_result
from labeling.images import TaskImage
from labelstudio.bulk import Annotation, TaskRow, WholeTask
from masks.arrays import check_size

Size = tuple[int, int]
Place = tuple[str, int]  # an image tag, and which one of a list of images


@dataclass
class Gathered:
    """What the tasks read so far hold of one image. `regions` are beside their tasks, in the order of drawing.

    Attributes:
        url, to_name, item_index: as the first task has it.
        sizes: how often each size was told.
        is_annotated: one of the tasks has an annotation that counts, with more on the image than prompts.
    """

    url: str
    file_name: str
    to_name: str
    item_index: int | None
    tasks: list[int] = field(default_factory=list)
    regions: list[tuple[int, Region]] = field(default_factory=list)
    sizes: Counter[Size] = field(default_factory=Counter)
    is_annotated: bool = False

    @property
    def size_wh(self) -> Size | None:
        """The size that the results on it tell most often; prompts tell it too."""
        return self.sizes.most_common(1)[0][0] if self.sizes else None


class Gatherer:
    """Holds an image until the last task that shows it was read; of most images that is the first one.

    Args:
        images_of: the images that a task's data show.
        rows: all tasks that will be read, in that order.
    """

    def __init__(self, images_of: Callable[[Mapping[str, Any]], list[TaskImage]], rows: Iterable[TaskRow]) -> None:
        self._images_of = images_of
        self._last: dict[str, int] = {}
        for row in rows:
            for image in images_of(row.data):
                self._last[image_key(image.url)] = row.id
        self._held: dict[str, Gathered] = {}

    def add(
        self,
        task: WholeTask,
        chosen: list[Annotation],
        regions: list[Region],
        prompted: Collection[Collection[Place]] = (),
    ) -> int:
        """Take a task in. Return how many of its regions lie on an image that it does not have.

        Args:
            prompted: of each annotation in `chosen`, the images on which it holds prompts alone.
        """
        found = 0
        for shown in self._images_of(task.data):
            held = self._held.setdefault(image_key(shown.url), _started(shown))
            if held.tasks[-1:] != [task.id]:
                held.tasks.append(task.id)
            place = (shown.name, shown.item_index or 0)
            mine = [(task.id, one) for one in regions if (one.to_name, one.item_index or 0) == place]
            held.regions += mine
            held.sizes.update(_sizes(chosen, place))
            held.is_annotated |= len(chosen) > sum(place in places for places in prompted)
            found += len(mine)
        return len(regions) - found

    def complete(self, task: WholeTask) -> Iterator[Gathered]:
        """The images that no later task shows."""
        for shown in self._images_of(task.data):
            key = image_key(shown.url)
            if self._last.get(key, task.id) == task.id and key in self._held:
                yield self._held.pop(key)

    def rest(self) -> Iterator[Gathered]:
        """Those whose last task was deleted meanwhile."""
        while self._held:
            yield self._held.pop(next(iter(self._held)))


def _started(shown: TaskImage) -> Gathered:
    return Gathered(shown.url, file_name_of(shown.url), shown.name, shown.item_index)


def _sizes(chosen: list[Annotation], place: tuple[str, int]) -> Iterator[Size]:
    for one in (one for annotation in chosen for one in annotation.results):
        if (one.get("to_name"), item_index_of(one) or 0) == place:
            size_wh = size_of_result(one)
            try:
                check_size(size_wh)
            except ValueError:
                continue
            yield size_wh
