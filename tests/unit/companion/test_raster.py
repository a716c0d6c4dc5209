"""The page covers the pixels that an export does: the same codes and corners through both."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.converter.brush import encode_rle as encode_bytes
from numpy.typing import NDArray

from masks.raster import filled
from masks.rle import decode_rle, encode_rle
from tests.unit.companion.test_companion import HERE, NODE, TIMEOUT

Mask = NDArray[np.bool_]
SIZES = [(1, 1), (7, 5), (64, 48), (321, 200)]


def covered(*cases: dict[str, Any]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [str(NODE), str(HERE / "raster_cases.mjs")],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    for case, answer in zip(cases, answers, strict=True):
        pixels = np.frombuffer(answer["pixels"].encode(), np.uint8) == ord("1")
        answer["mask"] = pixels.reshape(case["height"], case["width"])
        assert answer["share"] == pytest.approx(1 - pixels.mean())
    return answers


def case(size_wh: tuple[int, int], **given: Any) -> dict[str, Any]:
    return {"width": size_wh[0], "height": size_wh[1], **given}


def test_brushes_are_read_as_exports_read_them() -> None:
    """Blobs, noise, and soft edges, which the editor writes as plain words; two brushes are one area."""
    random = np.random.default_rng(4)
    cases, expected = [], []
    for width, height in SIZES:
        masks = [random.random((height, width)) < share for share in (0.5, 0.02, 1)]
        alpha = random.integers(0, 256, (height, width), dtype=np.uint8)
        soft = [int(one) for one in encode_bytes(np.repeat(alpha.reshape(-1), 4).tolist())]
        codes = [*map(encode_rle, masks), soft]
        cases += [case((width, height), runs=[code]) for code in codes]
        expected += [*masks, decode_rle(soft, (width, height))]
        cases.append(case((width, height), runs=[codes[1], soft]))
        expected.append(masks[1] | expected[-1])
    for number, (answer, mask) in enumerate(zip(covered(*cases), expected, strict=True)):
        assert answer["isRead"]
        assert (answer["mask"] == mask).all(), f"case {number}"


def test_codes_of_another_image_are_passed_over() -> None:
    whole = encode_rle(np.ones((5, 7), bool))
    others = [whole[: len(whole) // 2], [], [1, 2, 3], encode_rle(np.ones((7, 7), bool))]
    assert [one["isRead"] for one in covered(*(case((7, 5), runs=[code]) for code in others))] == [False] * 4


def test_polygons_are_filled_as_exports_fill_them() -> None:
    """Also those that cross themselves, reach out of the image, or are thinner than a pixel."""
    random = np.random.default_rng(5)
    sizes = SIZES[1:]
    shapes: list[tuple[tuple[int, int], Sequence[Any]]] = []
    for width, height in sizes:
        for corners in (3, 4, 9, 40):
            points = random.uniform(-0.2, 1.2, (corners, 2)) * (width, height)
            shapes.append(((width, height), np.round(points * 4).tolist() if corners == 9 else points.tolist()))
        shapes.append(((width, height), [[0, 0], [width, 0], [width, height], [0, height]]))
        shapes.append(((width, height), [[1, 1.2], [width, 1.3], [1, 1.4]]))
    answers = covered(*(case(size, corners=points) for size, points in shapes))
    for answer, (size, corners_xy) in zip(answers, shapes, strict=True):
        assert (answer["mask"] == filled(np.asarray(corners_xy, dtype=np.float64), size)).all(), corners_xy


def test_strokes_are_round_and_an_eraser_takes_away() -> None:
    """Every pixel whose centre lies within half the width of the line, and no other but on the rim."""
    size = (64, 48)
    line = [10.0, 10.0, 40.0, 25.0, 40.0, 40.0]
    drawn, wiped = covered(
        case(size, strokes=[{"points": line, "width": 9, "value": 1}]),
        case(size, strokes=[{"points": line, "width": 9, "value": 1}, {"points": [40, 25], "width": 15, "value": 0}]),
    )
    y, x = np.mgrid[: size[1], : size[0]] + 0.5
    away = np.full(y.shape, np.inf)
    for (x0, y0), (x1, y1) in (((10, 10), (40, 25)), ((40, 25), (40, 40))):
        along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2), 0, 1)
        away = np.minimum(away, np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)))
    assert drawn["mask"][away < 4.5 - 1e-6].all()
    assert not drawn["mask"][away > 4.5 + 1e-6].any()
    assert (wiped["mask"] == (drawn["mask"] & ~(np.hypot(x - 40, y - 25) <= 7.5))).all()
