"""Pairs of a data set: the two images of a project's tasks, or those of two projects; the tasks that are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.text import some
from dataset.export.formats import ExportOptions
from dataset.export.grid import Grid
from dataset.export.image_name import file_name_of
from dataset.export.labeling import UsedConfig
from dataset.export.samples import Pairing, Samples, numbered, rgb_urls, sample_names
from dataset.export.selection import Selection
from dataset.pair_sides import NoTwin, ProjectSides, TwinLookup
from dataset.registration.alignment import read_alignment
from labelstudio.bulk import TaskRow, task_rows
from labelstudio.models import Project

if TYPE_CHECKING:
    from core.report import Report
    from dataset.export.manifest import Tally
    from labelstudio.client import Client


@dataclass(frozen=True)
class Source:
    """Tasks that an export reads: of which project, by which configuration, and what of them."""

    project: Project
    config: UsedConfig
    selection: Selection
    rows: Sequence[TaskRow]


def grid_of(options: ExportOptions) -> Grid | None:
    """The grid of `--alignment`.

    Raises:
        SettingsError: the file cannot be used.
    """
    return None if options.alignment is None else Grid(read_alignment(options.alignment), options.grid)


def pair_sources(
    client: Client, sides: ProjectSides, source: Source, tally: Tally, report: Report
) -> tuple[list[Source], Samples]:
    """What is read for pairs, and the samples that they are.

    A sample of two projects is an image of the RGB project with its twin; the thermal task may have no annotation.
    Images without a twin are counted and named.

    Args:
        source: the tasks of the RGB project.
    """
    names = sample_names(source.rows, source.config.images_of)
    rgb = rgb_urls(source.rows, source.config.images_of, names, sides.source_image)
    if sides.is_one:
        return [source], Samples(names, Pairing(sides.source_image, sides.target_image), rgb)
    lookup = TwinLookup(client, sides)
    twins: dict[tuple[int, int], list[str]] = {}
    kept: list[TaskRow] = []
    alone: list[str] = []
    for count, row in enumerate(source.rows, 1):
        report.progress(f"export: twins of {count} of {len(source.rows)} tasks")
        found = 0
        for image in lookup.images_of(row.data):
            try:
                twin = lookup.find(row.id, row.data, image)
            except NoTwin as reason:
                alone.append(f"{file_name_of(image.url)} ({reason})")
                continue
            twins.setdefault((twin.task, twin.item_index or 0), []).append(numbered(names[row.id], image.item_index))
            found += 1
        if found:
            kept.append(row)
    tally.left_out["picture without twin"] += len(alone)
    if alone:
        tally.note(f"{len(alone)} pictures have no twin and are left out: {some(alone)}")
    tasks = {task for task, _ in twins}
    rows = [row for row in task_rows(client, sides.target.id) if row.id in tasks]
    thermal = Source(
        sides.target, sides.target_config, replace(source.selection, annotated_only=False, task_ids=()), rows
    )
    pairing = Pairing(sides.source_image, sides.target_image, twins)
    return [replace(source, rows=kept), thermal], Samples(names, pairing, rgb)
