"""`./inv agreement A B`: how far two sets of masks agree."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import SettingsError
from dataset.out_file import write_file

if TYPE_CHECKING:
    from core.report import Report
    from dataset.agreement.choice import Chosen
    from labelstudio.client import Client
    from labelstudio.models import Project

HELP = {
    "a": "Label Studio's JSON, COCO, a folder of class maps or of an export, or a project; `A:EMAIL` takes the "
    "annotations of one person, `A:predictions` those of the model",
    "b": "the other one; with precision and recall it is the reference",
    "classes": 'names of the class numbers of a folder: a JSON file, {"1": "car"} or as classes.lock',
    "html": "the page to write (default: agreement.html here; `-` writes none)",
    "csv": "also write a line for each class of each image into this file",
}


@dataclass(frozen=True)
class AgreementRequest:
    """What the command line asks for. None of a file means that it is not written."""

    a: Chosen
    b: Chosen
    classes: Path | None = None
    html: Path | None = None
    csv: Path | None = None

    @property
    def needs_server(self) -> bool:
        """Whether a side is a project."""
        return self.a.path is None or self.b.path is None


def run_agreement(
    request: AgreementRequest,
    report: Report,
    find: Callable[[str], tuple[Client, Project]] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> str:
    """Compare, write the files, and return the table.

    Args:
        find: the project of a key or title; None where no server is at hand.

    Raises:
        SettingsError: a side cannot be read.
        LabelrigError: there is no image that both have annotated.
        FileAccessError: a file cannot be written.
    """
    from dataset.agreement.choice import opened_side
    from dataset.agreement.compare import compare
    from dataset.agreement.figures import as_csv, as_facts, table
    from dataset.agreement.page import pictures_of, render

    with ExitStack() as open_sides, report.stage("agreement"):
        a = open_sides.enter_context(closing(opened_side(request.a, request.classes, report, find or no_server)))
        b = open_sides.enter_context(closing(opened_side(request.b, request.classes, report, find or no_server)))
        found = compare(a, b, report)
        report.facts.update(as_facts(found))
        lines = [table(found)]
        if request.html is not None:
            report.progress("pictures of the worst images")
            write_file(request.html, render(found, pictures_of(found, a, b), now()))
            lines.append(f"\n{request.html} shows the worst images first")
        if request.csv is not None:
            write_file(request.csv, as_csv(found))
            lines.append(f"{request.csv} has a line for each class of each image")
    return "\n".join(lines)


def no_server(called: str) -> tuple[Client, Project]:
    raise SettingsError(f"{called}: is no file, and no server is at hand to look for a project")
