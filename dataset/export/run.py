"""`./inv export`: the masks of a project as a folder that other tools load."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import LabelrigError, SettingsError
from core.report import Report
from core.text import inline, some
from dataset.export.assemble import Assembler
from dataset.export.classes import FILE as CLASSES_FILE
from dataset.export.classes import Classes, read_classes, write_classes
from dataset.export.folder import whole_folder
from dataset.export.formats import ExportOptions
from dataset.export.image_name import file_name_of
from dataset.export.labeling import UsedConfig
from dataset.export.manifest import Tally, write_manifest
from dataset.export.selection import Selection
from dataset.export.sizes import size_of
from dataset.export.tracks import has_notes
from dataset.export.writers.base import ExportImage, LeftOut, Lines, NotWritable, Writer
from dataset.export.writers.choice import open_writer
from labeling.data_urls import is_data_url, shown_data_url
from labeling.images import TaskImage
from labeling.tracks import MODEL_VERSION as PROPAGATED
from labelstudio.bulk import TaskReader, TaskRow, WholeTask, task_rows, tasks_with_drafts
from labelstudio.models import Project
from labelstudio.versions import FOLDER

if TYPE_CHECKING:
    from dataset.export.pair_sources import Source
    from dataset.export.pictures import Pictures
    from dataset.pair_sides import ProjectSides
    from labelstudio.client import Client

VERSION = 1
SHOWN = 5


@dataclass(frozen=True)
class ExportSummary:
    """What was written. `problems` are regions and images that could not be exported, in sentences."""

    folder: Path
    format: str
    images: int
    regions: int
    per_class: dict[str, int]
    problems: tuple[str, ...]
    seconds: float

    def sentence(self) -> str:
        """For people."""
        classes = ", ".join(f"{inline(label)} {number}" for label, number in sorted(self.per_class.items()))
        what = f"{self.regions} masks on {self.images} images in {self.seconds:.1f} s"
        missing = f"; {len(self.problems)} could not be exported (see manifest.json)" if self.problems else ""
        return f"{self.folder}: {self.format}, {what}{f' ({classes})' if classes else ''}{missing}"


@dataclass
class Export:
    """One export of one project.

    Attributes:
        client, project: where from.
        config: by which labeling configuration results are read.
        selection: which of them.
        classes_file: the class numbers; None means that of the configuration (see `classes`).
        sides: of a data set of pairs, their projects and image tags.
        repository: holds `labeling_configs`.
    """

    client: Client
    project: Project
    config: UsedConfig
    selection: Selection
    options: ExportOptions
    repository: Path
    report: Report
    classes_file: Path | None = None
    sides: ProjectSides | None = None
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def run(self, out: Path) -> ExportSummary:
        """Write the export to `out`, as a whole or not at all.

        Raises:
            SettingsError: `out` is there already, or there is no place for the class numbers.
            LabelrigError: nothing fits the selection, or Label Studio failed. Nothing is left at `out`.
        """
        began = time.monotonic()
        lock = self._lock_file()
        before = read_classes(lock)
        own = self._own_labels()
        self._check_labels([*own, *(one.name for one in before.known)])
        classes = before.with_labels(own, present=self._present())
        tally = Tally()
        with whole_folder(out, force=self.options.force) as folder:
            self._count_drafts(tally)
            sources, pictures = self._sources(tally)
            writer = open_writer(folder, self.options, self._colours(), pictures)
            try:
                classes = self._write(folder, sources, writer, classes, tally)
            finally:
                writer.close()
            for note in writer.notes():
                tally.note(note)
            if not tally.images:
                raise LabelrigError(self._nothing(sum(len(one.rows) for one in sources), tally))
            (folder / "classes.json").write_text(classes.as_json(), encoding="utf-8")
            write_manifest(folder, self._facts(tally, classes, has_pixels=writer.needs_masks))
            if write_classes(lock, before, classes):
                self.report.notice(f"{lock} has new class numbers: commit it")
        summary = ExportSummary(
            folder=out,
            format=self.options.format,
            images=tally.images,
            regions=sum(tally.regions.values()),
            per_class=dict(tally.regions),
            problems=tuple(tally.problems),
            seconds=time.monotonic() - began,
        )
        self._tell(summary, tally)
        return summary

    def _sources(self, tally: Tally) -> tuple[list[Source], Pictures | None]:
        """The tasks that are read, and for a data set their pictures."""
        from dataset.export.pair_sources import Source

        source = Source(self.project, self.config, self.selection, self._rows())
        if self.options.format != "dataset":
            return [source], None
        from dataset.export.pair_sources import grid_of, pair_sources
        from dataset.export.pictures import Pictures
        from dataset.export.samples import Samples, sample_names, tags_of
        from dataset.fetching import fetch_image

        if self.sides is None:
            sources, shown = [source], self.config.images_of
            samples = Samples(sample_names(source.rows, shown), tags=tags_of(source.rows, shown))
        else:
            sources, samples = pair_sources(self.client, self.sides, source, tally, self.report)
        fetch, options = functools.partial(fetch_image, self.client), self.options
        return sources, Pictures(fetch, samples, options.link, options.pictures, grid_of(options))

    def _own_labels(self) -> list[str]:
        """The labels of the configuration, or of both sides'."""
        twin = [] if self.sides is None else self.sides.target_config.labeling.labels
        return list(dict.fromkeys([*self.config.labeling.labels, *twin]))

    def _present(self) -> list[str] | None:
        """The labels that are not retired; None where another version than the project's own is read."""
        return None if self.config.strict else self._own_labels()

    def _colours(self) -> dict[str, str]:
        twin = {} if self.sides is None else self.sides.target_config.labeling.colours
        return {**twin, **self.config.labeling.colours}

    def _lock_file(self) -> Path:
        if self.classes_file is not None:
            return self.classes_file
        if self.config.name is None:
            raise SettingsError(
                f"the labeling configuration of {self.project.title!r} is none of {FOLDER}, so its class numbers "
                "have no place there: give a file that keeps them over exports, --classes FILE"
            )
        return self.repository / FOLDER / self.config.name / CLASSES_FILE

    def _check_labels(self, known: list[str]) -> None:
        """A typing error would otherwise be an export without masks, or with others on top."""
        for option, given in (("--labels", self.selection.labels), ("--priority", set(self.options.priority))):
            if unknown := sorted(given - set(known)):
                raise SettingsError(
                    f"{option}: the project {self.project.title!r} has no {', '.join(map(repr, unknown))} (there are: "
                    f"{', '.join(dict.fromkeys(known))})"
                )

    def _rows(self) -> list[TaskRow]:
        """The tasks in the order of their images' names, which is the same on every server."""
        rows = []
        for number, row in enumerate(task_rows(self.client, self.project.id), 1):
            self.report.progress(f"export: {number} tasks found")
            if self.selection.takes_task(row):
                rows.append(row)

        def order(row: TaskRow) -> tuple[str, int]:
            shown = self.config.images_of(row.data)
            return (file_name_of(shown[0].url) if shown else "", row.id)

        return sorted(rows, key=order)

    def _write(
        self, folder: Path, sources: Sequence[Source], writer: Writer, classes: Classes, tally: Tally
    ) -> Classes:
        origin = Lines(folder / "origin.jsonl")
        pace = _Pace(self.report, sum(len(one.rows) for one in sources))
        try:
            for source in sources:
                classes = self._read(source, origin, writer, classes, tally, pace)
            writer.finish(classes)
        finally:
            origin.close()
        return classes

    def _read(
        self, source: Source, origin: Lines, writer: Writer, classes: Classes, tally: Tally, pace: _Pace
    ) -> Classes:
        """Write what the tasks of a project hold; return the class numbers with those of its labels."""
        sizes = functools.partial(size_of, self.client)
        needs = {"needs_masks": writer.needs_masks, "needs_sizes": writer.needs_sizes}
        predicted = writer.wants_tracks and bool(self.client.tasks_predicted_by(source.project.id, PROPAGATED))
        needs["has_tracks"] = predicted or (writer.wants_tracks and has_notes(self.client, source.project.id))
        assembler = Assembler(source.config, source.selection, tally, source.rows, sizes, **needs)
        reader = TaskReader(self.client, source.project.id, with_predictions=predicted)
        for whole in reader.read([row.id for row in source.rows]):
            task = assembler.task(whole)
            pace.step(tally)
            if task is not None:
                writer.add_task(task)
                origin.write(_origin(whole, source.config.images_of(whole.data)))
            for image in assembler.images(whole):
                classes = self._add(image, writer, classes, assembler, tally)
        for image in assembler.rest():
            classes = self._add(image, writer, classes, assembler, tally)
        return classes

    def _add(self, image: ExportImage, writer: Writer, classes: Classes, assembler: Assembler, tally: Tally) -> Classes:
        """Write one image; return the class numbers with those of its labels."""
        numbered = classes.with_labels(image.labels, present=self._present())
        try:
            writer.add(image, numbered)
        except NotWritable as reason:
            tally.problem(f"task {image.tasks[0]}: {image.file_name} was left out: {reason}")
            return classes
        except LeftOut as reason:
            tally.left_out[str(reason)] += 1
            return classes
        assembler.count(image)
        if not writer.keeps_all_labels:
            tally.left_out["further label"] += sum(len(one.region.labels) - 1 for one in image.objects)
        return numbered

    def _count_drafts(self, tally: Tally) -> None:
        """What people drew and did not submit is in no export; Label Studio tells the tasks, not whose draft it is."""
        tally.drafts = [one for one in tasks_with_drafts(self.client, self.project.id) if self.selection.takes_id(one)]
        if self.sides is not None and not self.sides.is_one:
            tally.drafts += tasks_with_drafts(self.client, self.sides.target.id)
        tally.left_out["draft"] = len(tally.drafts)

    def _nothing(self, rows: int, tally: Tally) -> str:
        reasons = ", ".join(f"{number} {reason}" for reason, number in tally.left_out.items() if number)
        seen = f"{rows} of its tasks were read{f'; left out: {reasons}' if reasons else ''}"
        if not rows and self.selection.annotated_only and not self.selection.task_ids:
            seen = "it has no annotation yet; --all-tasks takes its images too"
            if tally.drafts:
                seen += f"; tasks {some(tally.drafts)} hold drafts: open them and press Submit"
        first = f"; the first problem: {tally.problems[0]}" if tally.problems else ""
        return f"nothing in the project {self.project.title!r} fits the selection ({seen}){first}; nothing was written"

    def _facts(self, tally: Tally, classes: Classes, *, has_pixels: bool) -> dict[str, Any]:
        counts = tally.as_json({one.name: one.id for one in classes.known})
        if not has_pixels:
            for one in counts["classes"].values():
                del one["pixels"]
        return {
            "labelrig_export": VERSION,
            "format": self.options.format,
            "made_at": self.now().isoformat(timespec="seconds"),
            "project": {"id": self.project.id, "title": self.project.title},
            "config": {
                "name": self.config.name,
                "version": self.config.version,
                "strict": self.config.strict,
                "sha256": self.config.sha256,
            },
            "options": {
                "coco": self.options.coco,
                "instances": self.options.instances,
                "mots": self.options.mots,
                "split": self.options.split,
                "tolerance": self.options.tolerance,
                **self._dataset_options(),
            },
            "selection": self.selection.as_json(),
            "counts": counts,
        }

    def _dataset_options(self) -> dict[str, Any]:
        if self.options.format != "dataset":
            return {}
        names = ("ignore", "overlap", "priority", "shares", "seed", "group", "pictures", "grid")
        facts = {name: getattr(self.options, name) for name in names}
        if self.sides is not None and not self.sides.is_one:
            facts["to"] = {"id": self.sides.target.id, "title": self.sides.target.title}
        return facts

    def _tell(self, summary: ExportSummary, tally: Tally) -> None:
        self.report.facts["export"] = {
            "folder": str(summary.folder),
            "format": summary.format,
            "images": summary.images,
            "regions": summary.regions,
            "classes": summary.per_class,
            "left_out": {reason: number for reason, number in tally.left_out.items() if number},
            "problems": list(summary.problems),
        }
        for line in [*tally.report_lines(), *summary.problems[:SHOWN]]:
            self.report.notice(line)


class _Pace:
    """Progress with a rate."""

    def __init__(self, report: Report, total: int) -> None:
        self._report = report
        self._total = total
        self._done = 0
        self._began = time.monotonic()

    def step(self, tally: Tally) -> None:
        self._done += 1
        rate = self._done / max(time.monotonic() - self._began, 1e-3)
        left = (self._total - self._done) / rate
        self._report.progress(
            f"export: {self._done} of {self._total} tasks, {sum(tally.regions.values())} masks, "
            f"{rate:.1f} tasks a second, {left:.0f} s left"
        )


def _origin(whole: WholeTask, images: Iterable[TaskImage]) -> dict[str, Any]:
    """What belongs to this server: for tracing a mask back, not for an import."""
    return {
        "task": whole.id,
        "images": [
            {
                "file_name": file_name_of(one.url),
                "url": shown_data_url(one.url) if is_data_url(one.url) else one.url,
                "to_name": one.name,
            }
            for one in images
        ],
        "annotations": [
            {"id": one.id, "annotator": one.annotator, "created_at": one.created_at, "updated_at": one.updated_at}
            for one in whole.annotations
        ],
    }
