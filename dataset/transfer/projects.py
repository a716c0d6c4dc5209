"""Masks of one image of a task on its twin in Label Studio: the other image of a pair, or the image of another project.

A task is one step: what was carried over before is left out, so a run that was killed goes on where it was. Nobody's
annotation is changed.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import LabelStudioError
from dataset.export.image_name import file_name_of
from dataset.export.regions import Reading, Region, read_results
from dataset.export.selection import Selection
from dataset.fetching import fetch_image
from dataset.importing.source import renamed
from dataset.importing.target import NoTag, RegionKey
from dataset.label_names import label_names, quoted
from dataset.pair_sides import NoTwin, ProjectSides, Twin, TwinLookup
from dataset.registration.alignment import Alignment, NotAligned
from dataset.registration.pictures import grey_values
from dataset.transfer.fit import picture_field
from dataset.transfer.regions import ImageTransfer, Transfer, carry
from dataset.transfer.results import Place, results_on_twin
from labeling.images import TaskImage
from labelstudio.bulk import TaskReader, WholeTask, add_annotation, add_predictions, task_rows
from masks.pictures import PictureError

if TYPE_CHECKING:
    from core.report import Report
    from labelstudio.client import Client

MODEL_VERSION = "transfer"
Result = dict[str, Any]


@dataclass
class ProjectTransfer:
    """One run.

    Attributes:
        sides: from which image of which project to which.
        selection: whose annotations are carried over.
        as_annotation: store annotations, in tasks that have none; else predictions.
        back: the twins are the RGB pictures, and `alignment` leads to them.
        labels: theirs to ours, where a label is called otherwise on the twin.
    """

    client: Client
    sides: ProjectSides
    alignment: Alignment
    selection: Selection
    report: Report
    as_annotation: bool = False
    back: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    _without_tag: Counter[str] = field(default_factory=Counter)
    _unreadable: list[str] = field(default_factory=list)
    _annotated: frozenset[int] = frozenset()
    _taken: dict[int, str] = field(default_factory=dict)

    def run(self) -> Transfer:
        """Carry over what is missing.

        Raises:
            LabelStudioError: the project has no annotation, or Label Studio failed on the way; run it again to go on.
        """
        source, target = self.sides.source, self.sides.target
        rows = [row for row in task_rows(self.client, source.id) if row.annotations]
        if not rows:
            raise LabelStudioError(f"{source.title} has no annotation that was submitted; nothing was carried over")
        twins = TwinLookup(self.client, self.sides)
        if not self.sides.is_one:
            self._annotated = frozenset(row.id for row in task_rows(self.client, target.id) if row.annotations)
        there = self.client.tasks_predicted_by(target.id, MODEL_VERSION) if not self.as_annotation else set()
        found, began = Transfer(), time.monotonic()
        for count, task in enumerate(TaskReader(self.client, source.id).read([row.id for row in rows]), 1):
            for one in self._images(task, twins, there, found):
                found.images.append(one)
            rate = count / max(time.monotonic() - began, 1e-3)
            self.report.progress(f"transfer: {count} of {len(rows)} tasks, {rate:.1f} a second")
        found.notes += self.alignment.notes()
        found.problems += self._unreadable
        found.problems += [
            f"{number} masks have the label {quoted(label)}, for which the image {self.sides.target_image!r} has no "
            f"tag; say what it is called there with --label {label}=NAME"
            for label, number in self._without_tag.items()
        ]
        return found

    def _images(self, task: WholeTask, twins: TwinLookup, there: set[int], found: Transfer) -> Iterator[ImageTransfer]:
        chosen = self.selection.annotations(task.annotations)
        if not chosen:
            return
        reading = read_results(chosen[0].results, self.sides.source_config.for_data(task.data))
        for image in twins.images_of(task.data):
            one = ImageTransfer(file_name_of(image.url))
            try:
                twin = twins.find(task.id, task.data, image)
                if twin.task in there:
                    found.before += 1
                    continue
                one.twin = file_name_of(twin.url)
                self._carry(image, twin, reading, one)
            except (NoTwin, NotAligned) as reason:
                one.reason = str(reason)
            yield one

    def _carry(self, image: TaskImage, twin: Twin, reading: Reading, one: ImageTransfer) -> None:
        """Store the masks of one image on its twin.

        Raises:
            NotAligned: it has no transform, sizes differ, or the twin has masks.
        """
        on_twin = [each for each in reading.regions if _is_on(each, twin.to_name, twin.item_index)]
        if self.sides.is_one and on_twin:
            raise NotAligned(f"people have drawn on its twin (task {twin.task}), which is left alone")
        if twin.task in self._annotated:
            raise NotAligned(f"people have annotated its twin (task {twin.task}), which is left alone")
        if other := self._taken.get(twin.task):
            raise NotAligned(f"its twin (task {twin.task}) has the masks of {other}")
        content = self._content(twin)
        rgb = twin.url if self.back else image.url  # pairs are called by their RGB pictures
        matrix = self.alignment.of(rgb, lambda: hashlib.sha256(content).hexdigest())
        grey = self._grey(content, twin)
        edges, place = picture_field(grey), Place(twin.to_name, twin.item_index, self.alignment.target_wh)
        results: list[Result] = []
        taken: set[RegionKey] = set()
        labeling = self.sides.target_config.labeling
        for region in reading.regions:
            if not _is_on(region, image.name, image.item_index):
                continue
            if region.size_wh != self.alignment.source_wh:
                raise NotAligned(
                    f"has {_size(region.size_wh)} pixels, and the registration is of pictures of "
                    f"{_size(self.alignment.source_wh)}"
                )
            try:
                before = region.mask()
            except ValueError as error:
                self._unreadable.append(f"{one.name}: region {region.id} ({region.label}) cannot be read: {error}")
                continue
            mask, figures = carry(before, region.label, region.id, matrix, self.alignment.target_wh, edges)
            labels = renamed(region.labels, self._names(region.labels))
            if figures.area:
                try:
                    results += results_on_twin(region, labels, mask, figures, matrix, place, labeling, taken)
                except NoTag:
                    self._without_tag[region.label] += 1
                    continue
            one.regions.append(figures)
        if results:
            self._taken[twin.task] = one.name
            self._store(twin, [*self._kept(reading), *results], one)

    def _kept(self, reading: Reading) -> list[Result]:
        """In a task of pairs: the annotation itself, so that whoever takes the prediction has the masks of both."""
        return list(reading.kept) if self.sides.is_one else []

    def _names(self, labels: Iterable[str]) -> Mapping[str, str]:
        return label_names(labels, self.sides.target_config.labeling.labels, self.labels)

    def _content(self, twin: Twin) -> bytes:
        try:
            return fetch_image(self.client, twin.url, twin.task)
        except LabelStudioError as error:
            raise NotAligned(f"its twin {file_name_of(twin.url)} cannot be read: {error}") from None

    def _grey(self, content: bytes, twin: Twin) -> np.ndarray[Any, np.dtype[np.float32]]:
        try:
            grey = grey_values(io.BytesIO(content))
        except PictureError as error:
            raise NotAligned(f"its twin {file_name_of(twin.url)} cannot be read: {error}") from None
        if (size_wh := (grey.shape[1], grey.shape[0])) != self.alignment.target_wh:
            raise NotAligned(
                f"its twin has {_size(size_wh)} pixels, and the registration is of pictures of "
                f"{_size(self.alignment.target_wh)}"
            )
        return grey

    def _store(self, twin: Twin, results: Sequence[Result], one: ImageTransfer) -> None:
        if self.as_annotation:
            add_annotation(self.client, twin.task, {"result": list(results)})
            return
        fits = [each.fit for each in one.regions if each.fit is not None]
        score = max(0.0, float(np.mean(fits))) if fits else 0.0
        row = {"task": twin.task, "result": list(results), "score": score, "model_version": MODEL_VERSION}
        add_predictions(self.client, self.sides.target.id, [row])


def _is_on(region: Region, to_name: str, item_index: int | None) -> bool:
    return (region.to_name, region.item_index or 0) == (to_name, item_index or 0)


def _size(size_wh: tuple[int, int]) -> str:
    return "x".join(map(str, size_wh))
