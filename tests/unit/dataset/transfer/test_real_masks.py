"""Against the thermal masks that people corrected, what is carried over is better than the copy they began with."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from core.report import Report
from dataset.agreement.choice import chosen, opened_side
from dataset.agreement.command import no_server
from dataset.agreement.side import Drawn
from dataset.registration.alignment import alignment_text, read_alignment
from dataset.registration.pictures import digest_of_file, pairs_in
from dataset.registration.register import register
from dataset.transfer.warp import carried
from masks.arrays import Mask
from masks.measure import intersection_over_union as iou

REAL = "LABELRIG_RGBT"
LEAST = 0.2  # below it nothing tells which mask a corrected one was


@pytest.mark.skipif(REAL not in os.environ, reason=f"{REAL} names no folder with real pairs and their masks")
@pytest.mark.timeout(300)
def test_carried_masks_beat_the_copy(tmp_path: Path) -> None:
    """The table of docs/pairs.md: 16 of 79 masks were corrected."""
    folder, report = Path(os.environ[REAL]), Report(io.StringIO())
    pairs = pairs_in(folder / "rgb", folder / "thermal")
    path = tmp_path / "alignment.yaml"
    found = register(pairs, lambda _text: None, model="similarity")
    path.write_text(alignment_text(found, pairs, datetime.now(UTC)), encoding="utf-8")
    alignment = read_alignment(path)
    rgb_side, thermal_side = (
        opened_side(chosen(str(folder / name)), None, report, no_server)
        for name in ("sam2_rgb.json", "sam2_thermal.json")
    )
    rows = []
    with closing(rgb_side) as rgb, closing(thermal_side) as thermal:
        of_name = {Path(name).name: name for name in thermal.images}
        for name in rgb.images:
            ours, theirs = rgb.read(name).drawn, thermal.read(of_name[Path(name).name]).drawn
            picture = next((folder / "rgb").glob(f"{Path(name).stem}.*"))
            matrix, size_wh = alignment.of(name, partial(digest_of_file, picture)), alignment.target_wh
            for one in _without(theirs, ours):
                sources = [each.mask for each in _without(ours, theirs) if each.label == one.label]
                ways: list[list[Mask]] = [sources, [carried(each, matrix, size_wh) for each in sources]]
                rows.append([max((iou(each, one.mask) for each in masks), default=0) for masks in ways])
    known = np.array([row for row in rows if max(row) >= LEAST])
    copy, transferred = known.mean(0)
    assert len(known) == 16
    assert copy == pytest.approx(0.56, abs=0.03)
    assert transferred > copy + 0.08


def _without(masks: Sequence[Drawn], others: Sequence[Drawn]) -> list[Drawn]:
    """The masks of one side that the other has not, pixel by pixel."""
    return [one for one in masks if not any(np.array_equal(one.mask, each.mask) for each in others)]
