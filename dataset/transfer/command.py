"""`./inv pairs.transfer`: the masks of one picture on its twin, by the transform that `pairs.register` found.

Of files into a folder, or inside Label Studio: from one image of a task to the other, or between two projects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import SettingsError
from core.text import some

if TYPE_CHECKING:
    from core.report import Report
    from dataset.transfer.regions import Transfer
    from hosts.base import Exec
    from labelstudio.client import Client
    from labelstudio.models import Project

ALIGNMENT = Path("alignment.yaml")
OUT_FORMATS = ("coco", "png", "rle-json")
KINDS = ("prediction", "draft", "annotation")
REFINE = ("sam2", "none")
HELP = {
    "masks": "files: Label Studio's JSON, COCO, a folder of class maps or an export; `FILE:EMAIL` takes one person's",
    "project": "without --masks: the project, by its name in projects.yaml or its title (default: the default project)",
    "to": "the project that shows the twins (default: the tasks show both pictures)",
    "image": "the image tag that has the masks, where a task shows several (default: the first)",
    "to-image": "the image tag of the twin (default: the other one)",
    "annotators": "only annotations of these e-mail addresses, comma-separated",
    "label": "THEIRS=OURS: what a label is called on the twin; THEIRS= leaves its masks out; several times",
    "kind": "prediction (default); draft: of whoever drew the masks; or annotation: with --to, in tasks that have none",
    "refine": "sam2 (default in Label Studio): SAM2's masks where they follow the twin's edges better; or none",
    "alignment": "what `./inv pairs.register` wrote (default: alignment.yaml here)",
    "twins": "the folder of the pictures that masks are carried to: their names, and how well each mask fits",
    "out": "the folder to write, an export; it must not exist yet (default: transferred)",
    "format": f"of the folder: {', '.join(OUT_FORMATS)} (default: coco)",
    "classes": 'of class maps, the names of their numbers: a JSON file, {"1": "car"} or as classes.lock',
    "aligned": "the pictures lie on each other already, nearly: a mask moves only where the twin's edges say so",
    "back": "from thermal pictures to RGB ones",
    "force": "replace an export that is there",
}

APPLY_HELP = {
    "project": "the project of pairs, by its name in projects.yaml or its title (default: the default project)",
    "alignment": "what `./inv pairs.register` wrote (default: alignment.yaml here)",
    "image": "the image tag of the RGB pictures, where a task shows several (default: the first)",
    "to-image": "the image tag of the thermal pictures (default: the other one)",
}


@dataclass(frozen=True)
class TransferRequest:
    """What the command line asks for with files; see HELP."""

    masks: str
    alignment: Path = ALIGNMENT
    twins: Path | None = None
    out: Path = Path("transferred")
    format: str = "coco"
    classes: Path | None = None
    back: bool = False
    force: bool = False
    aligned: bool = False


@dataclass(frozen=True)
class ProjectRequest:
    """What it asks for inside Label Studio; see HELP."""

    alignment: Path = ALIGNMENT
    image: str | None = None
    to_image: str | None = None
    annotators: str | None = None
    kind: str = "prediction"
    labels: Mapping[str, str] = field(default_factory=dict)
    back: bool = False
    refine: str = "sam2"
    aligned: bool = False

    def check(self, to: str | None) -> None:
        """Check the options before anything is connected.

        Raises:
            SettingsError: one of them, or the alignment, cannot be used.
        """
        from dataset.registration.alignment import read_alignment

        if self.kind not in KINDS:
            raise SettingsError(f"--kind {self.kind}: must be prediction, draft or annotation")
        if self.refine not in REFINE:
            raise SettingsError(f"--refine {self.refine}: must be {' or '.join(REFINE)}")
        if self.kind == "annotation" and to is None:
            raise SettingsError(
                "--kind annotation: a task of pairs has one annotation for both pictures, and a prediction holds both; "
                "annotations are stored in another project only (--to)"
            )
        read_alignment(self.alignment)


def run_in_label_studio(
    client: Client,
    label_studio: Exec,
    backend: Exec,
    source: Project,
    target: Project | None,
    request: ProjectRequest,
    report: Report,
) -> Transfer:
    """Carry the masks of a project over; the figures go into the report.

    Args:
        label_studio: runs a command in Label Studio's container.
        backend: runs a command beside the backend.
        target: the project of the twins; None where the tasks of `source` show both.

    Raises:
        SettingsError: an option, the alignment, or a labeling configuration does not fit. Nothing was stored.
        LabelStudioError: there is nothing to carry over, or Label Studio or SAM2 failed; run it again to go on.
    """
    from dataset.export.selection import selection
    from dataset.pair_sides import project_sides
    from dataset.registration.alignment import read_alignment
    from dataset.transfer.projects import ProjectTransfer
    from dataset.transfer.storing import Annotations, Drafts, Predictions

    alignment = read_alignment(request.alignment)
    sides = project_sides(source, target, request.image, request.to_image)
    store: Predictions | Annotations | Drafts = Predictions(client, sides.target.id)
    if request.kind != "prediction":
        store = Drafts(label_studio) if request.kind == "draft" else Annotations(client, sides.target.id)
    work = ProjectTransfer(
        client=client,
        sides=sides,
        alignment=alignment.backwards() if request.back else alignment,
        selection=selection(annotators=request.annotators),
        report=report,
        store=store,
        sam2=backend if request.refine == "sam2" else None,
        back=request.back,
        aligned=request.aligned,
        labels=request.labels,
    )
    with report.stage(f"transfer from {sides.source_image} to {sides.target_image}"):
        found = work.run()
        report.facts["transfer"] = {"project": source.title, "to": sides.target.title, **found.as_facts()}
    return found


def run_transfer(
    request: TransferRequest, report: Report, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Transfer:
    """Carry the masks of files over into a folder; the figures go into the report.

    Raises:
        SettingsError: an option, the alignment, or the masks cannot be used, or `out` is there. Nothing was written.
        LabelrigError: no picture could be carried over, or the folder cannot be written.
    """
    if request.format not in OUT_FORMATS:
        raise SettingsError(f"--format {request.format}: must be {', '.join(OUT_FORMATS[:-1])} or {OUT_FORMATS[-1]}")
    if request.aligned and request.twins is None:
        raise SettingsError("--aligned looks at the pictures that masks are carried to: --twins FOLDER")
    from dataset.agreement.choice import chosen, opened_side
    from dataset.agreement.command import no_server
    from dataset.export.formats import ExportOptions
    from dataset.registration.alignment import read_alignment
    from dataset.transfer.folder import FolderTransfer
    from dataset.transfer.twins import Twins

    alignment = read_alignment(request.alignment)
    apart = sorted({*alignment.own, *alignment.refused})
    if request.back and request.twins is None and apart:
        raise SettingsError(
            f"--back: {len(apart)} pairs do not follow the rig ({some(apart)}), and pairs are called by their RGB "
            "pictures: --twins FOLDER says which they are"
        )
    twins = None if request.twins is None else Twins(request.twins)
    masks = chosen(request.masks)
    with report.stage("transfer"), closing(opened_side(masks, request.classes, report, no_server)) as side:
        way = alignment.backwards() if request.back else alignment
        work = FolderTransfer(side, way, twins, report, now, request.back, request.aligned)
        options = ExportOptions(request.format, force=request.force)  # type: ignore[arg-type]  # checked above
        found = work.write(request.out, options)
        report.facts["transfer"] = {"folder": str(request.out), **found.as_facts()}
    return found
