"""Prompts as the editor sends them, masks as it gets them, and which file a task URL means."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from label_studio_sdk.converter.brush import mask2rle
from numpy.typing import NDArray
from PIL import Image

from core.errors import LabelrigError
from core.repository import REPOSITORY
from labeling.config import LabelingConfig
from labelstudio.config import load_labeling
from labelstudio.image_files import path_in
from labelstudio.masks import masks_in
from labelstudio.prompts import box_regions, click_regions
from labelstudio.truth import truth_of
from masks.measure import intersection_over_union

SIZE_WH = (640, 480)


def labeling(version: int) -> LabelingConfig:
    return load_labeling(REPOSITORY / f"labeling_configs/rgbt-sar/v{version}.xml", "v.xml")


def common(region: dict[str, object]) -> dict[str, object]:
    """A region without what differs from click to click."""
    assert isinstance(region["id"], str)
    assert len(region["id"]) == 10
    return {name: value for name, value in region.items() if name != "id"}


FRAME = {"original_width": 640, "original_height": 480, "image_rotation": 0, "to_name": "image", "origin": "manual"}


def test_a_click_with_a_palette_of_its_own_is_one_result() -> None:
    """The form recorded in a browser for <KeyPointLabels smart>."""
    regions = click_regions(labeling(1), "Sky", (320, 120), SIZE_WH)
    assert [common(region) for region in regions] == [
        FRAME
        | {
            "from_name": "kpts",
            "type": "keypointlabels",
            "is_positive": True,
            "value": {"x": 50.0, "y": 25.0, "width": 0.2, "labels": ["Sky"], "keypointlabels": ["Sky"]},
        }
    ]


def test_click_with_a_palette_is_two_results() -> None:
    """Both have one id."""
    regions = click_regions(labeling(2), "Sky", (320, 120), SIZE_WH, positive=False)
    value = {"x": 50.0, "y": 25.0, "width": 0.2, "labels": ["Sky"]}
    assert [common(region) for region in regions] == [
        FRAME | {"from_name": "point", "type": "keypoint", "is_positive": False, "value": value},
        FRAME | {"from_name": "label", "type": "labels", "is_positive": False, "value": value},
    ]
    assert regions[0]["id"] == regions[1]["id"]


def test_two_clicks_have_two_ids() -> None:
    first, second = (click_regions(labeling(1), "Sky", (1, 1), SIZE_WH)[0]["id"] for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    ("version", "kinds"),
    [(1, [("rects", "rectanglelabels")]), (2, [("box", "rectangle"), ("label", "labels")])],
)
def test_a_box_has_its_edges_in_percent(version: int, kinds: list[tuple[str, str]]) -> None:
    regions = box_regions(labeling(version), "Road", (64, 48, 192, 240), SIZE_WH)
    box = {"x": 10.0, "y": 10.0, "width": 20.0, "height": 40.0, "rotation": 0}
    assert [(one["from_name"], one["type"]) for one in regions] == kinds
    for one in regions:
        assert isinstance(one["value"], dict)
        assert one["value"] | box == one["value"]
        assert "is_positive" not in one


def brush(mask: NDArray[np.bool_], labels: list[str], **more: object) -> dict[str, object]:
    height, width = mask.shape
    rle = mask2rle(np.where(mask, np.uint8(255), np.uint8(0)))
    return {
        "id": "region-1234",
        "from_name": "brush",
        "type": "brushlabels",
        "original_width": width,
        "original_height": height,
        "value": {"format": "rle", "rle": rle, "brushlabels": labels},
    } | more


@pytest.fixture
def disc() -> NDArray[np.bool_]:
    y, x = np.mgrid[:48, :65]
    return np.asarray((x - 30) ** 2 + (y - 20) ** 2 < 150)


def test_a_mask_is_decoded_to_the_pixel(disc: NDArray[np.bool_]) -> None:
    found = masks_in([brush(disc, ["Sky"], score=0.5)])
    assert len(found) == 1
    assert (found[0].mask == disc).all()
    assert (found[0].labels, found[0].from_name, found[0].score) == (("Sky",), "brush", 0.5)


def test_the_label_may_stand_in_a_second_result_of_the_region(disc: NDArray[np.bool_]) -> None:
    label = {"id": "region-1234", "from_name": "label", "type": "labels", "value": {"labels": ["Road"]}}
    other = label | {"id": "another-1", "value": {"labels": ["Sky"]}}
    found = masks_in([brush(disc, [], type="brush"), other, label])
    assert [one.labels for one in found] == [("Road",)]


def test_a_mask_of_another_size_than_it_says_is_refused(disc: NDArray[np.bool_]) -> None:
    with pytest.raises(ValueError, match=r"^rle: expected 12288 values for 64x48 pixels, got 12480$"):
        masks_in([brush(disc, ["Sky"], original_width=64)])


def test_a_mask_without_a_size_is_refused(disc: NDArray[np.bool_]) -> None:
    with pytest.raises(ValueError, match=r"^the mask has no original_height$"):
        masks_in([brush(disc, ["Sky"], original_height=None)])


def test_a_mask_of_zeros_and_ones_is_refused(disc: NDArray[np.bool_]) -> None:
    """The editor takes the alpha as it is: such a mask would be invisible."""
    value = {"format": "rle", "rle": mask2rle(disc.astype(np.uint8)), "brushlabels": ["Sky"]}
    with pytest.raises(ValueError, match=r"^the mask holds values other than 0 and 255$"):
        masks_in([brush(disc, ["Sky"], value=value)])


def test_iou() -> None:
    first, second = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    assert intersection_over_union(first, second) == 1.0
    first[:, :4], second[:, 2:] = True, True
    assert intersection_over_union(first, second) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match=r"^masks of shape \(4, 6\) and \(6, 4\) cannot be compared$"):
        intersection_over_union(first, second.T)


@pytest.mark.parametrize(
    ("path", "url"),
    [
        # As Label Studio 1.23.2 wrote them when it synced files of these names.
        ("a b é ñ.png", "/data/local-files/?d=probe/a%20b%20%C3%A9%20%C3%B1.png"),
        ("x#?&+%.png", "/data/local-files/?d=probe/x%23%3F%26%2B%25.png"),
        ("sub/z.png", "/data/local-files/?d=probe/sub/z.png"),
    ],
)
def test_task_urls_and_files(path: str, url: str) -> None:
    assert path_in("probe", url) == path
    assert path_in("probe", f"http://10.0.101.10:8080{url}") == path


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/data/upload/3/abc-photo.png",
        "/data/local-files/?d=probe2/a.png",
        "/data/local-files/?d=probe",
        "s3://b/a.png",
    ],
)
def test_other_urls_are_not_files_of_the_folder(url: str) -> None:
    assert path_in("probe", url) is None


def test_truth_is_read(tmp_path: Path) -> None:
    one = {"label": "Sky", "click_xy": [3, 2], "box_xyxy": [1, 1, 6, 4], "negative_xy": None, "mask": "s-0.png"}
    (tmp_path / "s.json").write_text(json.dumps([one, one | {"negative_xy": [7, 5]}]))
    mask = np.zeros((8, 10), np.uint8)
    mask[1:4, 1:6] = 255
    Image.fromarray(mask).save(tmp_path / "s-0.png")

    first, second = truth_of(tmp_path, "s.png")

    assert (first.click_xy, first.box_xyxy, first.negative_xy) == ((3, 2), (1, 1, 6, 4), None)
    assert second.negative_xy == (7, 5)
    assert (first.mask() == (mask > 0)).all()
    assert truth_of(tmp_path, "other.png") == []


def test_broken_truth_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('[{"label": "Sky", "click_xy": [3]}]')
    with pytest.raises(LabelrigError, match=r"s\.json: cannot be read as the truth.*: 2 numbers expected$"):
        truth_of(tmp_path, "s.png")
