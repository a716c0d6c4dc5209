"""The shipped weights: small, in half precision, of this YAML, and good at what they were trained for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sam2.modeling.sam2_base import SAM2Base

from demo import clicks, model
from demo.scenes import STYLES, Scene, draw_scene
from masks.measure import intersection_over_union
from tools.quality import tracking
from tools.quality.pipeline import demo_segmenter
from tools.training import evaluate, segment

SEED = 424_242


@pytest.fixture(scope="module")
def shipped() -> Iterator[SAM2Base]:
    threads = torch.get_num_threads()
    # two threads that wait for each other are slower than one where tests run side by side
    torch.set_num_threads(1)
    yield segment.load_model()
    torch.set_num_threads(threads)


def held_out(index: int) -> Scene:
    return draw_scene(np.random.default_rng((SEED, index)), (640, 360), STYLES[index % len(STYLES)])


def test_the_file_is_small_half_precision_and_fits_the_yaml() -> None:
    assert model.WEIGHTS.stat().st_size < 8_000_000
    content = torch.load(model.WEIGHTS, map_location="cpu", weights_only=True)
    assert set(content) == {"model"}
    state = content["model"]
    assert {value.dtype for value in state.values()} == {torch.float16}
    assert all(bool(value.isfinite().all()) for value in state.values())
    expected = model.build_model().state_dict()
    assert {name: value.shape for name, value in state.items()} == {
        name: value.shape for name, value in expected.items()
    }


def test_one_click_and_one_box_find_the_object(shipped: SAM2Base) -> None:
    by_click, by_box = [], []
    for index in range(15):
        scene = held_out(index)
        picture = segment.Picture(shipped, scene.image)
        points = np.array([[clicks.inner_point(item.mask)] for item in scene.objects], dtype=np.float64)
        boxes = np.array([np.reshape(clicks.box_of(item.mask), (2, 2)) for item in scene.objects], dtype=np.float64)
        one = picture.predict(points, np.ones((len(points), 1), dtype=np.int64), candidates=True)
        two = picture.predict(boxes, np.tile([2, 3], (len(boxes), 1)), candidates=False)
        for item, clicked, boxed in zip(scene.objects, one.masks, two.masks, strict=True):
            by_click.append(intersection_over_union(clicked, item.mask))
            by_box.append(intersection_over_union(boxed, item.mask))
    assert np.mean(by_click) >= 0.8
    assert np.mean(by_box) >= 0.85


def test_another_place_to_click_gives_another_mask(shipped: SAM2Base) -> None:
    scene = held_out(0)
    picture = segment.Picture(shipped, scene.image)
    points = np.array([[clicks.inner_point(item.mask)] for item in scene.objects], dtype=np.float64)
    answer = picture.predict(points, np.ones((len(points), 1), dtype=np.int64), candidates=True)
    for index, item in enumerate(scene.objects):
        overlaps = [intersection_over_union(mask, item.mask) for mask in answer.masks]
        assert int(np.argmax(overlaps)) == index


def test_asking_for_many_at_once_answers_like_asking_for_each(shipped: SAM2Base) -> None:
    scene = held_out(1)
    picture = segment.Picture(shipped, scene.image)
    points = np.array([[clicks.inner_point(item.mask)] for item in scene.objects], dtype=np.float64)
    ones = np.ones((len(points), 1), dtype=np.int64)
    together = picture.predict(points, ones, candidates=True)
    for index in range(len(points)):
        alone = picture.predict(points[index : index + 1], ones[:1], candidates=True)
        assert torch.allclose(alone.logits[0], together.logits[index], atol=1e-3)
        assert alone.masks.shape == (1, 360, 640)


def test_the_evaluation_measures_every_row(shipped: SAM2Base) -> None:
    table = evaluate.evaluate(shipped, 5, (320, 180))
    assert set(table) == set(evaluate.ROWS)
    assert table["click"]["all"] == pytest.approx(0.85, abs=0.15)
    assert set(table["click"]) == {"all", *STYLES}
    lines = evaluate.markdown("measured", evaluate.ROWS, table).splitlines()
    assert len(lines) == 2 + len(evaluate.ROWS)
    assert {line.count("|") for line in lines} == {3 + len(STYLES)}


def test_a_bad_size_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evaluate.main(["--size", "large"])
    assert "expected WIDTHxHEIGHT, for instance 1920x1080, got 'large'" in capsys.readouterr().err


def test_objects_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Far better than to copy the first mask, on moving scenes that no training draws."""
    monkeypatch.setattr(tracking, "FRAMES", 8)
    found = [one for number in range(2) for one in tracking.measured(demo_segmenter(), number)]
    followed, copied = (np.mean([one.scores[way] for one in found]) for way in tracking.WAYS[:2])
    assert followed >= 0.7
    assert followed >= copied + 0.2
