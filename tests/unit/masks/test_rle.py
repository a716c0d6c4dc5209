from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from label_studio_sdk.converter.brush import decode_rle as sdk_decode
from label_studio_sdk.converter.brush import encode_rle as sdk_encode
from label_studio_sdk.converter.brush import mask2rle
from numpy.typing import NDArray

from masks.rle import decode_alpha, decode_rle, encode_rle
from tests.unit.masks.strategies import Mask, objects


def shapes() -> dict[str, NDArray[np.bool_]]:
    rng = np.random.default_rng(2)
    ring = np.zeros((40, 60), dtype=bool)
    ring[5:35, 5:55] = True
    ring[15:25, 20:40] = False
    one = np.zeros((7, 5), dtype=bool)
    one[3, 2] = True
    last = np.zeros((6, 9), dtype=bool)
    last[-1, -1] = True
    return {
        "noise": rng.random((33, 47)) > 0.5,
        "ring": ring,
        "one pixel": one,
        "last pixel": last,
        "the only pixel": np.ones((1, 1), dtype=bool),
        "empty": np.zeros((5, 9), dtype=bool),
        "full, longer than the longest run": np.ones((300, 400), dtype=bool),
        "run of exactly the longest": np.ones((128, 128), dtype=bool),
        "run of one pixel more": np.ones((1, 16385), dtype=bool),
        "one row": rng.random((1, 50)) > 0.3,
        "one column": rng.random((50, 1)) > 0.3,
        "every second": np.arange(35 * 21).reshape(35, 21) % 2 == 0,
        "not contiguous": (rng.random((60, 80)) > 0.4)[::2, ::-1],
        "speckled": rng.random((270, 480)) < 0.08,
    }


def reference_decode(code: list[int]) -> NDArray[np.uint8]:
    """The rules of the editor's decoder (@thi.ng/rle-pack `decode`), one value at a time."""
    bits = "".join(f"{byte:08b}" for byte in code)
    at = 0

    def read(count: int) -> int:
        nonlocal at
        at += count
        assert at <= len(bits)
        return int(bits[at - count : at], 2)

    total, word, sizes = read(32), read(5) + 1, [read(4) + 1 for _ in range(4)]
    out: list[int] = []
    while len(out) < total:
        is_run = read(1)
        count = read(sizes[read(2)]) + 1
        out += [read(word)] * count if is_run else [read(word) for _ in range(count)]
    return np.asarray(out, dtype=np.uint8)


@pytest.mark.parametrize("name", sorted(shapes()))
def test_the_same_integers_as_the_sdk(name: str) -> None:
    mask = shapes()[name]
    rle = encode_rle(mask)
    assert all(type(byte) is int for byte in rle)
    assert rle == mask2rle(np.where(mask, np.uint8(255), np.uint8(0)))


@pytest.mark.parametrize("name", sorted(shapes()))
def test_every_decoder_gives_the_mask_back(name: str) -> None:
    mask = shapes()[name]
    rle, expected = encode_rle(mask), np.repeat(np.where(mask, 255, 0).reshape(-1), 4)
    np.testing.assert_array_equal(sdk_decode(rle), expected)
    np.testing.assert_array_equal(reference_decode(rle), expected)
    np.testing.assert_array_equal(decode_rle(rle, (mask.shape[1], mask.shape[0])), mask)


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
def test_any_mask_comes_back(mask: NDArray[np.bool_]) -> None:
    rle = encode_rle(mask)
    np.testing.assert_array_equal(sdk_decode(rle), np.repeat(np.where(mask, 255, 0).reshape(-1), 4))
    np.testing.assert_array_equal(decode_rle(rle, (mask.shape[1], mask.shape[0])), mask)


def test_a_speckled_4k_mask_comes_back() -> None:
    mask = np.random.default_rng(3).random((2160, 3840)) < 0.04
    np.testing.assert_array_equal(decode_rle(encode_rle(mask), (3840, 2160)), mask)


@pytest.mark.parametrize(
    "mask", [np.zeros((2, 2), dtype=np.uint8), np.zeros((0, 4), dtype=bool), np.zeros(4, dtype=bool)]
)
def test_only_masks_are_encoded(mask: NDArray[np.bool_]) -> None:
    with pytest.raises(ValueError, match=r"^mask: expected \(H, W\) bool with pixels, got "):
        encode_rle(mask)


def pack(total: int, records: list[tuple[bool, list[int]]], sizes: tuple[int, ...] = (3, 4, 8, 16)) -> list[int]:
    """Write records as the editor does: runs, and words as they are, which our encoder never needs."""
    bits = f"{total:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    for is_run, words in records:
        which = next(index for index, size in enumerate(sizes) if len(words) <= 1 << size)
        bits += f"{int(is_run)}{which:02b}{len(words) - 1:0{sizes[which]}b}"
        bits += "".join(f"{word:08b}" for word in (words[:1] if is_run else words))
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.tuples(*[st.integers(1, 16)] * 3),
    st.data(),
)
def test_what_the_editor_writes_is_read(width: int, height: int, sizes: tuple[int, ...], data: st.DataObject) -> None:
    """Coloured strokes with soft edges: runs and plain words in any mixture, cut anywhere, in any widths."""
    total = width * height * 4
    records: list[tuple[bool, list[int]]] = []
    flat: list[int] = []
    while len(flat) < total:
        count = data.draw(st.integers(1, min(total - len(flat), 40)))
        is_run = data.draw(st.booleans())
        words = (
            [data.draw(st.integers(0, 255))] * count
            if is_run
            else data.draw(st.lists(st.integers(0, 255), min_size=count, max_size=count))
        )
        records.append((is_run, words))
        flat += words
    code = pack(total, records, (*sizes, 16))
    np.testing.assert_array_equal(reference_decode(code), flat)
    alpha = np.asarray(flat).reshape(height, width, 4)[..., 3]
    np.testing.assert_array_equal(decode_alpha(code, (width, height)), alpha)
    np.testing.assert_array_equal(decode_rle(code, (width, height)), alpha >= 128)


def test_what_the_sdk_writes_is_read() -> None:
    image = np.random.default_rng(4).integers(0, 256, (9, 7, 4), dtype=np.uint8)
    np.testing.assert_array_equal(decode_rle(sdk_encode(image.reshape(-1)), (7, 9)), image[..., 3] >= 128)


GOOD = encode_rle(np.ones((6, 8), dtype=bool))
HOSTILE = {
    "empty": ([], "expected at least 7 bytes, got 0"),
    "header only": (GOOD[:7], "the code ends or overflows after 0 of 192 values"),
    "cut off": (encode_rle(np.random.default_rng(1).random((6, 8)) > 0.5)[:-8], "the code ends or overflows after"),
    "other size": (encode_rle(np.ones((6, 9), dtype=bool)), "expected 192 values for 8x6 pixels, got 216"),
    "huge": ([255, 255, 255, 255, *GOOD[4:]], "expected 192 values for 8x6 pixels, got 4294967295"),
    "other words": ([*GOOD[:4], 0xFF, *GOOD[5:]], "expected words of 8 bits, got 32"),
    "run over the end": (pack(192, [(True, [255] * 193)]), "the code ends or overflows after 0 of 192 values"),
    "not bytes": ([*GOOD[:-1], 256], "expected integers from 0 to 255"),
    "negative": ([*GOOD[:-1], -1], "expected integers from 0 to 255"),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_code_is_refused(name: str) -> None:
    code, message = HOSTILE[name]
    with pytest.raises(ValueError, match=f"^rle: {message}"):
        decode_rle(code, (8, 6))


@given(st.lists(st.integers(0, 255), max_size=60))
def test_any_bytes_are_a_mask_or_refused(code: list[int]) -> None:
    try:
        mask = decode_rle([*GOOD[:7], *code], (8, 6))
    except ValueError as error:
        assert str(error).startswith("rle: ")  # noqa: PT017 - both outcomes are right
    else:
        assert mask.shape == (6, 8)


@settings(max_examples=10)  # the SDK takes half a second for each
@given(objects())
def test_a_brush_with_any_colour_is_read_by_its_alpha(mask: Mask) -> None:
    rgba = np.random.default_rng(0).integers(0, 256, (*mask.shape, 4), dtype=np.uint8)
    rgba[..., 3] = mask * 255
    code = sdk_encode(rgba.reshape(-1))
    assert np.array_equal(decode_rle(code, (mask.shape[1], mask.shape[0])), mask)
