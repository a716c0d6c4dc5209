"""`/propagate`: masks through a sequence, a line a frame."""

from __future__ import annotations

import base64
import json
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.errors import Busy, OutOfMemory, Superseded
from backend.segmenter import Candidates, Embedding, Image, Prompts, Tracked
from backend.serving.propagating import RUNS_AT_ONCE, Runs
from backend.settings import Settings
from backend.web import streaming
from backend.web.propagate_routes import PropagateRequest
from labeling.tracks import LEAST_SCORE
from masks.rle import decode_rle, encode_rle
from tests.unit.backend.caching import WAIT, eventually
from tests.unit.backend.fakes import VERSION, FakeTracker, click, region
from tests.unit.backend.held_segmenter import HeldSegmenter, House, draw, open_house, refused

SIZE_WH = (64, 48)
CLICK_WAITS = 'labelrig_queue_depth{priority="click"} 1.0'
Mask = NDArray[np.bool_]


@pytest.fixture
def house(settings: Settings, root: Path) -> Iterator[House]:
    draw(root, *(f"set/{number}.png" for number in range(6)))
    with open_house(settings) as house:
        yield house


def rectangle(left: int, top: int, right: int, bottom: int) -> Mask:
    mask = np.zeros(SIZE_WH[::-1], dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def code(mask: Mask) -> str:
    return base64.b64encode(bytes(encode_rle(mask))).decode()


def frame(number: int, name: str | None = None) -> dict[str, object]:
    return {"number": number, "url": f"/data/local-files/?d=set/{name or number}.png", "task": str(100 + number)}


def anchor(number: int, **masks: Mask) -> dict[str, object]:
    return {**frame(number), "size_wh": SIZE_WH, "masks": {name: code(mask) for name, mask in masks.items()}}


ONE, TWO = rectangle(8, 6, 40, 30), rectangle(42, 20, 62, 44)


def body(*numbers: int, **more: object) -> dict[str, object]:
    asked: dict[str, object] = {"key": "p", "length": 6, "frames": [frame(number) for number in numbers]}
    return {**asked, "anchors": [anchor(0, one=ONE, two=TWO)], **more}


def lines(house: House, asked: dict[str, object]) -> list[dict[str, Any]]:
    answer = house.client.post("/propagate", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines() if line]


def mask_in(line: dict[str, Any], name: str) -> Mask:
    return decode_rle(base64.b64decode(line["masks"][name]["rle"]), SIZE_WH)


def test_line_a_frame_in_their_order(house: House) -> None:
    first, *followed, last = lines(house, body(1, 2, 4))
    assert first == {"model_version": VERSION, "frames": 3}
    assert [(one["frame"], one["task"]) for one in followed] == [(1, "101"), (2, "102"), (4, "104")]
    assert last == {"done": True}
    for one in followed:
        assert one["size_wh"] == list(SIZE_WH)
        for name, given in (("one", ONE), ("two", TWO)):
            assert (mask_in(one, name) & given).sum() > 0.9 * (mask_in(one, name) | given).sum()
            told = {key: value for key, value in one["masks"][name].items() if key != "rle"}
            assert told == {"score": 0.75, "presence": 0.875, "ended": False, "doubted": False}


def test_backward_and_from_the_first_anchor_of_each(house: House) -> None:
    """An object is followed from the first of its anchors on, in the direction of the run."""
    anchors = [anchor(5, one=ONE), anchor(3, two=TWO)]
    _, *followed, _ = lines(house, body(4, 2, backward=True, anchors=anchors))
    assert [(one["frame"], sorted(one["masks"])) for one in followed] == [(4, ["one"]), (2, ["one", "two"])]


def test_absent_object_has_no_mask_and_its_track_ends(house: House) -> None:
    house.segmenter.absent = frozenset({1, 3, 4})
    _, *followed, last = lines(house, body(1, 2, 3, 4, 5, lost_after=2))
    assert [sorted(one["masks"]) for one in followed] == [["one", "two"]] * 4 + [[]]
    told = {"rle": None, "score": 0.25, "presence": 0.125, "ended": False, "doubted": False}
    assert followed[0]["masks"]["one"] == told
    assert followed[1]["masks"]["one"]["rle"]
    assert [one["masks"]["one"]["ended"] for one in followed[:4]] == [False, False, False, True]
    assert last == {"done": True}


def test_mask_of_a_low_score_is_none(house: House) -> None:
    """Nothing is remembered of its frame; with 0 every mask is one, and 0.5 is the default."""
    wanted = ("one", "two")
    for least, there in ((0.0, True), (0.75, True), (0.76, False)):
        _, followed, _ = lines(house, body(1, least_score=least))
        assert [followed["masks"][name]["rle"] is not None for name in wanted] == [there, there]
        assert [followed["masks"][name]["doubted"] for name in wanted] == [not there, not there]
        assert house.segmenter.trackers[-1].discarded == ([] if there else [("one", 1), ("two", 1)])
    assert refused(house.client.post("/propagate", json=body(1, least_score=1.5)))[0] == 400
    assert PropagateRequest.model_validate(body(1)).least_score == LEAST_SCORE == 0.5


def test_mask_on_another_objects_place_is_none(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Object two goes over to the place of one, with lower logits: it has no mask, and nothing is remembered of it."""
    step = FakeTracker.step

    def strays(tracker: FakeTracker, object_id: str, number: int, embedding: Embedding) -> Tracked:
        found = step(tracker, "one", number, embedding)
        return found if object_id == "one" else replace(found, logits=found.logits * np.float32(0.5))

    monkeypatch.setattr(FakeTracker, "step", strays)
    _, followed, _ = lines(house, body(1))
    assert [followed["masks"][name]["rle"] is not None for name in ("one", "two")] == [True, False]
    assert house.segmenter.trackers[-1].discarded == [("two", 1)]


def test_frame_that_cannot_be_read_is_passed_over(house: House, root: Path) -> None:
    (root / "set" / "2.png").write_bytes(b"not a picture")
    _, *followed, last = lines(house, body(1, 2, 3))
    assert [one["frame"] for one in followed] == [1, 2, 3]
    assert "masks" not in followed[1]
    assert "2.png" in followed[1]["problem"]
    assert followed[2]["masks"]
    assert last == {"done": True}


def test_run_ends_with_what_was_wrong(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status of the answer was sent with the first line: the last one says it."""
    step = FakeTracker.step

    def full(tracker: FakeTracker, object_id: str, number: int, embedding: Embedding) -> Tracked:
        if number == 2:
            raise OutOfMemory("following needs more memory than fake has free")
        return step(tracker, object_id, number, embedding)

    monkeypatch.setattr(FakeTracker, "step", full)
    _, followed, last = lines(house, body(1, 2, 3))
    assert followed["frame"] == 1
    assert last == {"error": "following needs more memory than fake has free", "status": 503}


@pytest.fixture
def beat(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Beats are due at once; set when one is sent."""
    sent = threading.Event()

    class Beat(str):
        def encode(self, *arguments: Any) -> bytes:
            sent.set()
            return super().encode(*arguments)

    monkeypatch.setattr(streaming, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(streaming, "BEAT", Beat(streaming.BEAT))
    return sent


@pytest.mark.parametrize("slow", ["anchor", "step"])
def test_something_comes_while_a_line_is_made(
    house: House, beat: threading.Event, slow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = getattr(FakeTracker, slow)

    def waits(*arguments: Any) -> Any:
        assert beat.wait(WAIT)
        return work(*arguments)

    monkeypatch.setattr(FakeTracker, slow, waits)
    first, followed, last = lines(house, body(1))
    assert (first["frames"], followed["frame"], last) == (1, 1, {"done": True})


def test_late_refusal_is_the_only_line(house: House, beat: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of two masks took longer than a beat, so that the status was sent before the other was looked at."""
    given = FakeTracker.anchor

    def waits(tracker: FakeTracker, object_id: str, number: int, embedding: Embedding, mask: Mask) -> None:
        assert beat.wait(WAIT)
        given(tracker, object_id, number, embedding, mask)

    monkeypatch.setattr(FakeTracker, "anchor", waits)
    empty = np.zeros(SIZE_WH[::-1], np.bool_)
    found = lines(house, body(1, anchors=[anchor(0, one=ONE, two=empty)]))
    assert found == [{"error": "the mask of 'two' on frame 0 is empty", "status": 400}]


def test_masks_and_embeddings_that_passed_are_let_go(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long sequence takes no more memory than a short one."""
    step, encode = FakeTracker.step, HeldSegmenter.encode
    masks, embeddings = list[weakref.ref[Tracked]](), list[weakref.ref[Embedding]]()
    held: list[tuple[int, int]] = []

    def alive(of: list[weakref.ref[Any]]) -> int:
        return sum(one() is not None for one in of)

    def seen(tracker: FakeTracker, object_id: str, number: int, embedding: Embedding) -> Tracked:
        held.append((alive(masks), alive(embeddings)))
        found = step(tracker, object_id, number, embedding)
        masks.append(weakref.ref(found))
        return found

    def encoded(segmenter: HeldSegmenter, image: Image) -> Embedding:
        embedding = encode(segmenter, image)
        embeddings.append(weakref.ref(embedding))
        return embedding

    monkeypatch.setattr(FakeTracker, "step", seen)
    monkeypatch.setattr(HeldSegmenter, "encode", encoded)
    assert lines(house, body(1, 2, 3, 4, 5))[-1] == {"done": True}
    assert (len(masks), len(embeddings)) == (10, 6)
    assert max(count for count, _ in held) <= 1  # the frame's other object
    assert max(count for _, count in held) <= 3  # of this frame, the one before it, and the one that is read ahead


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"frames": [frame(2), frame(1)]}, "`frames` must come from earlier to later"),
        ({"frames": [frame(1), frame(2)], "backward": True}, "`frames` must come from later to earlier"),
        ({"frames": [frame(0)]}, "a frame is either one of `anchors`, once, or one of `frames`"),
        ({"length": 2, "frames": [frame(2)]}, "`length` is 2, so the last frame has the number 1"),
        ({"frames": []}, "frames: "),
        ({"anchors": []}, "anchors: "),
        ({"more": 1}, "more: "),
    ],
)
def test_wrong_request_is_refused(house: House, change: dict[str, object], says: str) -> None:
    answer = house.client.post("/propagate", json={**body(1), **change})
    status, sentence = refused(answer)
    assert status == 400
    assert says in sentence


def test_wrong_masks_are_refused_before_the_first_line(house: House) -> None:
    empty = {**frame(0), "size_wh": SIZE_WH, "masks": {"one": code(np.zeros(SIZE_WH[::-1], np.bool_))}}
    assert refused(house.client.post("/propagate", json=body(1, anchors=[empty]))) == (
        400,
        "the mask of 'one' on frame 0 is empty",
    )
    broken = {**frame(0), "size_wh": SIZE_WH, "masks": {"one": base64.b64encode(b"\0\0").decode()}}
    status, sentence = refused(house.client.post("/propagate", json=body(1, anchors=[broken])))
    assert status == 400
    assert sentence.startswith("the mask of 'one' on frame 0 cannot be read: ")
    other = {**anchor(0, one=ONE), "size_wh": (32, 24)}
    assert refused(house.client.post("/propagate", json=body(1, anchors=[other]))) == (
        422,
        "the masks of frame 0 are of 32x24 pixels, and it has 64x48",
    )


def test_frames_are_encoded_once_for_both(house: House) -> None:
    """What a click encoded is in the memory; a propagation leaves that to the images that are open."""
    config = click(region("keypointlabels", 30, 30), image="set/1.png")
    assert house.ask(config).status_code == 200
    assert len(house.segmenter.encoded) == 1
    lines(house, body(1))
    assert len(house.segmenter.encoded) == 2  # the anchor's frame
    lines(house, body(1))
    assert len(house.segmenter.encoded) == 3  # which is kept nowhere without a folder for embeddings


def test_click_waits_for_one_step_at_most(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes while an object is followed into the first of five frames, two objects each: it is answered next."""
    done: list[str] = []
    held, go = threading.Event(), threading.Event()
    clicks: list[Future[httpx2.Response]] = []
    step, decode = FakeTracker.step, HeldSegmenter.decode

    def held_step(tracker: FakeTracker, object_id: str, number: int, embedding: Embedding) -> Tracked:
        done.append("step")
        held.set()
        assert go.wait(WAIT)
        # A real step takes longer than the click needs to ask for its mask once its image is encoded.
        eventually(lambda: clicks[0].done() or CLICK_WAITS in house.client.get("/metrics").text)
        return step(tracker, object_id, number, embedding)

    def seen(segmenter: HeldSegmenter, embedding: Embedding, prompts: Prompts) -> Candidates:
        done.append("click")
        return decode(segmenter, embedding, prompts)

    monkeypatch.setattr(FakeTracker, "step", held_step)
    monkeypatch.setattr(HeldSegmenter, "decode", seen)
    with ThreadPoolExecutor(1) as threads:
        whole = threads.submit(lines, house, body(1, 2, 3, 4, 5))
        assert held.wait(WAIT)
        clicks.append(house.send(click(region("keypointlabels", 30, 30), image="set/5.png")))
        eventually(lambda: CLICK_WAITS in house.client.get("/metrics").text)
        go.set()
        assert clicks[0].result(WAIT).status_code == 200
        assert whole.result(WAIT)[-1] == {"done": True}
    # The step that was under way, and one more where the click's image was encoded before its mask was asked for.
    assert done.index("click") <= 2
    assert done.count("step") == 10


def test_run_of_the_same_key_ends_the_one_before() -> None:
    runs = Runs()
    first, other = runs.enter("a"), runs.enter("b")
    second = runs.enter("a")
    with pytest.raises(Superseded, match=r"^the same propagation was begun again$"):
        first.check()
    second.check()
    other.check()
    runs.leave("a", first)  # it is late: the place is not its own any more
    assert runs.cancel("a")
    assert not runs.cancel("a")
    with pytest.raises(Superseded):
        second.check()


def test_too_many_runs_are_refused() -> None:
    runs = Runs()
    for number in range(RUNS_AT_ONCE):
        runs.enter(str(number))
    with pytest.raises(Busy, match=f"^{RUNS_AT_ONCE} propagations run already; try again when one is done$"):
        runs.enter("more")
    runs.enter("0")


def test_cancelling_what_does_not_run(house: House) -> None:
    assert refused(house.client.delete("/propagate/p")) == (404, "no propagation of this key is under way")
