"""What `./inv import` passes on: words of the command line become an Import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import SettingsError

if TYPE_CHECKING:
    from core.report import Report
    from dataset.importing.run import ImportSummary
    from labelstudio.client import Client

KINDS = ("annotation", "prediction")
# For the help of the task: the name of each argument, and what it does.
HELP = {
    "path": "a folder that `export` made, or a file: COCO, rle-json, or Label Studio's JSON",
    "project": "the project, by its title or its name in projects.yaml (default: the one that `up` made)",
    "format": "coco, rle-json or label-studio, where the file does not tell",
    "as": "annotation (default: tasks with somebody's own annotations are left alone) or prediction (only shown)",
    "create-tasks": "label-studio: make the tasks that are not there",
    "json": "print the result as JSON on stdout",
}


def import_into_project(
    client: Client,
    title: str,
    report: Report,
    *,
    path: Path,
    format_name: str | None = None,
    as_kind: str = "annotation",
    create_tasks: bool = False,
) -> ImportSummary:
    """Put an export into a project; see HELP for the words.

    Raises:
        SettingsError: a word or the file cannot be used. Nothing was stored.
        LabelrigError: no image of it is in the project, or Label Studio failed on the way; run it again to go on.
    """
    from core.repository import REPOSITORY
    from dataset.export.command import find_project
    from dataset.importing.run import Import

    if as_kind not in KINDS:
        raise SettingsError(f"--as is {' or '.join(KINDS)}, not {as_kind!r}")
    return Import(
        client=client,
        project=find_project(client, title, REPOSITORY),
        report=report,
        as_kind=as_kind,  # type: ignore[arg-type]  # looked at above
        create_tasks=create_tasks,
    ).run(path, format_name)
