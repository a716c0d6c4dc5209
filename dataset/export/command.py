"""From the command line of `./inv export` to an Export. Heavy imports wait until it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import SettingsError
from dataset.export.formats import COCO, FORMATS, IGNORE, OVERLAPS, PICTURE_DEPTHS, SHARES, SIDES, ExportOptions

if TYPE_CHECKING:
    from core.report import Report
    from dataset.export.run import ExportSummary
    from dataset.export.selection import Selection
    from labelstudio.client import Client
    from labelstudio.models import Project

# For the help of the task: the name of each argument, and what it does.
HELP = {
    "format": f"one of {', '.join(FORMATS)}",
    "out": "folder to write; it must not exist yet (default: exports/<project>-<format>)",
    "project": "the project: its name in projects.yaml, or its title (default: the default project of that file)",
    "labels": "only these labels, comma-separated",
    "tasks": "only these tasks of Label Studio: ids and ranges, such as 12,20-99",
    "annotators": "only annotations of these e-mail addresses, comma-separated",
    "since": "only annotations changed on this day or later: 2026-03-01, or a time with its zone",
    "until": "only annotations changed up to and including this day",
    "annotations": "newest (the default; one marked as ground truth comes first) or all annotations of a task",
    "all-tasks": "also tasks without an annotation",
    "config": "name in labeling_configs, when the project names none",
    "config-version": "read results by this version, and leave out tags and labels that it lacks",
    "classes": "file with the class numbers (default: labeling_configs/<name>/classes.lock)",
    "coco": f"coco: mask encoding, {', '.join(COCO)} (with polygons a mask with holes stays run-length coded)",
    "instance": "png: also which pixel belongs to which object",
    "mots": "png: also mots/<image>.png, 16 bits: class x 1000 + the object's number in its sequence",
    "split": "yolo-seg: one line for each part of a mask, instead of a bridge between them",
    "tolerance": "yolo-seg: leave out corners this many pixels from the outline (default: 0, exact)",
    "ignore": f"dataset: the value of pixels that nobody labelled, 0 to 255 (default: {IGNORE})",
    "overlap": "dataset: drawn (default: what is drawn later lies above) or refuse (such images are left out)",
    "priority": "dataset: labels that lie above all others, the highest first, comma-separated",
    "shares": f"dataset: of train, val and test in percent (default: {SHARES})",
    "seed": "dataset: of the split; the same seed gives the same split (default: 0)",
    "group": "dataset: an expression such as 'flight [0-9]+': samples of one match stay together; may be given again",
    "link": "dataset: link pictures instead of copying them; the folder that file names count from, /NAS/home/me",
    "pictures": f"dataset: {', '.join(PICTURE_DEPTHS[:-1])} (grey as PNG of so many bits) or {PICTURE_DEPTHS[-1]} (one "
    "PNG of four channels a pair); default: original",
    "alignment": "dataset: what `./inv pairs.register` wrote; puts both pictures of a pair and their masks on one grid",
    "grid": f"dataset: with --alignment, whose pixels: {' or '.join(SIDES)} (default: rgb)",
    "to": "dataset: the project that shows the thermal twins, where tasks do not show both pictures",
    "image": "dataset: of pairs, the image tag of the RGB picture (default: the first)",
    "to-image": "dataset: of pairs, that of the thermal one (default: the other one)",
    "force": "replace an existing export",
    "json": "print the result as JSON on stdout",
}


@dataclass(frozen=True)
class ExportRequest(ExportOptions):
    """The options of the command line; see HELP. `selection` is what they select."""

    out: Path | None = None
    labels: str | None = None
    tasks: str | None = None
    annotators: str | None = None
    since: str | None = None
    until: str | None = None
    annotations: str | None = None
    all_tasks: bool = False
    config: str | None = None
    config_version: int | None = None
    classes: Path | None = None
    to: str | None = None

    def __post_init__(self) -> None:
        """Check the options before anything is connected.

        Raises:
            SettingsError: lists every option that cannot be used.
        """
        problems = []
        if self.format not in FORMATS:
            problems.append(f"--format is one of {', '.join(FORMATS)}, not {self.format!r}")
        if self.coco not in COCO:
            problems.append(f"--coco is one of {', '.join(COCO)}, not {self.coco!r}")
        if not 0 <= self.tolerance <= 100:
            problems.append(f"--tolerance is a number of pixels from 0 to 100, not {self.tolerance}")
        if self.format == "dataset":
            problems += self._dataset_problems()
        elif self.to is not None or self.alignment is not None:
            problems.append(f"--to and --alignment are of --format dataset, not of {self.format}")
        try:
            self.selection()
        except SettingsError as error:
            problems.append(str(error))
        if problems:
            raise SettingsError("; ".join(problems))

    def _dataset_problems(self) -> list[str]:
        from dataset.export.splits import read_group, read_shares

        problems = []
        if not 0 <= self.ignore <= 255:
            problems.append(f"--ignore is a number from 0 to 255, not {self.ignore}")
        if self.overlap not in OVERLAPS:
            problems.append(f"--overlap is {' or '.join(OVERLAPS)}, not {self.overlap!r}")
        if self.link is not None and not self.link.is_dir():
            problems.append(f"--link {self.link}: there is no such folder")
        if self.pictures not in PICTURE_DEPTHS:
            problems.append(f"--pictures is one of {', '.join(PICTURE_DEPTHS)}, not {self.pictures!r}")
        if self.grid not in SIDES:
            problems.append(f"--grid is {' or '.join(SIDES)}, not {self.grid!r}")
        if self.pictures == "rgbt" and self.alignment is None:
            problems.append("--pictures rgbt needs --alignment FILE, which `./inv pairs.register` writes")
        try:
            read_shares(self.shares)
            for one in self.group:
                read_group(one)
            if self.alignment is not None:
                from dataset.export.pair_sources import grid_of

                grid_of(self)
        except SettingsError as error:
            problems.append(str(error))
        return problems

    def selection(self) -> Selection:
        """The tasks, annotations and labels that are taken."""
        from dataset.export.selection import selection

        # Label Studio's own JSON is for moving a project: all annotations, and the tasks that were skipped.
        is_whole = self.format == "label-studio" and self.annotations is None
        chosen = selection(
            labels=self.labels,
            tasks=self.tasks,
            annotators=self.annotators,
            since=self.since,
            until=self.until,
            which=self.annotations or ("all" if is_whole else "newest"),
            annotated_only=not self.all_tasks,
        )
        return replace(chosen, skipped=is_whole)


def export_project(
    client: Client,
    project: Project,
    repository: Path,
    report: Report,
    request: ExportRequest,
    target: Project | None = None,
) -> ExportSummary:
    """Export a project.

    Args:
        target: of a data set of two projects, the one that shows the twins.

    Raises:
        SettingsError: `out` is there already, or the configuration cannot be read. Nothing was written.
        LabelrigError: nothing fits, or Label Studio failed. Nothing is left at `out`.
    """
    from dataset.export.labeling import used_config
    from dataset.export.run import Export
    from dataset.pair_sides import project_sides

    sides = None
    if request.format == "dataset" and (target is not None or request.alignment is not None):
        sides = project_sides(project, target, request.image, request.to_image)
    config, version = request.config, request.config_version
    one = Export(
        client=client,
        project=project,
        config=used_config(repository, project.label_config, project.title, config, version),
        selection=request.selection(),
        options=request,
        repository=repository,
        report=report,
        classes_file=request.classes,
        sides=sides,
    )
    return one.run(request.out or Path("exports") / f"{_as_name(project.title)}-{request.format}")


def _as_name(title: str) -> str:
    """A title as a folder's name."""
    return "".join(one if one.isalnum() or one in "-_." else "-" for one in title).strip("-.") or "project"
