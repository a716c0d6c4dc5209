"""A COCO file as a side: every image that the file lists counts as annotated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataset.agreement.side import Drawn, ImageMasks, SideNotes
from dataset.coco_file import CocoFile
from dataset.importing.coco import mask_of
from dataset.importing.source import Spool
from dataset.problems import FileProblems

if TYPE_CHECKING:
    from core.report import Report


class CocoSide:
    """See `Side`.

    Raises:
        SettingsError: the file is not JSON, or no COCO.
    """

    has_objects = True

    def __init__(self, path: Path, report: Report) -> None:
        self.name = str(path)
        self.notes = SideNotes()
        self._spool = Spool()
        self._sizes: dict[str, tuple[int, int] | None] = {}
        self._of_image: dict[str, list[int]] = {}
        try:
            self._take(path, report)
        except BaseException:
            self._spool.close()
            raise

    @property
    def images(self) -> Sequence[str]:
        return list(self._sizes)

    def read(self, image: str) -> ImageMasks:
        size_wh = self._sizes[image]
        drawn, unreadable = [], 0
        for number in self._of_image.get(image, ()):
            if size_wh is None:  # then there are none
                break
            label, row = self._spool.get(number)
            try:
                mask = mask_of(row, size_wh)
            except ValueError:
                unreadable += 1
                continue
            if mask is not None:
                drawn.append(Drawn(label, mask, str(row.get("region") or "")))
        return ImageMasks(drawn, size_wh, unreadable)

    def close(self) -> None:
        self._spool.close()

    def _take(self, path: Path, report: Report) -> None:
        problems = FileProblems(f"{path} cannot be compared", skip_broken=True)
        file = CocoFile(path, problems)
        problems.check()
        self._sizes = {one.file_name: one.size_wh for one in file.images.values()}
        for count, one in enumerate(file.annotations(), 1):
            report.progress(f"{path.name}: {count} annotations read")
            self._of_image.setdefault(one.image.file_name, []).append(self._spool.add([one.label.strip(), one.row]))
        self.notes.lines += problems.notices
        if problems.broken:
            self.notes.lines.append(f"{len(problems.broken)} annotations were left out: {problems.broken[0]}")
