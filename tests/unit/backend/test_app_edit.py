"""What is done to accepted masks: the answer takes their place, with the first one's label, tag and kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from backend.settings import Settings
from masks.measure import intersection_over_union as iou
from masks.raster import filled
from masks.rle import decode_rle, encode_rle
from tests.unit.backend.fakes import V2
from tests.unit.backend.held_segmenter import refused

SIZE = (64, 48)
SPLIT = V2.replace("</View>", '<Polygon name="poly" toName="image"/></View>')
FUSED = """<View><Image name="image" value="$image"/>
<BrushLabels name="b" toName="image"><Label value="Person"/><Label value="Boat"/></BrushLabels>
<PolygonLabels name="p" toName="image"><Label value="Person"/></PolygonLabels></View>"""
Mask = NDArray[np.bool_]


def box(left: int, top: int, right: int, bottom: int) -> Mask:
    mask = np.zeros(SIZE[::-1], dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def entry(kind: str, value: dict[str, Any], id: str = "r1", **more: Any) -> dict[str, Any]:
    sizes = {"original_width": SIZE[0], "original_height": SIZE[1]}
    return {"id": id, "type": kind, "to_name": "image", "from_name": "x", "value": value, **sizes, **more}


def brush(mask: Mask, label: str = "Person", id: str = "r1", **more: Any) -> list[dict[str, Any]]:
    """A brush and its label, as the editor writes them with a palette."""
    labels = entry("labels", {"labels": [label]}, id, **more)
    return [entry("brush", {"format": "rle", "rle": encode_rle(mask)}, id, **more), labels]


def ask(client: TestClient, what: str, *entries: dict[str, Any], config: str = SPLIT, **edit: Any) -> Any:
    body = {"tasks": [{"id": 7, "data": {"image": "/x.png"}}], "project": "3.1", "label_config": config}
    context = {"ask": "edit", "result": list(entries), "edit": {"what": what, **edit}}
    return client.post("/predict", json={**body, "params": {"context": context}})


def answered(client: TestClient, what: str, *entries: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    answer = ask(client, what, *entries, **more)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"][0]["result"]
    return found


def masks_of(results: list[dict[str, Any]]) -> list[Mask]:
    return [decode_rle(one["value"]["rle"], SIZE) for one in results if one["type"].startswith("brush")]


FIRST, SECOND = box(10, 10, 30, 30), box(20, 20, 40, 40)
RING = FIRST & ~box(15, 15, 20, 20)
PAIR = FIRST | box(40, 10, 50, 20)


@pytest.mark.parametrize(
    ("what", "given", "wanted"),
    [
        ("add", [FIRST, SECOND], [FIRST | SECOND]),
        ("add", [FIRST, SECOND, box(50, 0, 60, 9)], [FIRST | SECOND | box(50, 0, 60, 9)]),
        ("take", [FIRST, SECOND], [FIRST & ~SECOND]),
        ("fill", [RING], [FIRST]),
        ("split", [PAIR], [FIRST, box(40, 10, 50, 20)]),
    ],
)
def test_pixels_are_those_of_the_operation(
    client: TestClient, what: str, given: list[Mask], wanted: list[Mask]
) -> None:
    entries = [
        part for number, mask in enumerate(given) for part in brush(mask, ("Person", "Boat")[number % 2], f"r{number}")
    ]
    found = answered(client, what, *entries)
    assert [mask.tolist() for mask in masks_of(found)] == [mask.tolist() for mask in wanted]
    assert {tuple(one["value"]["labels"]) for one in found if one["type"] == "labels"} == {("Person",)}
    assert [one["from_name"] for one in found] == ["brush", "label"] * len(wanted)
    assert {one["id"] for one in found}.isdisjoint({"r0", "r1"})


def test_a_rough_edge_becomes_smooth(client: TestClient) -> None:
    rough = FIRST.copy()
    rough[9, 10:30:4] = True
    (mask,) = masks_of(answered(client, "smooth", *brush(rough)))
    assert not mask[9].any()
    assert iou(mask, FIRST) > 0.93


def test_a_brush_becomes_a_polygon_and_back(client: TestClient) -> None:
    (polygon, label) = answered(client, "polygon", *brush(PAIR & FIRST))
    assert (polygon["type"], polygon["from_name"], label["value"]) == ("polygon", "poly", {"labels": ["Person"]})
    corners = np.asarray(polygon["value"]["points"]) / 100 * SIZE
    assert iou(filled(corners, SIZE), FIRST) == 1.0
    back = answered(client, "brush", {**polygon, "id": "p"}, {**label, "id": "p"})
    assert np.array_equal(masks_of(back)[0], FIRST)


def test_a_larger_tolerance_gives_fewer_corners(client: TestClient) -> None:
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    disc = np.hypot(x - 30, y - 24) < 18
    counts = [
        len(answered(client, "polygon", *brush(disc), tolerance=tolerance)[0]["value"]["points"])
        for tolerance in (0.5, 2, 6)
    ]
    assert counts[0] > counts[1] > counts[2] >= 3


def test_a_polygon_stays_a_polygon(client: TestClient) -> None:
    corners = [[10, 10], [50, 10], [50, 60], [10, 60]]
    given = entry("polygonlabels", {"points": corners, "polygonlabels": ["Person"]})
    found = answered(client, "take", given, *brush(box(0, 0, 20, 48), id="r2"), config=FUSED)
    assert [(one["type"], one["value"]["polygonlabels"]) for one in found] == [("polygonlabels", ["Person"])]
    assert min(x for x, _ in found[0]["value"]["points"]) == pytest.approx(100 * 20 / 64, abs=1)


@pytest.mark.parametrize(
    ("what", "given", "sentence"),
    [
        ("add", brush(FIRST), "another mask is needed"),
        ("add", [*brush(FIRST), *brush(box(12, 12, 20, 20), id="r2")], "there is nothing to add"),
        ("take", [*brush(FIRST), *brush(box(40, 40, 44, 44), id="r2")], "there is nothing to take away"),
        ("take", [*brush(FIRST), *brush(box(0, 0, 64, 48), id="r2")], "nothing of the mask would be left"),
        ("fill", brush(FIRST), "the mask has no holes"),
        ("split", brush(FIRST), "the mask is one part"),
        ("smooth", brush(box(10, 10, 11, 40)), "nothing of the mask would be left"),
        ("add", [*brush(FIRST), *brush(SECOND, id="r2", item_index=2)], "the masks are of several images"),
        ("fill", [entry("brush", {"rle": [1, 2]})], "the mask cannot be read: rle: expected"),
        ("fill", [entry("keypoint", {"x": 1, "y": 1})], "which mask is meant"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(client: TestClient, what: str, given: list[Any], sentence: str) -> None:
    status, said = refused(ask(client, what, *given))
    assert (status, sentence in said) == (400, True), said


def test_a_project_without_polygons_says_so(client: TestClient) -> None:
    status, said = refused(ask(client, "polygon", *brush(FIRST), config=V2))
    assert (status, said) == (400, "the project has no <Polygon> that takes the label 'Person' on the image 'image'")
    boat = entry("brushlabels", {"format": "rle", "rle": encode_rle(FIRST), "brushlabels": ["Boat"]})
    assert refused(ask(client, "polygon", boat, config=FUSED))[0] == 400


def test_where_masks_lie_is_told_by_their_ids(client: TestClient) -> None:
    body: dict[str, Any] = {"tasks": [{"id": 7, "data": {}}], "project": "3.1", "label_config": V2}
    given = [*brush(RING, id="a"), *brush(FIRST & ~FIRST, id="empty"), *brush(SECOND, id="b")]
    answer = client.post("/predict", json={**body, "params": {"context": {"ask": "outlines", "result": given}}})
    found = answer.json()["results"][0]["outlines"]
    assert [one["id"] for one in found] == ["a", "b"]
    assert found[1]["area"] == pytest.approx(SECOND.mean(), abs=1e-4)
    (ring,) = found[1]["rings"]
    assert np.array_equal(filled(np.reshape(ring, (-1, 2)) / 100 * SIZE, SIZE), SECOND)
    body["params"] = {"context": {"ask": "outlines", "result": []}}
    assert refused(client.post("/predict", json=body)) == (400, "which masks are meant: expected regions")


def test_an_image_above_the_limit_is_refused(settings: Settings, client: TestClient) -> None:
    given = {**brush(FIRST)[0], "original_width": settings.image_pixel_limit, "original_height": 2}
    assert "more than IMAGE_PIXEL_LIMIT" in refused(ask(client, "fill", given))[1]
