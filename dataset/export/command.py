"""What `./inv export` passes on: words of the command line become an Export. Heavy imports wait until it runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import SettingsError
from dataset.export.formats import FORMATS

if TYPE_CHECKING:
    from core.report import Report
    from dataset.export.run import ExportSummary
    from labelstudio.client import Client
    from labelstudio.models import Project

COCO = ("compressed", "uncompressed", "polygons")
# For the help of the task: the name of each argument, and what it does.
HELP = {
    "format": f"one of {', '.join(FORMATS)}",
    "out": "folder to write; it must not be there yet (default: exports/<project>-<format>)",
    "project": "the project, by its title or its name in projects.yaml (default: the one that `up` made)",
    "labels": "only these labels, with commas",
    "tasks": "only these tasks of Label Studio: ids and ranges, such as 12,20-99",
    "annotators": "only annotations of these e-mail addresses, with commas",
    "since": "only annotations changed on this day or later: 2026-03-01, or a time with its zone",
    "until": "only annotations changed until this day, the whole day",
    "annotations": "newest (the default; one marked as ground truth comes first) or all annotations of a task",
    "all-tasks": "also tasks that nobody has annotated yet",
    "config": "name in labeling_configs, where it cannot be told from the project",
    "config-version": "read results by this version, and leave out tags and labels that it lacks",
    "classes": "file with the class numbers (default: labeling_configs/<name>/classes.lock)",
    "coco": f"coco: how masks are written, {', '.join(COCO)} (polygons: where a mask has no hole)",
    "instance": "png: also which pixel belongs to which object",
    "split": "yolo-seg: one line for each part of a mask, instead of a bridge between them",
    "tolerance": "yolo-seg: leave out corners this many pixels from the outline (default: 0, exact)",
    "force": "replace an export that is there",
    "json": "print the result as JSON on stdout",
}


def find_project(client: Client, called: str, repository: Path) -> Project:
    """The project of this title; else the one that `projects.yaml` has under this name.

    Raises:
        SettingsError: there is none, or several.
    """
    titles = client.titles()
    for title in (called, *_titles_of(called, repository)):
        ids = [project_id for project_id, other in titles.items() if other == title]
        if len(ids) == 1:
            return client.project(ids[0])
        if ids:
            shown = ", ".join(map(str, ids))
            raise SettingsError(
                f"Label Studio has {len(ids)} projects called {title!r} (ids {shown}); rename all but one"
            )
    there = ", ".join(sorted(set(titles.values()))) or "none"
    raise SettingsError(
        f"Label Studio has no project called {called!r} (there are: {there}); --project takes the title as it is "
        "shown, or the name in labeling_configs/projects.yaml"
    )


def _titles_of(name: str, repository: Path) -> list[str]:
    """The titles that a project of `projects.yaml` may have: its own, or that of the demo images."""
    from infra.stack.stages import demo_spec
    from labelstudio.config import load_projects

    try:
        (spec,) = load_projects(repository, [name])
    except SettingsError:  # it is no name of ours, and a broken file is not what was asked about
        return []
    return [spec.title, demo_spec(spec).title]


def export_project(
    client: Client,
    title: str,
    repository: Path,
    report: Report,
    *,
    format_name: str,
    out: Path | None = None,
    labels: str | None = None,
    tasks: str | None = None,
    annotators: str | None = None,
    since: str | None = None,
    until: str | None = None,
    annotations: str | None = None,
    all_tasks: bool = False,
    config: str | None = None,
    config_version: int | None = None,
    classes: Path | None = None,
    coco: str = "compressed",
    instance: bool = False,
    split: bool = False,
    tolerance: float = 0.0,
    force: bool = False,
) -> ExportSummary:
    """Export a project; see HELP for the words.

    Raises:
        SettingsError: a word cannot be used, or `out` is there already. Nothing was written.
        LabelrigError: nothing fits, or Label Studio failed. Nothing is left at `out`.
    """
    from dataset.export.labeling import used_config
    from dataset.export.run import Export
    from dataset.export.selection import selection
    from dataset.export.writers.choice import ExportOptions

    problems = []
    if format_name not in FORMATS:
        problems.append(f"--format is one of {', '.join(FORMATS)}, not {format_name!r}")
    if coco not in COCO:
        problems.append(f"--coco is one of {', '.join(COCO)}, not {coco!r}")
    if not 0 <= tolerance <= 100:
        problems.append(f"--tolerance is a number of pixels from 0 to 100, not {tolerance}")
    if problems:
        raise SettingsError("; ".join(problems))
    # Label Studio's own JSON is for moving a project: everybody's work, and what they skipped.
    is_whole = format_name == "label-studio" and annotations is None
    chosen = selection(
        labels=labels,
        tasks=tasks,
        annotators=annotators,
        since=since,
        until=until,
        which=annotations or ("all" if is_whole else "newest"),
        annotated_only=not all_tasks,
    )
    project = find_project(client, title, repository)
    one = Export(
        client=client,
        project=project,
        config=used_config(repository, project.label_config, project.title, config, config_version),
        selection=replace(chosen, skipped=is_whole),
        options=ExportOptions(
            format=format_name,  # type: ignore[arg-type]  # looked at above
            coco=coco,  # type: ignore[arg-type]
            instances=instance,
            split=split,
            tolerance=tolerance,
            force=force,
        ),
        repository=repository,
        report=report,
        classes_file=classes,
    )
    return one.run(out or Path("exports") / f"{_as_name(project.title)}-{format_name}")


def _as_name(title: str) -> str:
    """A title as a folder's name."""
    return "".join(one if one.isalnum() or one in "-_." else "-" for one in title).strip("-.") or "project"
