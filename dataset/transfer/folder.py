"""Masks of a file or a project on the twins of its pictures, written as an export: for `import`, or for training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import LabelrigError
from core.text import bulleted, inline
from dataset.agreement.side import Drawn, Side
from dataset.export.classes import Classes
from dataset.export.folder import whole_folder
from dataset.export.formats import ExportOptions
from dataset.export.manifest import write_manifest
from dataset.export.regions import Region
from dataset.export.writers.base import ExportImage, Lines, NotWritable, Object, Writer
from dataset.export.writers.choice import open_writer
from dataset.registration.alignment import Alignment, NotAligned
from dataset.registration.features import Field
from dataset.registration.pictures import digest_of_file, grey_values
from dataset.registration.transforms import Matrix
from dataset.transfer.fit import picture_field
from dataset.transfer.regions import ImageTransfer, Transfer, carry, carry_or_leave, counted
from dataset.transfer.twins import Twins
from masks.pictures import PictureError

if TYPE_CHECKING:
    from core.report import Report

FIGURES = "transfer.jsonl"
VERSION = 1
SHOWN = 10


@dataclass
class FolderTransfer:
    """One run.

    Attributes:
        side: the masks.
        twins: the pictures that masks are carried to; None where only the masks are at hand.
        back: the twins are the RGB pictures, and `alignment` leads to them.
        aligned: the pictures lie on each other already; see `carry_or_leave`.
    """

    side: Side
    alignment: Alignment
    twins: Twins | None
    report: Report
    now: Callable[[], datetime]
    back: bool = False
    aligned: bool = False
    _classes: Classes = field(default_factory=Classes)
    _taken: dict[str, str] = field(default_factory=dict)

    def write(self, out: Path, options: ExportOptions) -> Transfer:
        """Write the masks of all pictures as an export.

        Raises:
            SettingsError: `out` is there already.
            LabelrigError: no picture has a twin; nothing is left at `out`.
        """
        found = Transfer(notes=[f"{self.side.name}: {line}" for line in self.side.notes.lines])
        unreadable = 0
        with whole_folder(out, force=options.force) as folder:
            writer, figures = open_writer(folder, options, {}), Lines(folder / FIGURES)
            try:
                for count, name in enumerate(sorted(self.side.images), 1):
                    self.report.progress(f"{count} of {len(self.side.images)} images")
                    one = ImageTransfer(name)
                    unreadable += self._carry(one, writer, len(found.done) + 1)
                    found.images.append(one)
                    if not one.reason:
                        figures.write(
                            {"image": name, "twin": one.twin, "regions": [vars(each) for each in one.regions]}
                        )
                writer.finish(self._classes)
            finally:
                writer.close()
                figures.close()
            if not found.done:
                reasons = [f"{inline(one.name)}: {inline(one.reason)}" for one in found.left_out]
                raise LabelrigError(f"no masks were carried over, nothing was written:\n{bulleted(reasons, SHOWN)}")
            found.notes += [
                *writer.notes(),
                *self.alignment.notes(),
                *counted([(unreadable, "regions could not be read as masks")]),
            ]
            (folder / "classes.json").write_text(self._classes.as_json(), encoding="utf-8")
            write_manifest(folder, self._facts(found, options))
        return found

    def _carry(self, one: ImageTransfer, writer: Writer, number: int) -> int:
        """Write one picture; returns how many of its regions cannot be read. What stops it is its `reason`."""
        masks = self.side.read(one.name)
        try:
            path = None if self.twins is None else self.twins.of(one.name)
            matrix = self._matrix(one.name, path)
            if masks.size_wh not in (None, self.alignment.source_wh):
                raise NotAligned(
                    f"has {_size(masks.size_wh)} pixels, and the registration is of pictures of "
                    f"{_size(self.alignment.source_wh)}"
                )
            one.twin, edges = self._twin(one.name, path)
            if other := self._taken.get(one.twin):
                raise NotAligned(f"its twin {one.twin} has the masks of {other}")
            objects = []
            for drawn in masks.drawn:
                given = (drawn.mask, drawn.label, drawn.region, matrix, self.alignment.target_wh)
                if self.aligned and edges is not None:
                    mask, figures = carry_or_leave(*given, edges)
                else:
                    mask, figures = carry(*given, edges)
                one.regions.append(figures)
                if figures.area and drawn.label:
                    objects.append(Object(self._region(drawn), mask))
            labels = tuple(each.region.label for each in objects)
            self._classes = self._classes.with_labels(labels)
            size_wh = self.alignment.target_wh
            writer.add(
                ExportImage(number, (), one.twin, "", None, size_wh, labels, tuple(objects), True), self._classes
            )
            self._taken[one.twin] = one.name
        except (NotAligned, NotWritable) as reason:
            one.reason = str(reason)
        return masks.unreadable

    def _matrix(self, name: str, twin: Path | None) -> Matrix:
        """Pairs are called by their RGB pictures: with `back` those are the twins."""
        if self.twins is None or twin is None:
            return self.alignment.of(name)
        rgb = self.twins.name_of(twin) if self.back else name
        return self.alignment.of(rgb, lambda: digest_of_file(twin))

    def _twin(self, name: str, path: Path | None) -> tuple[str, Field | None]:
        if self.twins is None or path is None:
            return name, None
        try:
            grey = grey_values(path)
        except PictureError as error:
            raise NotAligned(f"its twin {path} cannot be read: {error}") from None
        if grey.shape[::-1] != self.alignment.target_wh:
            seen, known = _size(grey.shape[::-1]), _size(self.alignment.target_wh)
            raise NotAligned(f"its twin {path} has {seen} pixels, and the registration is of pictures of {known}")
        return self.twins.name_of(path), picture_field(np.asarray(grey))

    def _region(self, drawn: Drawn) -> Region:
        return Region(drawn.region, "brush", (drawn.label,), "", None, self.alignment.target_wh, {})

    def _facts(self, found: Transfer, options: ExportOptions) -> dict[str, object]:
        facts = found.as_facts()
        del facts["per_image"]
        return {
            "labelrig_export": VERSION,
            "format": options.format,
            "made_at": self.now().isoformat(timespec="seconds"),
            "transfer": {"from": self.side.name, "alignment_sha256": self.alignment.sha256, **facts},
        }


def _size(size_wh: tuple[int, ...] | None) -> str:
    return "x".join(map(str, size_wh or ()))
