"""SAM2's masks in place of carried ones: where the rule takes them, and what becomes of a backend's answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.errors import LabelStudioError, SettingsError
from dataset.transfer.fit import outline_fit, picture_field
from dataset.transfer.refine import Offer, better
from dataset.transfer.regions import RegionFigures, Transfer
from labelstudio.masks import masks_in
from labelstudio.models import Project
from masks.arrays import Mask
from masks.measure import intersection_over_union as iou
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.transfer.backend_fake import BackendFake
from tests.unit.dataset.transfer.drawn import KNOWN, THERMAL_WH, alignment, drawn, thermal_picture
from tests.unit.dataset.transfer.test_projects import on_rgb, pairs, picture, transfer

__all__ = ["pairs"]
BESIDE_PX = 2


def beside(mask: Mask, pixels: int = BESIDE_PX) -> Mask:
    return np.roll(mask, pixels, axis=1)


def alignment_beside(exports: ExportBench) -> None:
    """A registration whose masks all lie some pixels beside their things."""
    moved = KNOWN.copy()
    moved[0, 2] += BESIDE_PX
    alignment(exports.folder / "alignment.yaml", matrix=moved.tolist())


def run(exports: ExportBench, project: Project, backend: BackendFake, **options: Any) -> Transfer:
    return transfer(exports, project, sam2=backend, refine="sam2", **options)


@pytest.mark.parametrize(
    ("offered", "score", "is_taken"),
    [
        ("right", 0.9, True),
        ("right", 0.3, False),  # SAM2 does not trust it
        ("same", 0.9, False),  # no better: the carried one stays
        ("far", 0.9, False),  # another thing, however well it fits
        ("part", 0.9, False),
        ("none", 0.9, False),
    ],
)
def test_the_rule_takes_what_is_near_and_fits_better(offered: str, score: float, is_taken: bool) -> None:
    """The carried mask lies two pixels beside its thing; another thing is in the picture too."""
    field = picture_field(thermal_picture("car", "person").astype(np.float32))
    right, other = (drawn(label, KNOWN, THERMAL_WH) for label in ("car", "person"))
    carried = beside(right)
    figures = RegionFigures("r", "car", int(carried.sum()), 0.0, outline_fit(carried, field))
    part = right & (np.arange(THERMAL_WH[0]) < np.flatnonzero(right.any(0)).mean() - 4)
    masks = {"right": right, "same": carried, "far": other, "part": part}
    offer = Offer(masks[offered], score) if offered in masks else None
    mask, found = better(carried, figures, offer, field)
    assert (found.sam2 == score) is is_taken
    assert mask is (right if is_taken else carried)
    if is_taken:
        assert found.area == int(right.sum())
        assert found.fit is not None
        assert figures.fit is not None
        assert found.fit > figures.fit


def test_masks_beside_their_things_become_sam2s(exports: ExportBench, pairs: Project) -> None:
    """It is asked about the twin's picture; what was taken says so, and lies right."""
    alignment_beside(exports)
    backend = BackendFake(lambda mask: beside(mask, -BESIDE_PX))
    found = run(exports, pairs, backend)
    assert [one["url"] for one in backend.asked] == [f"/data/local-files/?d=set/T/{name}.tiff" for name in "ab"]
    assert [len(one["masks"]) for one in backend.asked] == [1, 2]
    assert all(each.sam2 == 0.9 for one in found.done for each in one.regions)
    (two,) = list(exports.server.predictions.values())[1]
    thermal = [one for one in two["result"] if one["to_name"] == "thermal"]
    masks = {each.labels: each for each in masks_in(thermal)}
    for label in ("car", "person"):
        assert iou(masks[label,].mask, drawn(label, KNOWN, THERMAL_WH)) > 0.95
    assert {one["meta"]["text"][0].partition(", edges")[0] for one in thermal} == {
        "from rgb r-car, by SAM2 (0.90)",
        "from rgb r-person, by SAM2 (0.90)",
    }
    assert "3 of them are SAM2's, which follow the edges there better" in "\n".join(found.lines())


def test_masks_that_lie_right_stay(exports: ExportBench, pairs: Project) -> None:
    found = run(exports, pairs, BackendFake(beside))
    assert all(each.sam2 is None for one in found.done for each in one.regions)
    (two,) = list(exports.server.predictions.values())[1]
    masks = masks_in([one for one in two["result"] if one["to_name"] == "thermal"])
    assert [iou(one.mask, drawn(one.labels[0], KNOWN, THERMAL_WH)) > 0.95 for one in masks] == [True] * 4


def test_an_image_that_sam2_cannot_read_is_named(exports: ExportBench, pairs: Project) -> None:
    backend = BackendFake(beside)
    backend.refused = (422, "a.tiff is broken")
    found = run(exports, pairs, backend)
    assert {one.reason for one in found.left_out} == {"SAM2 cannot look at its twin: a.tiff is broken"}
    assert not any(exports.server.predictions.values())


def test_a_backend_that_stops_stores_nothing_more(exports: ExportBench, pairs: Project) -> None:
    """The next run goes on; without SAM2 it needs no backend."""
    backend = BackendFake(beside)
    backend.stops_after = 1
    with pytest.raises(LabelStudioError, match="answered 1 of 2 images; see its log, and run the same command again"):
        run(exports, pairs, backend)
    backend.stops_after, backend.refused = None, (503, "the model is loading")
    with pytest.raises(LabelStudioError, match=r"does not work now: the model is loading; .*--refine none"):
        run(exports, pairs, backend)
    assert not any(exports.server.predictions.values())
    assert len(transfer(exports, pairs).done) == 2


def test_a_polygon_that_sam2_moved_becomes_its_mask(exports: ExportBench) -> None:
    config = """<View><Image name="rgb" value="$rgb"/><PolygonLabels name="p" toName="rgb"><Label value="car"/>
    </PolygonLabels><Image name="thermal" value="$thermal"/><PolygonLabels name="q" toName="thermal">
    <Label value="car"/></PolygonLabels></View>"""
    project = exports.server.project(config, "Polygons")
    picture(exports, "set/T/a.tiff", "car")
    task = exports.server.task(
        project, rgb="/data/local-files/?d=set/RGB/a.png", thermal="/data/local-files/?d=set/T/a.tiff"
    )
    corners = [[25.0, 50], [35, 38], [55, 40], [62, 52], [50, 62], [32, 60]]
    value = {"points": corners, "closed": True, "polygonlabels": ["car"]}
    first = on_rgb("car")[0]
    exports.server.annotate(task, [{**first, "type": "polygonlabels", "from_name": "p", "value": value}])
    alignment_beside(exports)
    found = run(exports, project, BackendFake(lambda _mask: drawn("car", KNOWN, THERMAL_WH)))
    ((row,),) = [exports.server.predictions[task]]
    (made,) = [one for one in row["result"] if one["to_name"] == "thermal"]
    assert found.masks[0][1].sam2 == 0.9
    assert len(made["value"]["points"]) > len(corners)


def test_refine_has_two_values(exports: ExportBench, pairs: Project) -> None:
    with pytest.raises(SettingsError, match="--refine sam3: must be sam2 or none"):
        transfer(exports, pairs, refine="sam3")
