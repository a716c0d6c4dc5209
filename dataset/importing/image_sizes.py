"""Whether the images of a project have the sizes that a file counts its pixels in.

Label Studio draws a brush mask by the size of the image that it shows: one of another size becomes stripes, without a
word. Tools that do not apply the EXIF orientation say a turned photograph's width for its height.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from core.errors import LabelStudioError
from core.report import Report
from core.text import shortened
from dataset.export.sizes import size_of
from dataset.importing.source import Placed
from dataset.problems import FileProblems
from labelstudio.image_files import served_at

if TYPE_CHECKING:
    from labelstudio.client import Client


def of_right_size(
    client: Client, by_task: Mapping[int, list[Placed]], problems: FileProblems, report: Report
) -> dict[int, list[Placed]]:
    """Leave out the images of another size than the file says; each is a problem of the file.

    An image whose size cannot be had is taken, and a notice says so.
    """
    counted = sum(bool(one.entry.sizes) for found in by_task.values() for one in found)
    kept: dict[int, list[Placed]] = {}
    unknown: list[str] = []
    looked, began = 0, time.monotonic()
    for task, found in by_task.items():
        for one in found:
            if one.entry.sizes:
                looked += 1
                report.progress(f"import: size of {looked} of {counted} images, {time.monotonic() - began:.0f} s")
                try:
                    problem = _problem_of(one, size_of(client, served_at(one.url, task)))
                except LabelStudioError as error:
                    unknown.append(str(error))
                    problem = ""
                if problem:
                    problems.region(f"{one.entry.file_name}: {problem}")
                    continue
            kept.setdefault(task, []).append(one)
    if unknown:
        report.notice(
            f"the sizes of {len(unknown)} images could not be compared with those in the file (the first: "
            f"{shortened(unknown[0])}); look whether their masks lie where they should"
        )
    return kept


def _problem_of(placed: Placed, shown_wh: tuple[int, int]) -> str:
    said = sorted(placed.entry.sizes - {shown_wh})
    if not said:
        return ""
    shown = "x".join(map(str, shown_wh))
    turned = " (turned, as its EXIF orientation says)" if shown_wh[::-1] == said[0] else ""
    return f"the file says {'x'.join(map(str, said[0]))} pixels, the image is shown with {shown}{turned}"
