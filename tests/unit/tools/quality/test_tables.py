"""The measurement runs on the backend's own parts, and its tables land where the document has room for them."""

from __future__ import annotations

import numpy as np
import pytest

from backend.segmenter import Prompts
from core.text import between_markers
from demo.scenes import STYLES, draw_scene
from tools.quality import everything, prompt_kinds, small_objects
from tools.quality.__main__ import DOCUMENT, TABLES
from tools.quality.pipeline import Whole, demo_segmenter, prompts
from tools.quality.small_objects import ObjectScore
from tools.training import evaluate


@pytest.fixture(scope="module")
def scores() -> evaluate.Scores:
    scene = draw_scene(np.random.default_rng(3), (480, 270), "plain", count=3)
    return prompt_kinds.scene_scores(scene, np.random.default_rng(4))


def test_every_row_is_measured_on_every_object(scores: evaluate.Scores) -> None:
    counts = {row: len(values) for row, values in scores.items()}
    assert set(counts) <= set(prompt_kinds.ROWS)
    assert {count for row, count in counts.items() if not row.startswith("removed")} == {3}
    assert all(0 <= value <= 1 for values in scores.values() for value in values)
    for row in ("point", "box", "stroke", "box and point"):
        assert np.mean(scores[row]) > 0.7, row


def test_feedback_differs_only_in_what_is_fed_back(scores: evaluate.Scores) -> None:
    assert scores["3 corrected, never"] != scores["3 corrected, always"]


def test_a_stroke_becomes_points_on_it() -> None:
    given = prompt_kinds.stroke(np.asarray([[100.0, 50.0], [300.0, 150.0]]), (640, 360))
    assert 2 <= len(given.points_xy) <= 5
    assert given.is_positive.all()
    along = given.points_xy - np.asarray([100, 50])
    off = np.abs(along[:, 0] * 100 - along[:, 1] * 200) / np.hypot(200, 100)
    assert off.max() < 640 * prompt_kinds.STROKE_WIDTH / 200


def test_a_piece_finds_what_the_whole_image_cannot_show() -> None:
    """The same drawn object, 40 pixels in 2400: in reach only from nearby."""
    scene = draw_scene(np.random.default_rng(1), (2400, 1600), "plain", count=1, shrink=(0.06, 0.06))
    mask = scene.objects[0].mask
    rows, columns = np.nonzero(mask)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    given: Prompts = prompts([], [], tuple(float(edge) for edge in box))
    image = Whole(demo_segmenter(), scene.image)
    piece = image.piece_for(given)
    assert piece is not None
    near, far = image.closer(piece, given), image.mask(given)
    assert near is not None
    overlaps = [float((got & mask).sum() / (got | mask).sum()) for got in (near, far)]
    assert overlaps[0] > 0.8
    assert overlaps[0] > overlaps[1] + 0.2


def test_tables_have_a_row_for_every_figure(scores: evaluate.Scores) -> None:
    text = evaluate.markdown("prompt", prompt_kinds.ROWS, evaluate.means([("plain", scores)], prompt_kinds.ROWS))
    lines = text.splitlines()
    assert len(lines) == 2 + len(prompt_kinds.ROWS)
    assert {line.count("|") for line in lines} == {3 + len(STYLES)}
    point = f"{np.mean(scores['point']):.3f}"
    assert lines[2] == f"| one positive point | {point} | {point} | - | - | - | - |"
    assert all(value.endswith("% ") for value in lines[-1].split("|")[2:4])


def test_small_objects_are_counted_by_size() -> None:
    found = [ObjectScore(cells, kind, 0.25, 0.75, 0.5) for cells in (0.5, 3.9, 4.0, 4.1) for kind in ("point", "box")]
    assert small_objects.by_size(found, "box") == [
        ("0 to 1", 1, 0.25, 0.75, 0.5),
        ("2 to 4", 1, 0.25, 0.75, 0.5),
        ("4 to 6", 2, 0.25, 0.75, 0.5),
    ]
    assert small_objects.crops_table(found).splitlines()[2:] == [
        "| 0 to 1 | 1 | 0.250 | 0.750 | 0.500 | 0.250 | 0.750 | 0.500 |",
        "| 2 to 4 | 1 | 0.250 | 0.750 | 0.500 | 0.250 | 0.750 | 0.500 |",
        "| 4 to 6 | 2 | 0.250 | 0.750 | 0.500 | 0.250 | 0.750 | 0.500 |",
    ]


def test_everything_finds_the_objects_of_a_scene() -> None:
    """Of a plain scene: each object has a proposal, and each proposal is of an object or of a part of the ground."""
    _, scores = everything.measure(0)
    assert scores["recall"] == [1.0, 1.0]
    assert min(scores["iou"]) > 0.85
    assert sum(scores["precision"]) >= 2
    assert len(scores["precision"]) <= 4


def test_the_document_has_all_tables() -> None:
    text = DOCUMENT.read_text()
    for name in TABLES:
        assert between_markers(text, f"<!-- {name} -->", f"<!-- end {name} -->", "") != text
    for row in (*prompt_kinds.ROWS.values(), *everything.ROWS.values()):
        assert f"| {row} |" in text, f"{row}: run `python -m tools.quality --update`"
