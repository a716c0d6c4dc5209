"""Prompts that come apart, masks that are refined, and what a project chose: over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.converter.brush import decode_rle
from PIL import Image

from backend.settings import Settings
from tests.unit.backend.fakes import V1, click, region
from tests.unit.backend.held_segmenter import House, draw, open_house, refused, said

LABELS = '<Label value="Person"/><Label value="Boat"/>'
SMART = (
    f'<KeyPointLabels name="point" toName="image" smart="true">{LABELS}</KeyPointLabels>'
    f'<RectangleLabels name="box" toName="image" smart="true">{LABELS}</RectangleLabels>'
)


def config(*outputs: str, image: str = '<Image name="image" value="$image"/>', smart: str = SMART) -> str:
    tags = "".join(f'<{one} name="out{n}" toName="image">{LABELS}</{one}>' for n, one in enumerate(outputs))
    return f"<View>{image}{tags}{smart}</View>"


def point(id: str = "a", x: float = 25, y: float = 75, *, positive: bool = True) -> dict[str, object]:
    return region("keypointlabels", x, y, id=id, positive=positive)


def box(id: str = "box") -> dict[str, object]:
    return region("rectanglelabels", 10, 10, width=60, height=80, id=id)


@pytest.fixture
def house(settings: Settings) -> Iterator[House]:
    with open_house(settings) as house:
        yield house


def test_points_after_a_box_count_with_it(house: House) -> None:
    assert said(house.ask(click(box())))
    assert said(house.ask(click(point("a"), point("b", 60, 20, positive=False))))
    both = house.segmenter.decoded[1]
    assert both.box_xyxy is not None
    np.testing.assert_allclose(both.box_xyxy, [6.4, 4.8, 44.8, 43.2], rtol=1e-5)
    np.testing.assert_allclose(both.points_xy, [[16.0, 36.0], [38.4, 9.6]], rtol=1e-5)
    assert both.is_positive.tolist() == [True, False]
    assert "box+points" in house.client.get("/metrics").text


def test_a_negative_point_alone_corrects_the_box(house: House) -> None:
    (before,) = said(house.ask(click(box())))
    (after,) = said(house.ask(click(point("a", 30, 50, positive=False))))
    (_, prompts) = house.segmenter.decoded
    assert prompts.box_xyxy is not None
    assert prompts.is_positive.tolist() == [False]
    assert before["value"]["rle"] != after["value"]["rle"]


def test_a_box_counts_for_nobody_elses_points(house: House) -> None:
    assert said(house.ask(click(box())))
    other_task: Any = click(point("a"))
    other_task["tasks"][0]["id"] = 18
    other_label = click(region("keypointlabels", 25, 75, id="b", label="Boat"))
    outside = click(point("c", 95, 95))
    for body in (other_task, other_label, outside):
        assert said(house.ask(body))
    assert [prompts.box_xyxy is None for prompts in house.segmenter.decoded] == [False, True, True, True]


def test_two_annotators_on_one_task_keep_their_own_boxes(house: House) -> None:
    def of(name: str, *regions: dict[str, object]) -> dict[str, object]:
        body: Any = click(*regions)
        body["tasks"][0]["drafts"] = [{"id": 1, "user": name, "result": []}]
        return body  # type: ignore[no-any-return]

    assert said(house.ask(of("ann@lab.org", box("1"))))
    wide = region("rectanglelabels", 0, 0, width=100, height=100, id="2")
    assert said(house.ask(of("bob@lab.org", wide)))
    assert said(house.ask(of("ann@lab.org", point("3"))))
    assert said(house.ask(of("bob@lab.org", point("4"))))
    assert said(house.ask(of("eve@lab.org", point("5"))))
    boxes = [prompts.box_xyxy for prompts in house.segmenter.decoded[2:]]
    assert boxes[0] is not None
    assert boxes[1] is not None
    np.testing.assert_allclose(boxes[0], [6.4, 4.8, 44.8, 43.2], rtol=1e-5)
    np.testing.assert_allclose(boxes[1], [0, 0, 64, 48], rtol=1e-5)
    assert boxes[2] is None


def test_a_mask_is_fed_back_to_prompts_that_contain_its_own(house: House) -> None:
    bodies = [
        click(point("a")),
        click(point("a")),  # the same set: the same mask again
        click(point("a"), point("b", 60, 20)),
        click(point("b", 60, 20)),  # a part of the last: nothing before it
        click(point("c", 90, 90)),
    ]
    for body in bodies:
        assert said(house.ask(body))
    fed = [prompts.mask_logits is not None for prompts in house.segmenter.decoded]
    assert fed == [False, False, True, False, False]
    start = house.segmenter.decoded[2].mask_logits
    assert start is not None
    assert (start > 0).any()
    assert (start < 0).any()


@pytest.mark.parametrize(
    ("choice", "fed"), [("always", [True, True]), ("positive", [True, False]), ("never", [False] * 2)]
)
def test_feedback_can_be_chosen(settings: Settings, choice: str, fed: list[bool]) -> None:
    with open_house(settings, mask_feedback=choice) as house:
        assert said(house.ask(click(point("a"))))
        assert said(house.ask(click(point("a"), point("b", 60, 20))))
        assert said(house.ask(click(point("a"), point("b", 60, 20), point("c", 90, 90, positive=False))))
        assert [prompts.mask_logits is not None for prompts in house.segmenter.decoded[1:]] == fed


def wishing(candidate: int | None, *regions: dict[str, object]) -> dict[str, object]:
    """A click for a certain one of the model's masks, as our script in the pages sends it."""
    body: Any = click(*regions)
    if candidate is not None:
        body["params"]["context"]["candidate"] = candidate
    return body  # type: ignore[no-any-return]


def test_each_mask_of_a_lone_point_can_be_had_the_best_first(house: House) -> None:
    answers = [house.ask(wishing(n, point("a"))).json()["results"][0] for n in (None, 0, 1, 2, 3)]
    scores = [answer["score"] for answer in answers]
    assert scores == [0.875, 0.875, 0.5, 0.0, 0.875]  # the fake's third mask is empty: no object, no score
    assert [answer.get("candidates") for answer in answers] == [None, 3, 3, 3, 3]
    everything = decode_rle(answers[2]["result"][0]["value"]["rle"])
    assert (everything == 255).all()


def test_points_that_come_after_refine_the_mask_that_was_chosen(house: House) -> None:
    more = (point("a"), point("b", 60, 20))
    for body in (wishing(0, point("a")), wishing(1, point("a")), wishing(1, *more), wishing(0, *more)):
        assert said(house.ask(body))
    *_, chosen, best = (prompts.mask_logits for prompts in house.segmenter.decoded)
    assert chosen is not None
    assert best is not None
    assert (chosen > 0).all()
    assert not (best > 0).all()


@pytest.mark.parametrize("candidate", [-1, 16, "first", 0.5])
def test_a_candidate_is_a_small_number(house: House, candidate: Any) -> None:
    status, sentence = refused(house.ask(wishing(candidate, point("a"))))
    assert status == 400
    assert "candidate" in sentence


def test_masks_are_not_fed_to_another_image(house: House, root: Path) -> None:
    draw(root, "set/b.png")
    assert said(house.ask(click(point("a"))))
    assert said(house.ask(click(point("a"), point("b", 60, 20), image="set/b.png")))
    assert house.segmenter.decoded[1].mask_logits is None


def test_options_of_a_project_are_remembered_over_a_restart(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    kept = {"embedding_cache_dir": tmp_path / "kept"}
    with open_house(settings, **kept) as house:
        assert said(house.ask(click(point())))[0]["type"] == "brushlabels"
        asked = {"project": "3.1767225600", "schema": V1, "extra_params": '{"output": "rectangle"}'}
        assert house.client.post("/setup", json=asked).status_code == 200
        assert said(house.ask(click(point("b"))))[0]["type"] == "rectanglelabels"
        another = {**click(point("c")), "project": "4.1767225600"}
        assert said(house.ask(another))[0]["type"] == "brushlabels"
    with open_house(settings, **kept) as house:
        assert said(house.ask(click(point())))[0]["type"] == "rectanglelabels"
        assert house.client.post("/setup", json={**asked, "extra_params": None}).status_code == 200
        assert said(house.ask(click(point("b"))))[0]["type"] == "brushlabels"
        assert len(house.segmenter.encoded) == 0  # the embedding is on the disk, of the process before


def test_options_that_cannot_be_used_change_nothing(house: House) -> None:
    asked = {"project": "3.1767225600", "schema": V1}
    assert house.client.post("/setup", json={**asked, "extra_params": {"output": "rectangle"}}).status_code == 200
    status, sentence = refused(house.client.post("/setup", json={**asked, "extra_params": "{"}))
    assert (status, sentence) == (400, "extra_params is a string that holds no JSON")
    assert said(house.ask(click(point())))[0]["type"] == "rectanglelabels"


@pytest.mark.parametrize(
    ("tag", "type", "field"),
    [
        ("BrushLabels", "brushlabels", "rle"),
        ("BitmaskLabels", "bitmasklabels", "imageDataURL"),
        ("PolygonLabels", "polygonlabels", "points"),
    ],
)
def test_the_answer_is_what_the_configuration_takes(house: House, tag: str, type: str, field: str) -> None:
    (result,) = said(house.ask(click(point(), config=config(tag))))
    assert result["type"] == type
    assert result["from_name"] == "out0"
    assert result["value"][field]
    assert result["value"][type] == ["Person"]


def test_without_a_mask_tag_the_answer_is_a_box(house: House) -> None:
    (result,) = said(house.ask(click(point(x=50, y=50), config=config())))
    assert (result["type"], result["from_name"]) == ("rectanglelabels", "box")
    value = result["value"]
    assert {value["x"], value["width"]} == {37.5, 25.0}


def images_of(*names: str) -> list[str]:
    return [f"/data/local-files/?d={name}" for name in names]


def test_one_tag_with_several_images(house: House, root: Path) -> None:
    draw(root, "set/b.png")
    several = config("BrushLabels", image='<Image name="image" valueList="$images"/>')
    body: Any = click({**point(), "item_index": 1}, config=several)
    body["tasks"][0]["data"] = {"images": images_of("set/a.png", "set/b.png")}
    (result,) = said(house.ask(body))
    assert result["item_index"] == 1
    assert np.array_equal(house.segmenter.encoded[0], pixels_of(root / "set/b.png"))
    body["params"]["context"]["result"][0]["item_index"] = 2
    status, sentence = refused(house.ask(body))
    assert (status, sentence) == (422, "image 3 was requested, but 'images' of the task's data holds 2")


def test_two_image_tags(house: House, root: Path) -> None:
    draw(root, "set/b.png")
    tags = "".join(
        f'<Image name="{name}" value="${name}"/><BrushLabels name="{name}-brush" toName="{name}">{LABELS}</BrushLabels>'
        f'<KeyPointLabels name="{name}-point" toName="{name}" smart="true">{LABELS}</KeyPointLabels>'
        for name in ("rgb", "thermal")
    )
    body: Any = click({**point(), "to_name": "thermal"}, config=f"<View>{tags}</View>")
    first, second = images_of("set/a.png", "set/b.png")
    body["tasks"][0]["data"] = {"rgb": first, "thermal": second}
    (result,) = said(house.ask(body))
    assert (result["to_name"], result["from_name"]) == ("thermal", "thermal-brush")
    assert np.array_equal(house.segmenter.encoded[0], pixels_of(root / "set/b.png"))


def test_a_stroke_is_replaced_by_its_mask(house: House) -> None:
    (mask,) = said(house.ask(click(point(x=50, y=50))))
    stroke: Any = region("brushlabels", 0, 0, id="stroke")
    stroke["value"] = {"format": "rle", "rle": mask["value"]["rle"], "brushlabels": ["Person"]}
    (result,) = said(house.ask(click(stroke)))
    assert result["id"] == "stroke"
    alpha = decode_rle(result["value"]["rle"]).reshape(48, 64, 4)[..., 3] > 0
    assert alpha[24, 32]
    assert not alpha[2, 2]
    assert 'labelrig_clicks_total{prompt="stroke"} 1.0' in house.client.get("/metrics").text


def pixels_of(path: Path) -> Any:
    return np.asarray(Image.open(path))
