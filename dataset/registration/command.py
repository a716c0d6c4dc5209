"""`./inv pairs.register`: where the pixels of RGB pictures lie on their thermal twins, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import SettingsError
from core.text import inline
from dataset.out_file import write_file

if TYPE_CHECKING:
    from core.report import Report
    from dataset.registration.pictures import PicturePair
    from dataset.registration.register import Registration, Start
    from labelstudio.client import Client
    from labelstudio.models import Project

OUT = Path("alignment.yaml")
MODELS = ("similarity", "affine", "homography")
HELP = {
    "rgb": "the folder of RGB pictures",
    "thermal": "the folder of thermal pictures; pairs have one name, without its suffix",
    "project": "instead of folders: a project whose tasks show both pictures, or that of the RGB ones",
    "to": "the project of the thermal pictures, where another one shows them",
    "image": "with --project: the image tag of the RGB picture (default: the first)",
    "to-image": "with --project: that of the thermal one (default: the other one)",
    "out": "the file to write (default: alignment.yaml here; `-` writes none)",
    "model": "similarity, affine or homography (default: what fits held-out pairs best)",
    "points": "where to begin: a CSV file, rgb_x,rgb_y,thermal_x,thermal_y, with at least two points found by eye",
    "rgb-camera": "where to begin: the RGB camera's calibration, ROS' ost.txt or ost.yaml; with --thermal-camera",
    "thermal-camera": "that of the thermal camera",
    "html": "also write a page with the worst pairs to look at",
    "force": "replace a file that is there",
}


@dataclass(frozen=True)
class RegisterRequest:
    """What the command line asks for. None of a file means that it is not written.

    Attributes:
        rgb, thermal: folders; None where the pairs are those of a project.
        cameras: the calibrations of both cameras, RGB first.
    """

    rgb: Path | None
    thermal: Path | None
    out: Path | None = OUT
    model: str | None = None
    points: Path | None = None
    html: Path | None = None
    force: bool = False
    cameras: tuple[Path | None, Path | None] = (None, None)


@dataclass(frozen=True)
class ProjectPairs:
    """The pairs of Label Studio: `target` is the project of the thermal pictures, None where tasks show both."""

    client: Client
    source: Project
    target: Project | None = None
    image: str | None = None
    to_image: str | None = None


def check_request(request: RegisterRequest, *, in_label_studio: bool) -> None:
    """Check the options before anything is read or connected.

    Raises:
        SettingsError: one of them cannot be used, or the file is there already.
    """
    if in_label_studio == (request.rgb is not None or request.thermal is not None):
        raise SettingsError("give --rgb FOLDER and --thermal FOLDER, or --project PROJECT")
    if not in_label_studio and None in (request.rgb, request.thermal):
        raise SettingsError("--rgb and --thermal are two folders, give both")
    if (request.cameras[0] is None) != (request.cameras[1] is None):
        raise SettingsError("--rgb-camera and --thermal-camera are two calibrations, give both")
    if request.points is not None and request.cameras[0] is not None:
        raise SettingsError("--points and --rgb-camera both say where to begin, give one of them")
    if request.model not in (None, *MODELS):
        raise SettingsError(f"--model {request.model}: must be {', '.join(MODELS[:-1])} or {MODELS[-1]}")
    if request.out is not None and request.out.exists() and not request.force:
        raise SettingsError(f"--out {request.out}: is there already; --force replaces it")


def run_register(
    request: RegisterRequest,
    report: Report,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    project: ProjectPairs | None = None,
) -> Registration:
    """Register the pairs and write the files; what was found goes into the report.

    Args:
        project: where the pairs are, instead of the request's folders.

    Raises:
        SettingsError: folders, names, calibrations or options are wrong, or the file is there already.
        LabelrigError: no pair can be read.
        FileAccessError: a file cannot be written.
    """
    check_request(request, in_label_studio=project is not None)
    from dataset.registration.alignment import alignment_text
    from dataset.registration.page import render, worst_pairs
    from dataset.registration.register import register

    start = _start(request)
    pairs, shown = _pairs(request, project, report)
    with report.stage(f"registering {len(pairs)} pairs"):
        found = register(pairs, report.progress, start, request.model)  # type: ignore[arg-type]  # checked above
        report.facts.update(as_facts(found))
        if request.out is not None and found.matrix is not None:
            write_file(request.out, alignment_text(found, pairs, now()))
        if request.html is not None:
            pictures = worst_pairs(found, pairs, report.progress)
            write_file(request.html, render(found, shown, pictures, now()))
    return found


def _pairs(
    request: RegisterRequest, project: ProjectPairs | None, report: Report
) -> tuple[list[PicturePair], tuple[str, str]]:
    """The pairs, and what both sides are called."""
    if project is None:
        from dataset.registration.pictures import pairs_in

        rgb, thermal = request.rgb or Path(), request.thermal or Path()  # neither is None: checked
        return pairs_in(rgb, thermal), (str(rgb), str(thermal))
    from dataset.pair_sides import project_sides
    from dataset.registration.project_pairs import pairs_of_project

    sides = project_sides(project.source, project.target, project.image, project.to_image)
    names = f"{sides.source.title}, {sides.source_image}", f"{sides.target.title}, {sides.target_image}"
    return pairs_of_project(project.client, sides, report), names


def _start(request: RegisterRequest) -> Start | None:
    if request.points is not None:
        from dataset.registration.points import start_of

        begin = start_of(request.points)
        return lambda _rgb_wh, _thermal_wh: begin
    rgb, thermal = request.cameras
    if rgb is None or thermal is None:
        return None
    from dataset.registration.calibration import read_camera, start_of_cameras

    cameras = read_camera("--rgb-camera", rgb), read_camera("--thermal-camera", thermal)
    return lambda rgb_wh, thermal_wh: start_of_cameras(*cameras, rgb_wh, thermal_wh)


def as_facts(found: Registration) -> dict[str, Any]:
    """For `--json`."""
    return {
        "matrix": None if found.matrix is None else found.matrix.tolist(),
        "model": found.model,
        "residual_px": found.residual_px,
        "score": found.score,
        "rgb": list(found.rgb_wh),
        "thermal": list(found.thermal_wh),
        "pairs": [
            {
                "name": one.name,
                "accepted": one.accepted,
                "residual_px": one.residual_px,
                "score": one.score,
                "reason": one.reason or None,
                "own_matrix": None if one.own is None else one.own.tolist(),
            }
            for one in found.pairs
        ],
    }


def sentences(found: Registration, request: RegisterRequest) -> str:
    """For people."""
    accepted = [one for one in found.pairs if one.accepted]
    head = f"{len(accepted)} of {len(found.pairs)} pairs accepted"
    refused = [f"  refused: {inline(one.name)}: {inline(one.reason)}" for one in found.pairs if not one.accepted]
    if found.matrix is None:
        return "\n".join([f"{head}; no transform", *refused])
    halves = "" if found.residual_px is None else f", two halves of the pairs differ by {found.residual_px:.1f} px"
    own = [one for one in accepted if one.own is not None]
    lines = [f"{head}: {found.model}, mean score {found.score:.2f}{halves}"]
    lines += ["  " + "  ".join(f"{value:12.6f}" for value in row) for row in found.matrix]
    lines += [f"  its own transform: {inline(one.name)}, {one.residual_px:.1f} px from the rig's" for one in own]
    lines += refused
    lines += [f"{path} was written" for path in (request.out, request.html) if path is not None]
    return "\n".join(lines)
