"""From tasks of Label Studio to what writers are given: regions sorted out, masks decoded, everything counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from core.errors import LabelStudioError
from dataset.export.gather import Gathered, Gatherer, Size
from dataset.export.labeling import UsedConfig
from dataset.export.manifest import Tally
from dataset.export.regions import KEPT, Reading, Region, places_of_prompts_alone, read_results
from dataset.export.results import key_of
from dataset.export.selection import Selection
from dataset.export.tracks import propagated, with_tracks
from dataset.export.writers.base import ExportImage, ExportTask, Object
from labelstudio.bulk import Annotation, TaskRow, WholeTask
from labelstudio.image_files import served_at
from masks.arrays import Mask


class Assembler:
    """Makes an ExportTask of each task and an ExportImage of each image, and counts what it leaves out.

    `size_of` finds the size of an image without regions; it may raise LabelStudioError. With `has_tracks` masks were
    propagated in the project, so that each region is of a track; the tasks then come with those predictions.
    """

    def __init__(
        self,
        config: UsedConfig,
        selection: Selection,
        tally: Tally,
        rows: Sequence[TaskRow],
        size_of: Callable[[str], Size],
        *,
        needs_masks: bool,
        needs_sizes: bool,
        has_tracks: bool = False,
    ) -> None:
        self._config = config
        self._selection = selection
        self._tally = tally
        self._gatherer = Gatherer(config.images_of, rows)
        self._size_of = size_of
        self._needs_masks = needs_masks
        self._needs_sizes = needs_sizes
        self._has_tracks = has_tracks
        self._images = 0
        self._named: dict[str, str] = {}

    def task(self, task: WholeTask) -> ExportTask | None:
        """The task, or None where the selection leaves nothing of it."""
        chosen = self._selection.annotations(task.annotations)
        skipped = 0 if self._selection.skipped else sum(one.was_cancelled for one in task.annotations)
        self._tally.left_out["annotation skipped"] += skipped
        self._tally.left_out["annotation not selected"] += len(task.annotations) - len(chosen) - skipped
        if not chosen and self._selection.annotated_only:
            return None
        config = self._config.for_data(task.data)
        readings = [(one, read_results(one.results, config)) for one in chosen]
        before = propagated(task)
        for annotation, reading in readings:
            if self._has_tracks:
                reading.regions = with_tracks(task.id, reading.regions, before[-1].results if before else ())
            self._tally.annotations[annotation.annotator] += 1
            left_out = reading.left_out.items()
            self._tally.left_out.update({one: n for one, n in left_out if self._needs_masks or one not in KEPT})
            self._select_labels(reading)
            if not self._needs_masks:  # else masks are decoded image by image
                _leave_out(reading, [one for one in reading.regions if self._mask(task.id, one) is None])
            self._tally.regions_by[annotation.annotator] += len(reading.regions)
        regions = [region for _, reading in readings for region in reading.regions]
        prompted = [places_of_prompts_alone(one.results, config.labeling) for one in chosen]
        elsewhere = self._gatherer.add(task, chosen, regions, prompted)
        if elsewhere:
            self._problem(task.id, f"{elsewhere} regions lie on an image that the task does not have")
        return ExportTask(
            task.id, task.data, tuple(_as_imported(annotation, reading) for annotation, reading in readings)
        )

    def images(self, task: WholeTask) -> Iterator[ExportImage]:
        """The images that this task was the last to show, in its order."""
        return self._exported(self._gatherer.complete(task))

    def rest(self) -> Iterator[ExportImage]:
        """The images that are still held when all tasks were read."""
        return self._exported(self._gatherer.rest())

    def count(self, image: ExportImage) -> None:
        """Count an image that was written."""
        tally = self._tally
        tally.images += 1
        tally.images_without_regions += not image.labels
        tally.regions.update(image.labels)
        tally.images_of.update(set(image.labels))
        for one in image.objects:
            tally.pixels[one.region.label] += int(one.mask.sum())
        if len(image.tasks) > 1:
            tally.merged[image.file_name] = image.tasks

    def _select_labels(self, reading: Reading) -> None:
        wanted = self._selection.labels
        if not wanted:
            return
        others = [one for one in reading.regions if not wanted.intersection(one.labels)]
        self._tally.left_out["label not selected"] += len(others)
        _leave_out(reading, others)

    def _exported(self, gathered: Iterator[Gathered]) -> Iterator[ExportImage]:
        for one in gathered:
            image = self._image(one)
            if image is not None:
                yield image

    def _image(self, image: Gathered) -> ExportImage | None:
        size_wh = image.size_wh
        if not image.is_annotated and self._selection.annotated_only:
            self._tally.left_out["image with prompts alone"] += 1
            return None
        if self._needs_masks:
            # Whoever pairs masks with images by name would give one image the masks of both.
            other = self._named.setdefault(image.file_name, image.url)
            if other is not image.url:
                what = f"{image.url} was left out: it is called {image.file_name} in an export, and so is {other}"
                self._problem(image.tasks[0], what)
                return None
        if self._needs_sizes and size_wh is None:
            try:
                size_wh = self._size_of(served_at(image.url, image.tasks[0]))
            except LabelStudioError as error:
                self._problem(image.tasks[0], str(error))
                return None
        objects = tuple(self._objects(image, size_wh)) if self._needs_masks else ()
        regions = [one.region for one in objects] if self._needs_masks else [one for _, one in image.regions]
        self._images += 1
        return ExportImage(
            self._images,
            tuple(image.tasks),
            image.file_name,
            image.to_name,
            image.item_index,
            size_wh or (0, 0),
            tuple(one.label for one in regions),
            objects,
            image.is_annotated,
            image.url,
        )

    def _objects(self, image: Gathered, size_wh: Size | None) -> Iterator[Object]:
        for task, region in image.regions:
            if size_wh is not None and region.size_wh != size_wh:
                seen, whole = ("x".join(map(str, one)) for one in (region.size_wh, size_wh))
                self._problem(task, f"region {region.id} is of an image of {seen} pixels, others of {whole}")
                continue
            mask = self._mask(task, region)
            if mask is not None:
                yield Object(region, mask, region.track if self._has_tracks else "")

    def _mask(self, task_id: int, region: Region) -> Mask | None:
        """The mask of a region; None where it cannot be read or is empty, which is recorded."""
        try:
            mask = region.mask()
        except ValueError as error:
            self._problem(task_id, f"region {region.id} ({region.label}) cannot be read: {error}")
            return None
        except MemoryError:
            self._problem(task_id, f"region {region.id} ({region.label}) needs more memory than this machine has")
            return None
        if mask.any():
            return mask
        self._tally.left_out["empty"] += 1
        return None

    def _problem(self, task_id: int, what: str) -> None:
        self._tally.problem(f"task {task_id}: {what}")


def _leave_out(reading: Reading, regions: Sequence[Region]) -> None:
    """Take regions and their results out of what is exported."""
    keys = {(one.to_name, one.id, one.item_index) for one in regions}
    reading.regions = [one for one in reading.regions if (one.to_name, one.id, one.item_index) not in keys]
    reading.kept = [one for one in reading.kept if key_of(one) not in keys]


def _as_imported(annotation: Annotation, reading: Reading) -> dict[str, Any]:
    """An annotation as any Label Studio imports it.

    It refuses a file with a `completed_by` whom its own server does not know, and reads over keys that it has no use
    for: so the annotator stands under one of ours.
    """
    return {
        "result": reading.kept,
        "was_cancelled": annotation.was_cancelled,
        "ground_truth": annotation.ground_truth,
        "lead_time": annotation.lead_time,
        "annotator": annotation.annotator,
    }
