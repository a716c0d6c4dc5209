"""Boxes of a COCO file. Everything that is wrong in it is reported at once, before the model is used."""

from __future__ import annotations

from pathlib import Path

from dataset.coco_file import BoxForm, CocoFile, box_of
from dataset.preannotate.boxes import Box, BoxFile
from dataset.problems import FileProblems


def read_coco(path: Path, *, skip_broken: bool = False) -> BoxFile:
    """Read `images`, `categories` and the `bbox` of `annotations`.

    Raises:
        SettingsError: it cannot be read, is not COCO, or ids and boxes in it do not fit; lists the problems.
    """
    problems = FileProblems(f"{path}: cannot be used as COCO; nothing was done", skip_broken=skip_broken)
    file = CocoFile(path, problems)
    found = BoxFile(path.name, notices=problems.notices, broken=problems.broken)
    form = BoxForm()
    for one in file.annotations():
        try:
            x, y, width, height = box_of(one.row.get("bbox"), one.size_wh)
        except ValueError as error:
            problems.region(f"{one.name}: {error}")
            continue
        form.add(one.name, (x, y, width, height), one.size_wh)
        across, down = (100 / whole for whole in one.size_wh)
        box = Box(one.label, x * across, y * down, width * across, height * down, of_wh=one.size_wh)
        found.by_image.setdefault(one.image.file_name, []).append(box)
    form.check(problems)
    problems.check()
    return found
