"""A file that counts pixels in a picture of another size is refused: Label Studio would draw its masks as stripes."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image

from core.errors import SettingsError
from labelstudio.models import Project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.importing.scenes import CAR, fill, task_of
from tests.unit.labelstudio.annotated import FUSED, brush, url


def photograph(size_wh: tuple[int, int], orientation: int = 1) -> bytes:
    content, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size_wh).save(content, "JPEG", exif=exif)
    return content.getvalue()


@pytest.fixture
def project(exports: ExportBench) -> Project:
    """Two pictures of 20 x 10 pixels as they are shown: one of them was stored turned."""
    found = fill(exports, FUSED, ("a", "b"))
    exports.server.images |= {"set/a.png": photograph((10, 20), 6), "set/b.png": photograph((20, 10))}
    return found


def coco(*sizes: tuple[int, int]) -> dict[str, Any]:
    images = [
        {"id": number, "file_name": f"{name}.png", "width": size[0], "height": size[1]}
        for number, (name, size) in enumerate(zip("ab", sizes, strict=False))
    ]
    polygon = {"category_id": 1, "segmentation": [[2, 3, 9, 3, 9, 8]]}
    rows = [{**polygon, "id": one["id"], "image_id": one["id"]} for one in images]
    return {"images": images, "categories": [{"id": 1, "name": "Car"}], "annotations": rows}


def test_a_turned_photograph_takes_the_size_that_is_shown(exports: ExportBench, project: Project) -> None:
    (exports.folder / "x.json").write_text(json.dumps(coco((20, 10), (20, 10))))
    assert exports.import_(project, "x.json").added == 2
    assert exports.report.notices == []


def test_a_size_before_exif_is_refused_or_left_out(exports: ExportBench, project: Project) -> None:
    """As FiftyOne, TACO and Label Studio's own COCO export have met it."""
    (exports.folder / "x.json").write_text(json.dumps(coco((10, 20), (20, 10))))
    with pytest.raises(SettingsError) as caught:
        exports.import_(project, "x.json")
    assert "a.png: the file says 10x20 pixels, the image is shown with 20x10 (turned, as its EXIF" in str(caught.value)
    assert not any(exports.server.annotations.values())
    summary = exports.import_(project, "x.json", skip_broken=True)
    assert (summary.added, len(summary.broken)) == (1, 1)
    assert exports.server.annotations[task_of(exports, project, "a")] == []


def test_masks_of_another_resolution_are_refused(exports: ExportBench, project: Project) -> None:
    """Brushes of Label Studio's JSON count pixels, its rectangles and polygons are in percent."""
    exports.server.images["set/a.png"] = photograph((40, 20))
    row = {"data": {"image": url("set/a.png")}, "annotations": [{"result": brush(CAR, "Car")}]}
    (exports.folder / "x.json").write_text(json.dumps([row]))
    with pytest.raises(SettingsError, match="the file says 20x10 pixels, the image is shown with 40x20"):
        exports.import_(project, "x.json")


def test_a_size_that_cannot_be_had_is_said(exports: ExportBench, project: Project) -> None:
    exports.server.images.clear()
    (exports.folder / "x.json").write_text(json.dumps(coco((20, 10))))
    assert exports.import_(project, "x.json").added == 1
    (notice,) = exports.report.notices
    assert notice.startswith("the sizes of 1 images could not be compared with those in the file (the first: ")
