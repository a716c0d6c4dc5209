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
    from dataset.registration.register import Registration

OUT = Path("alignment.yaml")
MODELS = ("similarity", "affine", "homography")
HELP = {
    "rgb": "the folder of RGB pictures",
    "thermal": "the folder of thermal pictures; pairs have one name, without its suffix",
    "out": "the file to write (default: alignment.yaml here; `-` writes none)",
    "model": "similarity, affine or homography (default: what fits held-out pairs best)",
    "points": "where to begin: a CSV file, rgb_x,rgb_y,thermal_x,thermal_y, with at least two points found by eye",
    "html": "also write a page with the worst pairs to look at",
    "force": "replace a file that is there",
}


@dataclass(frozen=True)
class RegisterRequest:
    """What the command line asks for. None of a file means that it is not written."""

    rgb: Path
    thermal: Path
    out: Path | None = OUT
    model: str | None = None
    points: Path | None = None
    html: Path | None = None
    force: bool = False


def run_register(
    request: RegisterRequest, report: Report, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Registration:
    """Register the pairs and write the files; what was found goes into the report.

    Raises:
        SettingsError: folders, names or options are wrong, or the file is there already.
        LabelrigError: no pair can be read.
        FileAccessError: a file cannot be written.
    """
    if request.model not in (None, *MODELS):
        raise SettingsError(f"--model {request.model}: must be {', '.join(MODELS[:-1])} or {MODELS[-1]}")
    if request.out is not None and request.out.exists() and not request.force:
        raise SettingsError(f"--out {request.out}: is there already; --force replaces it")
    from dataset.registration.alignment import alignment_text
    from dataset.registration.page import render, worst_pairs
    from dataset.registration.pictures import pairs_in
    from dataset.registration.points import start_of
    from dataset.registration.register import register

    pairs = pairs_in(request.rgb, request.thermal)
    start = None if request.points is None else start_of(request.points)
    with report.stage(f"registering {len(pairs)} pairs"):
        found = register(pairs, report.progress, start, request.model)  # type: ignore[arg-type]  # checked above
        report.facts.update(as_facts(found))
        if request.out is not None and found.matrix is not None:
            write_file(request.out, alignment_text(found, pairs, now()))
        if request.html is not None:
            shown = worst_pairs(found, pairs, report.progress)
            write_file(request.html, render(found, request.rgb, request.thermal, shown, now()))
    return found


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
