"""What every engine must hold: one body for the fake of the unit tests, torch, OpenVINO, and the next one.

A module of tests inherits from `EngineContract` and has a fixture `segmenter`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.engines import self_check
from backend.segmenter import Prompts, Segmenter

CLOSE = 1e-3  # of logits between runs that may round differently


def picture() -> NDArray[np.uint8]:
    """``(192, 256, 3)`` uint8 with a disc around (80, 90)."""
    return self_check.drawn_picture()


def points(*xy: tuple[float, float], positive: bool = True, mask: NDArray[np.float32] | None = None) -> Prompts:
    return Prompts(np.asarray(xy, dtype=np.float32), np.full(len(xy), positive), None, mask)


def box(*xyxy: float) -> Prompts:
    return Prompts(np.zeros((0, 2), np.float32), np.zeros(0, np.bool_), np.asarray(xyxy, dtype=np.float32))


class EngineContract:
    """The tests. Each gets the engine as `segmenter`."""

    def test_engine_says_what_it_is(self, segmenter: Segmenter) -> None:
        """The name, precision included, is part of an embedding's key."""
        assert segmenter.device
        assert "-" in segmenter.engine
        assert segmenter.input_side > 0
        segmenter.free_memory()

    def test_lone_point_has_three_candidates(self, segmenter: Segmenter) -> None:
        embedding = segmenter.encode(picture())
        assert embedding.size_wh == (256, 192)
        lone = segmenter.decode(embedding, points((80, 90)))
        assert lone.logits.shape[0] == len(lone.iou) == 3
        assert lone.logits.dtype == lone.iou.dtype == np.float32
        for prompts in (points((80, 90), (95, 110)), box(35, 45, 125, 135), points((80, 90), mask=lone.logits[0])):
            answer = segmenter.decode(embedding, prompts)
            assert answer.logits.shape == (1, *lone.logits.shape[1:])
            assert answer.iou.shape == (1,)

    def test_mask_lies_in_its_box(self, segmenter: Segmenter) -> None:
        """Pixels of the image are pixels of the image, on both axes: the shape is not square."""
        (logits,) = segmenter.decode(segmenter.encode(picture()), box(35, 45, 125, 135)).logits
        rows, columns = np.nonzero(logits > 0)
        height, width = logits.shape
        assert abs(columns.mean() / width - 80 / 256) < 0.05
        assert abs(rows.mean() / height - 90 / 192) < 0.05

    def test_decoding_leaves_no_trace(self, segmenter: Segmenter) -> None:
        embedding = segmenter.encode(picture())
        before = segmenter.decode(embedding, points((80, 90)))
        segmenter.encode(picture()[::-1].copy())
        segmenter.decode(embedding, points((200, 60)))
        np.testing.assert_array_equal(segmenter.decode(embedding, points((80, 90))).logits, before.logits)

    def test_batch_is_one_by_one(self, segmenter: Segmenter) -> None:
        batch = [picture(), picture()[:50, :90], picture()[:1, :1]]
        together = segmenter.encode_batch(batch)
        assert [one.size_wh for one in together] == [(256, 192), (90, 50), (1, 1)]
        for pixels, embedding in zip(batch, together, strict=True):
            alone = segmenter.encode(pixels)
            assert segmenter.size_of(embedding) == segmenter.size_of(alone)  # no share of the batch's memory
            asked = box(0, 0, *embedding.size_wh)
            one, other = segmenter.decode(embedding, asked), segmenter.decode(alone, asked)
            np.testing.assert_allclose(one.logits, other.logits, atol=CLOSE)
        assert segmenter.encode_batch([]) == []

    def test_prompts_in_a_batch_are_answered_one_by_one(self, segmenter: Segmenter) -> None:
        """Of one image and of several, of every kind, more than one run takes: each as if it were alone."""
        one, other = segmenter.encode(picture()), segmenter.encode(picture()[::-1].copy())
        start = segmenter.decode(one, points((80, 90))).logits[0]
        kinds = [points((80, 90)), box(35, 45, 125, 135), points((80, 90), mask=start), points((80, 90), (95, 110))]
        asked = [(one, kinds[0]), *((embedding, kind) for kind in kinds for embedding in (one, other))]
        asked += [(other, points((20.0 + 20 * number, 60))) for number in range(11)]
        together = segmenter.decode_batch(asked)
        assert len(together) == len(asked)
        for (embedding, prompts), found in zip(asked, together, strict=True):
            alone = segmenter.decode(embedding, prompts)
            assert found.logits.shape == alone.logits.shape
            np.testing.assert_allclose(found.logits, alone.logits, atol=CLOSE)
            np.testing.assert_allclose(found.iou, alone.iou, atol=CLOSE)
        assert segmenter.decode_batch([]) == []
        assert segmenter.decode_at_once >= 1

    def test_packing_keeps_the_answer(self, segmenter: Segmenter) -> None:
        embedding = segmenter.encode(picture())
        again = segmenter.unpack(segmenter.pack(embedding))
        assert again.size_wh == (256, 192)
        asked = points((80, 90), (95, 110))
        np.testing.assert_array_equal(segmenter.decode(again, asked).logits, segmenter.decode(embedding, asked).logits)

    def test_broken_embedding_is_refused(self, segmenter: Segmenter) -> None:
        data = segmenter.pack(segmenter.encode(picture()))
        for wrong in (b"", b"not an embedding", data[:5], data[:-1]):
            with pytest.raises(ValueError):  # noqa: PT011  # the text is the engine's own
                segmenter.unpack(wrong)

    def test_threads_get_their_own_masks(self, segmenter: Segmenter) -> None:
        embeddings = [segmenter.encode(picture()), segmenter.encode(picture()[::-1].copy())]
        clicks = [(embeddings[number % 2], points((10.0 * number, 7.0 * number))) for number in range(24)]
        alone = [segmenter.decode(*click) for click in clicks]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda click: segmenter.decode(*click), clicks))
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(one.logits, other.logits, atol=CLOSE)

    def test_wrong_input_is_refused(self, segmenter: Segmenter) -> None:
        embedding = segmenter.encode(picture())
        with pytest.raises(ValueError, match=r"^prompts: expected a box or a positive point, got none$"):
            segmenter.decode(embedding, points((1, 1), positive=False))
        with pytest.raises(ValueError, match=r"^mask_logits: expected shape \(\d+, \d+\), got \(9, 9\)$"):
            segmenter.decode(embedding, points((1, 1), mask=np.zeros((9, 9), np.float32)))
        for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))):
            with pytest.raises(ValueError, match=r"^pixels: expected \(H, W, 3\) uint8, got "):
                segmenter.encode(wrong)  # type: ignore[arg-type]

    @pytest.mark.parametrize("backward", [False, True])
    def test_objects_are_followed(self, segmenter: Segmenter, backward: bool) -> None:
        """Two objects from a mask each, into a frame on either side; what one answers does not depend on the other."""
        embedding = segmenter.encode(picture())
        one, other = (np.zeros((192, 256), np.bool_) for _ in range(2))
        one[45:135, 35:125] = other[40:100, 160:235] = True
        alone, both = (segmenter.track(3, backward=backward) for _ in range(2))
        for tracker in (alone, both):
            tracker.anchor("disc", 1, embedding, one)
        both.anchor("box", 1, embedding, other)
        into = 0 if backward else 2
        found = both.step("box", into, embedding), both.step("disc", into, embedding)
        again = alone.step("disc", into, embedding)
        for each in found:
            assert each.logits.dtype == np.float32
            assert each.logits.ndim == 2
            assert 0 <= each.score <= 1
            assert 0 <= each.presence <= 1
        np.testing.assert_allclose(found[1].logits, again.logits, atol=CLOSE)

    def test_wrong_frames_are_refused(self, segmenter: Segmenter) -> None:
        embedding = segmenter.encode(picture())
        tracker = segmenter.track(3)
        with pytest.raises(ValueError, match=r"^frame: expected 0 to 2, got 3$"):
            tracker.anchor("disc", 3, embedding, np.ones((4, 4), np.bool_))
        with pytest.raises(ValueError, match=r"^mask: expected shape \(H, W\), got \(4,\)$"):
            tracker.anchor("disc", 0, embedding, np.ones(4, np.bool_))
        with pytest.raises(ValueError, match=r"^object 'disc' has no anchor before frame 1$"):
            tracker.step("disc", 1, embedding)
        tracker.anchor("disc", 0, embedding, np.ones((4, 4), np.bool_))
        tracker.forget("disc")
        with pytest.raises(ValueError, match=r"^object 'disc' has no anchor before frame 1$"):
            tracker.step("disc", 1, embedding)

    @pytest.mark.parametrize("size_wh", [(1, 1), (1, 200), (333, 7)])
    def test_odd_sizes(self, segmenter: Segmenter, size_wh: tuple[int, int]) -> None:
        pixels = np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)
        assert np.isfinite(segmenter.decode(segmenter.encode(pixels), points((0, 0))).logits).all()
