"""Masks of one image of a task on its twin in Label Studio: the other image of a pair, or the image of another project.

A task is one step: what was carried over before is left out, so a run that was killed goes on where it was. What people
have drawn is never changed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import LabelStudioError
from dataset.export.image_name import file_name_of
from dataset.export.regions import Reading, Region, read_results
from dataset.export.selection import Selection
from dataset.importing.target import NoTag, RegionKey
from dataset.pair_sides import NoTwin, ProjectSides, Twin, TwinLookup
from dataset.registration.alignment import Alignment, NotAligned
from dataset.registration.transforms import Matrix
from dataset.transfer.fit import picture_field
from dataset.transfer.plan import Plan, is_on, labels_on_twin, plan_of
from dataset.transfer.ready import Carried, Ready
from dataset.transfer.refine import NotRefined, ask_sam2
from dataset.transfer.regions import ImageTransfer, Transfer, carry, carry_or_leave
from dataset.transfer.results import Place, results_on_twin
from dataset.transfer.storing import Annotations, Drafts, Finished, Left, Predictions
from dataset.transfer.twin_picture import pixels, twin_content, twin_grey
from hosts.base import Exec
from labeling.images import TaskImage
from labelstudio.bulk import Annotation, TaskReader, WholeTask, task_rows

if TYPE_CHECKING:
    from core.report import Report
    from labelstudio.client import Client

AT_A_TIME = 4  # images that SAM2 is asked about together: one is read while it works on another
Result = dict[str, Any]


@dataclass
class ProjectTransfer:
    """One run.

    Attributes:
        sides: from which image of which project to which.
        selection: whose annotations are carried over.
        store: where the masks go.
        sam2: runs a command in the sam2 container; None leaves all masks as the transform puts them.
        back: the twins are the RGB pictures, and `alignment` leads to them.
        aligned: the pictures lie on each other already; see `carry_or_leave`.
        labels: theirs to ours, where a label is called otherwise on the twin; empty where its masks are left out.
    """

    client: Client
    sides: ProjectSides
    alignment: Alignment
    selection: Selection
    report: Report
    store: Predictions | Annotations | Drafts
    sam2: Exec | None = None
    back: bool = False
    aligned: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    _unreadable: list[str] = field(default_factory=list)
    _annotated: frozenset[int] = frozenset()
    _taken: dict[tuple[int, int], str] = field(default_factory=dict)
    _held: dict[int, list[Ready]] = field(default_factory=dict)
    _ready: list[Ready] = field(default_factory=list)

    def run(self) -> Transfer:
        """Carry over what is missing.

        Annotations are read twice: what has no tag on the twin is known before the first one is stored.

        Raises:
            SettingsError: no tag of the twins takes a label. Nothing was stored.
            LabelStudioError: the project has no annotation, or Label Studio or SAM2 failed on the way; run it again to
                go on.
        """
        source, target = self.sides.source, self.sides.target
        rows = [row for row in task_rows(self.client, source.id) if row.annotations]
        if not rows:
            raise LabelStudioError(f"{source.title} has no annotation that was submitted; nothing was carried over")
        twins = TwinLookup(self.client, self.sides)
        if not self.sides.is_one:
            self._annotated = frozenset(row.id for row in task_rows(self.client, target.id) if row.annotations)
        found, began = Transfer(), time.monotonic()
        reader, ids = TaskReader(self.client, source.id), [row.id for row in rows]
        self.report.progress(f"transfer: labels of {len(rows)} tasks")
        plan = plan_of(reader.read(ids), self.sides, self.selection, twins, self.labels, self._is_left)
        for count, task in enumerate(reader.read(ids), 1):
            for one in self._images(task, twins, plan, found):
                found.images.append(one)
            if len(self._ready) >= AT_A_TIME:
                self._finish(found)
            rate = count / max(time.monotonic() - began, 1e-3)
            self.report.progress(f"transfer: {count} of {len(rows)} tasks, {rate:.1f} a second")
        for held in self._held.values():  # a task that leads there was deleted meanwhile
            self._ready += held
        self._finish(found)
        found.notes += [*plan.notes(), *self.alignment.notes()]
        found.problems += self._unreadable
        return found

    def _is_left(self, task: int) -> bool:
        return task in self._annotated or self.store.is_done(task)

    def _images(self, task: WholeTask, twins: TwinLookup, plan: Plan, found: Transfer) -> Iterator[ImageTransfer]:
        chosen = self.selection.annotations(task.annotations)
        if not chosen:
            return
        reading = read_results(chosen[0].results, self.sides.source_config.for_data(task.data))
        for image in twins.images_of(task.data):
            one = ImageTransfer(file_name_of(image.url))
            try:
                twin = twins.find(task.id, task.data, image)
                if self.store.is_done(twin.task):
                    found.before += 1
                    continue
                one.twin = file_name_of(twin.url)
                plan.pictures[twin.task] -= 1
                self._carry(image, twin, reading, chosen[0], one)
            except (NoTwin, NotAligned) as reason:
                one.reason = str(reason)
            yield one
            if one.twin and plan.pictures[twin.task] <= 0:
                self._ready += self._held.pop(twin.task, [])

    def _carry(self, image: TaskImage, twin: Twin, reading: Reading, source: Annotation, one: ImageTransfer) -> None:
        """Put the masks of one image where they lie on its twin.

        Raises:
            NotAligned: it has no transform, sizes differ, or the twin has masks.
        """
        on_twin = [each for each in reading.regions if is_on(each, twin.to_name, twin.item_index)]
        if self.sides.is_one and on_twin:
            raise NotAligned(f"people have drawn on its twin (task {twin.task}), which is left alone")
        if twin.task in self._annotated:
            raise NotAligned(f"people have annotated its twin (task {twin.task}), which is left alone")
        place = twin.task, twin.item_index or 0
        if other := self._taken.get(place):
            raise NotAligned(f"its twin (task {twin.task}) has the masks of {other}")
        content = twin_content(self.client, twin)
        rgb = twin.url if self.back else image.url  # pairs are called by their RGB pictures
        matrix = self.alignment.of(rgb, lambda: hashlib.sha256(content).hexdigest())
        edges = picture_field(twin_grey(content, twin, self.alignment.target_wh))
        # In a task of pairs with the annotation itself, so that whoever takes the masks has those of both images.
        kept = list(reading.kept) if self.sides.is_one else []
        ready = Ready(one, twin, source.id, source.annotator, kept, edges, matrix)
        for region in reading.regions:
            named = labels_on_twin(region, self.sides, self.labels) is not None
            if named and is_on(region, image.name, image.item_index):
                self._put(region, ready, matrix)
        if any(each.figures.area for each in ready.carried):
            self._taken[place] = one.name
            self._held.setdefault(twin.task, []).append(ready)
        else:
            one.regions += [each.figures for each in ready.carried]

    def _put(self, region: Region, ready: Ready, matrix: Matrix) -> None:
        """
        Raises:
            NotAligned: the region is of a picture of another size.
        """
        if region.size_wh != self.alignment.source_wh:
            raise NotAligned(
                f"has {pixels(region.size_wh)} pixels, and the registration is of pictures of "
                f"{pixels(self.alignment.source_wh)}"
            )
        try:
            before = region.mask()
        except ValueError as error:
            name = ready.image.name
            self._unreadable.append(f"{name}: region {region.id} ({region.label}) cannot be read: {error}")
            return
        take = carry_or_leave if self.aligned else carry
        put = take(before, region.label, region.id, matrix, self.alignment.target_wh, ready.edges)
        ready.carried.append(Carried(region, *put))

    def _finish(self, found: Transfer) -> None:
        """Have SAM2 look at what is ready, and store it."""
        ready, self._ready = self._ready, []
        if self.sam2 is not None:
            for one, offers in zip(ready, ask_sam2(self.sam2, [each.question() for each in ready]), strict=True):
                if isinstance(offers, NotRefined):
                    one.image.reason = str(offers)
                else:
                    one.choose(offers)
        groups: dict[tuple[int, str], list[Ready]] = {}
        for one in ready:
            person = one.person if isinstance(self.store, Drafts) else ""
            groups.setdefault((one.twin.task, person), []).append(one)
        for group in groups.values():
            self._store(group, found)

    def _store(self, group: Sequence[Ready], found: Transfer) -> None:
        """Store the masks of all pictures that lead to one task at once: a second run passes the task over."""
        if failed := next((one.image for one in group if one.image.reason), None):
            for one in group:
                one.image.reason = one.image.reason or f"{failed.name}, whose twin is in the same task, {failed.reason}"
            return
        results, taken = list[Result](), set[RegionKey]()
        for ready in group:
            try:
                results += self._results(ready, taken)
            except NoTag as error:  # drawn after the labels were looked at
                ready.image.reason, ready.image.regions = str(error), []
        if not results:
            return
        first = group[0]
        fits = [each.fit for one in group for each in one.image.regions if each.fit is not None]
        score = max(0.0, float(np.mean(fits))) if fits else 0.0
        finished = Finished(first.twin.task, first.source, self.sides.is_one, [*first.kept, *results], score)
        try:
            if not self.store.store(finished):
                found.before += len(group)
                found.images = [one for one in found.images if all(one is not each.image for each in group)]
        except Left as reason:
            for one in group:
                one.image.reason = one.image.reason or str(reason)

    def _results(self, ready: Ready, taken: set[RegionKey]) -> list[Result]:
        place = Place(ready.twin.to_name, ready.twin.item_index, self.alignment.target_wh)
        found, labeling = list[Result](), self.sides.target_config.labeling
        for each in ready.carried:
            labels = labels_on_twin(each.region, self.sides, self.labels) or ()
            if each.figures.area:
                found += results_on_twin(
                    each.region, labels, each.mask, each.figures, ready.matrix, place, labeling, taken
                )
            ready.image.regions.append(each.figures)
        return found
