"""From a task of Label Studio to what writers are given: regions sorted out, masks decoded, everything counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from core.errors import LabelStudioError
from dataset.export.image_name import file_name_of
from dataset.export.labeling import UsedConfig
from dataset.export.manifest import Tally
from dataset.export.regions import Reading, Region, read_results
from dataset.export.selection import Selection
from dataset.export.writers.base import ExportImage, ExportTask, Object
from labeling.images import TaskImage, task_images
from labelstudio.bulk import Annotation, WholeTask

Size = tuple[int, int]


class Assembler:
    """Makes an ExportTask of each task, and counts on the way.

    `size_of` finds the size of an image without regions; it may raise LabelStudioError.
    """

    def __init__(
        self,
        config: UsedConfig,
        selection: Selection,
        tally: Tally,
        size_of: Callable[[str], Size],
        *,
        needs_masks: bool,
        needs_sizes: bool,
    ) -> None:
        self._config = config
        self._selection = selection
        self._tally = tally
        self._size_of = size_of
        self._needs_masks = needs_masks
        self._needs_sizes = needs_sizes
        self._images = 0

    def task(self, task: WholeTask) -> ExportTask | None:
        """The task, or None where the selection leaves nothing of it."""
        chosen = self._selection.annotations(task.annotations)
        self._tally.left_out["annotation not selected"] += len(task.annotations) - len(chosen)
        if not chosen and self._selection.annotated_only:
            return None
        readings = [(one, read_results(one.results, self._config)) for one in chosen]
        for annotation, reading in readings:
            self._tally.annotations[annotation.annotator] += 1
            self._tally.left_out.update(reading.left_out)
            self._select_labels(reading)
            self._tally.regions_by[annotation.annotator] += len(reading.regions)
        regions = [region for _, reading in readings for region in reading.regions]
        images = tuple(self._images_of(task, regions, chosen))
        annotations = tuple(_as_imported(annotation, reading) for annotation, reading in readings)
        return ExportTask(task.id, task.data, images, annotations)

    def _select_labels(self, reading: Reading) -> None:
        wanted = self._selection.labels
        if not wanted:
            return
        others = [one for one in reading.regions if not wanted.intersection(one.labels)]
        self._tally.left_out["label not selected"] += len(others)
        keys = {(one.to_name, one.id, one.item_index) for one in others}
        reading.regions = [one for one in reading.regions if wanted.intersection(one.labels)]
        reading.kept = [
            one
            for one in reading.kept
            if (str(one.get("to_name", "")), str(one.get("id", "")), one.get("item_index")) not in keys
        ]

    def _images_of(self, task: WholeTask, regions: list[Region], chosen: list[Annotation]) -> Iterator[ExportImage]:
        shown = 0
        for shown_image in task_images(self._config.labeling.images, task.data):
            place = (shown_image.name, shown_image.item_index or 0)
            mine = [one for one in regions if (one.to_name, one.item_index or 0) == place]
            shown += len(mine)
            image = self._image(task, shown_image, mine, chosen)
            if image is not None:
                yield image
        if shown < len(regions):
            self._problem(task.id, f"{len(regions) - shown} regions lie on an image that the task does not have")

    def _image(
        self,
        task: WholeTask,
        image: TaskImage,
        regions: list[Region],
        chosen: list[Annotation],
    ) -> ExportImage | None:
        size_wh = _size_in(chosen, image.name, image.item_index)
        if self._needs_sizes and size_wh is None:
            try:
                size_wh = self._size_of(image.url)
            except LabelStudioError as error:
                self._problem(task.id, str(error))
                return None
        objects = tuple(self._objects(task.id, regions, size_wh)) if self._needs_masks else ()
        counted = [one.region for one in objects] if self._needs_masks else regions
        self._count(counted, objects)
        self._images += 1
        return ExportImage(
            self._images,
            task.id,
            file_name_of(image.url),
            image.url,
            image.name,
            image.item_index,
            size_wh or (0, 0),
            objects,
            bool(chosen),
        )

    def _objects(self, task_id: int, regions: list[Region], size_wh: Size | None) -> Iterator[Object]:
        for region in regions:
            if region.size_wh != size_wh:
                seen, whole = ("x".join(map(str, one or ())) for one in (region.size_wh, size_wh))
                self._problem(task_id, f"region {region.id} is of an image of {seen} pixels, others of {whole}")
                continue
            try:
                mask = region.mask()
            except ValueError as error:
                self._problem(task_id, f"region {region.id} ({region.label}) cannot be read: {error}")
                continue
            if mask.any():
                yield Object(region, mask)
            else:
                self._tally.left_out["empty"] += 1

    def _count(self, regions: list[Region], objects: tuple[Object, ...]) -> None:
        self._tally.images += 1
        self._tally.images_without_regions += not regions
        self._tally.regions.update(one.label for one in regions)
        self._tally.images_of.update({one.label for one in regions})
        for one in objects:
            self._tally.pixels[one.region.label] += int(one.mask.sum())

    def _problem(self, task_id: int, what: str) -> None:
        self._tally.problems.append(f"task {task_id}: {what}")


def _size_in(chosen: list[Annotation], to_name: str, index: int | None) -> Size | None:
    """The image's size that the results on it tell most often; prompts tell it too."""
    seen: dict[Size, int] = {}
    for annotation in chosen:
        for one in annotation.results:
            if one.get("to_name") == to_name and (one.get("item_index") or 0) == (index or 0):
                width, height = one.get("original_width"), one.get("original_height")
                if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0:
                    seen[width, height] = seen.get((width, height), 0) + 1
    return max(seen, key=lambda size: seen[size]) if seen else None


def _as_imported(annotation: Annotation, reading: Reading) -> dict[str, Any]:
    """An annotation as Label Studio imports it, without what belongs to one server."""
    return {
        "result": reading.kept,
        "was_cancelled": annotation.was_cancelled,
        "ground_truth": annotation.ground_truth,
        "lead_time": annotation.lead_time,
        "completed_by": {"email": annotation.annotator},
    }
