"""Several clicks at once: who replaces whom, who waits, who is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.errors import OutOfMemory
from backend.settings import Settings
from tests.unit.backend.caching import eventually, together
from tests.unit.backend.fakes import V1, click, region
from tests.unit.backend.held_segmenter import House, draw, open_house, refused, said


def point(id: str = "a", x: float = 25, y: float = 75, *, positive: bool = True) -> dict[str, object]:
    return region("keypointlabels", x, y, id=id, positive=positive)


@pytest.fixture
def house(settings: Settings) -> Iterator[House]:
    with open_house(settings) as house:
        yield house


def test_a_newer_click_replaces_the_older_one(house: House) -> None:
    first = house.send_and_hold(click(point("a")))
    second = house.send(click(point("a"), point("b", 30)))

    status, sentence = refused(first.result(30))
    assert (status, sentence.startswith("a newer click")) == (409, True)
    house.segmenter.let_go()
    assert said(second.result(30))
    assert len(house.segmenter.encoded) == 1
    assert [len(prompts.points_xy) for prompts in house.segmenter.decoded] == [2]


def test_a_replaced_click_is_no_error_for_those_who_watch(house: House) -> None:
    first = house.send_and_hold(click(point("a")))
    second = house.send(click(point("a"), point("b", 30)))
    assert first.result(30).status_code == 409
    house.segmenter.let_go()
    assert second.result(30).status_code == 200
    assert "a newer click" not in house.client.get("/status").text
    assert "Superseded" not in house.client.get("/metrics").text


def test_other_annotators_and_other_tasks_are_left_alone(house: House) -> None:
    other_task: Any = click(point("a"))
    other_task["tasks"][0]["id"] = 18
    waiting = [house.send_and_hold(click(point("a"))), house.send(click(point("z"))), house.send(other_task)]
    newest = house.send(click(point("a"), point("b", 30)))

    assert waiting[0].result(30).status_code == 409
    house.segmenter.let_go()
    assert all(said(one.result(30)) for one in (*waiting[1:], newest))


def test_replaced_waiting_click_is_not_decoded(house: House, root: Path) -> None:
    """A click that was replaced while it waits for the decoder is not decoded."""
    draw(root, "set/b.png")
    assert said(house.ask(click(point("0"))))  # the embedding is there
    held = house.send_and_hold(click(point("z"), image="set/b.png"))
    first = house.send(click(point("a", 10)))
    eventually(lambda: 'labelrig_queue_depth{priority="click"} 1.0' in house.client.get("/metrics").text)
    second = house.send(click(point("a", 10), point("b", 90)))
    assert first.result(30).status_code == 409
    house.segmenter.let_go()
    assert said(second.result(30))
    assert said(held.result(30))
    assert sorted(len(prompts.points_xy) for prompts in house.segmenter.decoded) == [1, 1, 2]


def test_clicks_beyond_the_limit_are_told_so_at_once(settings: Settings) -> None:
    with open_house(settings, click_limit=1) as house:
        first = house.send_and_hold(click(point("a")))
        answers = together(20, lambda number: house.ask(click(point(f"other {number}"))))
        sentence = "1 clicks are being answered or wait already; try again in a moment"
        assert {refused(one) for one in answers} == {(503, sentence)}
        assert house.client.get("/health").json()["state"] == "ready"
        house.segmenter.let_go()
        assert said(first.result(30))
        assert said(house.ask(click(point("b"))))


def test_a_click_has_a_deadline(settings: Settings) -> None:
    with open_house(settings, click_deadline_seconds=0.1) as house:
        answer = house.send_and_hold(click(point())).result(30)
        assert refused(answer) == (504, "encode took longer than a click may wait; try again")
        assert 'labelrig_errors_total{kind="DeadlinePassed"} 1.0' in house.client.get("/metrics").text
        assert "encode took longer than a click may wait" in house.client.get("/status").text


def test_ten_clicks_on_one_image_are_one_encoder_run(house: House) -> None:
    first = house.send_and_hold(click(point("0")))
    others = [house.send(click(point(str(number), 10 * number))) for number in range(1, 10)]
    house.segmenter.let_go()
    masks = [str(said(one.result(30))[0]["value"]["rle"]) for one in (first, *others)]
    assert len(set(masks)) == 10
    assert len(house.segmenter.encoded) == 1


def test_clicks_that_wait_are_decoded_in_one_call(settings: Settings) -> None:
    """Where the engine says that it pays; each gets its own mask."""
    with open_house(settings) as house:
        house.segmenter.decode_at_once = 4
        assert said(house.ask(click(point("0"))))
        draw(settings.local_files_document_root / "set", "b.png")
        first = house.send_and_hold(click(point("first"), image="set/b.png"))
        others = [house.send(click(point(str(number), 10 * number))) for number in range(1, 4)]
        eventually(lambda: 'labelrig_queue_depth{priority="click"} 3.0' in house.client.get("/metrics").text)
        house.segmenter.let_go()
        assert said(first.result(30))
        assert len({str(said(one.result(30))[0]["value"]["rle"]) for one in others}) == 3
        assert 3 in house.segmenter.batches


def test_memory_that_does_not_suffice_once_is_made_free(house: House) -> None:
    assert said(house.ask(click(point("0", 50))))
    house.segmenter.errors = [OutOfMemory("no memory")]
    assert said(house.ask(click(point("a"))))
    assert house.segmenter.freed == 1
    assert house.client.get("/health").json()["state"] == "ready"
    assert said(house.ask(click(point("b", 10))))
    assert len(house.segmenter.encoded) == 2  # the cache had been emptied
    assert 'labelrig_cache_emptied_total{cache="memory"} 1.0' in house.client.get("/metrics").text


def test_memory_that_does_not_suffice_twice_is_told(house: House) -> None:
    house.segmenter.errors = [OutOfMemory("no memory for this image"), OutOfMemory("no memory for this image")]
    assert refused(house.ask(click(point("a")))) == (503, "no memory for this image")
    health = house.client.get("/health")
    assert health.status_code == 200
    assert health.json()["state"] == "degraded"
    assert health.json()["reason"] == "the last decode failed: no memory for this image"
    assert "the last decode failed: no memory for this image" in house.client.get("/status").text
    assert house.client.get("/ready").status_code == 200

    assert said(house.ask(click(point("a"))))
    assert house.client.get("/health").json()["state"] == "ready"
    assert "reason" not in house.client.get("/health").json()


PAGE = (
    '<Image name="page_{{idx}}" value="$pages[{{idx}}].url"/>'
    '<KeyPointLabels name="kp_{{idx}}" toName="page_{{idx}}" smart="true"><Label value="Person"/></KeyPointLabels>'
    '<BrushLabels name="brush_{{idx}}" toName="page_{{idx}}"><Label value="Person"/></BrushLabels>'
)


def opened(image: str, config: str = V1) -> dict[str, object]:
    """What Label Studio sends when somebody opens a task."""
    body: Any = click(config=config, image=image)
    return {**body, "params": {"login": None, "password": None, "context": None}}


@pytest.mark.parametrize("params", [{"context": None}, {}, None])
def test_an_opened_task_is_encoded_before_the_click(settings: Settings, root: Path, params: object) -> None:
    draw(root, "set/b.png", "set/c.png", "set/d.png")
    with open_house(settings, prewarm_neighbours=0) as house:
        busy = house.send_and_hold(click(point("a")))
        answer = house.ask({**opened("set/c.png"), "params": params})
        assert answer.json() == {"results": [[]]}
        assert not busy.done()
        house.segmenter.let_go()
        assert said(busy.result(30))
        for _ in range(2):
            house.segmenter.wait_until_ended()

        assert said(house.ask(click(point("b"), image="set/c.png")))
        assert len(house.segmenter.encoded) == 2


def test_repeated_images_of_an_opened_task_are_encoded(settings: Settings, root: Path) -> None:
    """`<Repeater>`: all pages, as `embed` says of them."""
    draw(root, "set/b.png", "set/c.png")
    body: Any = opened("set/a.png", f'<View><Repeater on="$pages">{PAGE}</Repeater></View>')
    body["tasks"][0]["data"] = {"pages": [{"url": f"/data/local-files/?d=set/{name}.png"} for name in "bc"]}
    with open_house(settings, prewarm_neighbours=0) as house:
        eventually(lambda: house.client.get("/ready").status_code == 200)
        assert house.ask(body).json() == {"results": [[]]}
        for _ in range(2):
            house.segmenter.wait_until_ended()
        for name in "bc":
            assert said(house.ask(click(point("a"), image=f"set/{name}.png")))
        assert len(house.segmenter.encoded) == 2


def test_the_images_after_the_opened_one_are_encoded_too(settings: Settings, root: Path) -> None:
    draw(root, "set/b.png", "set/c.png", "set/d.png", "set/e.png")
    with open_house(settings, prewarm_neighbours=2) as house:
        assert said(house.ask(click(point("0"), image="set/e.png")))
        assert house.ask(opened("set/b.png")).json() == {"results": [[]]}
        for _ in range(4):
            house.segmenter.wait_until_ended()
        for image in ("set/b.png", "set/c.png", "set/d.png"):
            assert said(house.ask(click(point("a"), image=image)))
        assert len(house.segmenter.encoded) == 4


def test_what_cannot_be_encoded_ahead_is_no_error(house: House) -> None:
    for body in (opened("set/none.png"), opened("set/a.png", "<View"), {**opened("set/a.png"), "label_config": ""}):
        assert house.ask(body).json() == {"results": [[]]}
    two: Any = opened("set/a.png")
    assert house.ask({**two, "tasks": two["tasks"] * 2}).json() == {"results": [[], []]}
    assert said(house.ask(click(point("a"))))
