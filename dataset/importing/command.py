"""From the command line of `./inv import` to an Import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import SettingsError

if TYPE_CHECKING:
    from core.report import Report
    from dataset.importing.run import ImportSummary
    from labelstudio.client import Client
    from labelstudio.models import Project

KINDS = ("annotation", "prediction")
# For the help of the task: the name of each argument, and what it does.
HELP = {
    "path": "a folder that `export` made, or a file: COCO, rle-json, or Label Studio's JSON",
    "label": "THEIRS=OURS: what a label of the file is called in the project; may be given several times",
    "image": "only the images of this image tag, where a task has several",
    "skip-broken": "leave out regions that cannot be read, and name them",
    "project": "the project: its name in projects.yaml, or its title (default: the default project of that file)",
    "format": "coco, rle-json or label-studio (default: what the file is)",
    "as": "annotation (default: tasks with other annotations are left alone) or prediction (only shown)",
    "create-tasks": "label-studio: make the tasks that are not there",
    "json": "print the result as JSON on stdout",
}


@dataclass(frozen=True)
class ImportRequest:
    """The options of the command line; see HELP."""

    path: Path
    format: str | None = None
    kind: str = "annotation"
    create_tasks: bool = False
    skip_broken: bool = False
    label: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None

    def __post_init__(self) -> None:
        """Check the options before anything is connected.

        Raises:
            SettingsError: one of them, or the file, cannot be used.
        """
        from dataset.importing.files import find_file

        if self.kind not in KINDS:
            raise SettingsError(f"--as is {' or '.join(KINDS)}, not {self.kind!r}")
        find_file(self.path, self.format)


def import_into_project(client: Client, project: Project, report: Report, request: ImportRequest) -> ImportSummary:
    """Put an export into a project.

    Raises:
        SettingsError: the file is broken, or does not fit the project. Nothing was stored.
        LabelrigError: no image of it is in the project, or Label Studio failed on the way; run it again to go on.
    """
    from dataset.importing.run import Import

    one = Import(
        client=client,
        project=project,
        report=report,
        as_kind=request.kind,  # type: ignore[arg-type]  # checked above
        create_tasks=request.create_tasks,
        skip_broken=request.skip_broken,
        labels=request.label,
        image=request.image,
    )
    return one.run(request.path, request.format)
