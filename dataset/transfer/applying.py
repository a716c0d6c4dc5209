"""`./inv pairs.apply`: the page of a project of pairs learns where masks lie on the twin, for its key T."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import LabelStudioError
from core.text import some
from dataset.export.image_name import file_name_of
from dataset.fetching import fetch_image
from dataset.pair_sides import project_sides
from dataset.registration.alignment import Alignment, NotAligned, read_alignment, rows_of
from hosts.base import Exec
from infra.roles.project.ask_backend import ask_backend_json
from labelstudio.bulk import task_rows

if TYPE_CHECKING:
    from core.report import Report
    from labelstudio.client import Client
    from labelstudio.models import Project

TIMEOUT = 120.0


@dataclass
class Applied:
    """What the page knows now.

    Attributes:
        images: how many pairs the tasks show.
        own: how many of them have a transform of their own.
        refused: those that follow no transform: the key says so.
    """

    project: str
    images: int = 0
    own: int = 0
    refused: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For people."""
        told = f"{self.project}: the key T takes masks to the other image of {self.images} pairs"
        if self.own:
            told += f", {self.own} of them by transforms of their own"
        if self.refused:
            told += f"; of {len(self.refused)} pairs it takes none: {some(self.refused)}"
        return told


def apply_alignment(
    client: Client,
    backend: Exec,
    project: Project,
    path: Path,
    images: tuple[str | None, str | None],
    report: Report,
) -> Applied:
    """Tell the SAM2 backend the transforms of a project's pairs; what it knew of them before is replaced.

    Args:
        backend: runs a command beside the backend.
        images: the image tags of RGB and thermal pictures; None for the first and the other one.

    Raises:
        SettingsError: the alignment, or the labeling configuration, cannot be used. Nothing was changed.
        LabelStudioError: the backend refuses, or a picture that tells which pair it is of cannot be read.
    """
    alignment = read_alignment(path)
    sides = project_sides(project, None, *images)
    found, own, refused = Applied(project.title), dict[str, Any](), list[str]()
    with report.stage(f"apply {path}"):
        for row in task_rows(client, project.id):
            for image in sides.source_config.images_of(row.data):
                if image.name != sides.source_image:
                    continue
                key, name = f"{row.id}/{image.item_index or 0}", file_name_of(image.url)
                found.images += 1
                try:
                    # Called only for a name that may be of several flights: then the picture tells.
                    matrix = alignment.of(image.url, partial(_digest, client, image.url, row.id))
                except NotAligned:
                    refused.append(key)
                    found.refused.append(name)
                    continue
                if not np.array_equal(matrix, alignment.matrix):
                    own[key] = rows_of(matrix)
        found.own = len(own)
        for note in alignment.notes():
            report.notice(note)
        body = _body(project.key, alignment, (sides.source_image, sides.target_image), own, refused)
        accepted, answer = ask_backend_json(backend, "PUT", "/alignment", body, timeout=TIMEOUT)
        if not accepted:
            raise LabelStudioError(f"the SAM2 backend refuses the alignment: {answer.get('detail', answer)}")
        report.facts["apply"] = vars(found)
    return found


def _digest(client: Client, url: str, task: int) -> str:
    return hashlib.sha256(fetch_image(client, url, task)).hexdigest()


def _body(
    project: str, alignment: Alignment, names: tuple[str, str], own: Mapping[str, Any], refused: list[str]
) -> dict[str, object]:
    """As the backend's `/alignment` takes it."""
    first, second = (
        {"to_name": name, "width": size_wh[0], "height": size_wh[1]}
        for name, size_wh in zip(names, (alignment.source_wh, alignment.target_wh), strict=True)
    )
    matrix = rows_of(alignment.matrix)
    return {"project": project, "first": first, "second": second, "matrix": matrix, "own": own, "refused": refused}
