"""Label Studio's run-length code of brush masks, vectorised.

The format is `rle-pack` (https://github.com/thi-ng/umbrella, packages/rle-pack, which the editor uses) over the bytes
of the RGBA image, as bits from the highest down: the number of bytes (32 bits), word size - 1 (5 bits), four run size
widths - 1 (4 bits each), then records. A record is 1 bit (a run, or words as they are), 2 bits (which width), the
length - 1 in that width, and one word or as many as the length says.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CHANNELS = 4
WORD_BITS = 8
WIDTHS = (3, 4, 8, 16)  # what the editor and the SDK write
LONGEST = 1 << WIDTHS[-1]
ALPHA_THRESHOLD = 128  # a brush has soft edges: half covered is covered
HEADER_BITS = 32 + 5 + 4 * 4


def encode_rle(mask: NDArray[np.bool_]) -> list[int]:
    """Encode a mask as the RGBA image in which all four channels are 0 or 255.

    The editor takes the alpha as it is, so a mask of 0 and 1 would be invisible. The same integers as
    `label_studio_sdk.converter.brush.mask2rle` gives, which needs seconds for a speckled mask.

    Args:
        mask: ``(H, W)`` bool.

    Returns:
        Bytes as integers.

    Raises:
        ValueError: the mask is not ``(H, W)`` bool with at least one pixel.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_ or mask.size == 0:
        raise ValueError(f"mask: expected (H, W) bool with pixels, got {mask.shape} {mask.dtype}")
    flat = np.ascontiguousarray(mask).reshape(-1)
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    # Equal channels make runs of whole pixels: a run is never shorter than 4 bytes, and no record holds plain words.
    lengths = np.diff(starts, append=flat.size) * CHANNELS
    values = np.where(flat[starts], np.int64(255), np.int64(0))
    width_index = np.searchsorted(1 << np.asarray(WIDTHS[:-1]), lengths)
    if lengths.max() > LONGEST:
        pieces = (lengths + LONGEST - 1) // LONGEST
        last = np.cumsum(pieces) - 1
        rest = lengths - (pieces - 1) * LONGEST
        values, width_index = np.repeat(values, pieces), np.repeat(width_index, pieces)
        lengths = np.full(len(values), LONGEST)
        lengths[last] = rest
    widths = np.asarray(WIDTHS)[width_index]
    records = (((4 | width_index) << widths) | (lengths - 1)) << WORD_BITS | values
    header = 0
    for number, size in ((WORD_BITS - 1, 5), *((width - 1, 4) for width in WIDTHS)):
        header = header << size | number
    codes = np.concatenate([[flat.size * CHANNELS, header], records]).astype(np.uint64)
    bits = np.concatenate([[32, HEADER_BITS - 32], widths + (3 + WORD_BITS)])
    return _pack(codes, bits)


def _pack(codes: NDArray[np.uint64], bits: NDArray[np.int64]) -> list[int]:
    """Write codes of at most 32 bits one after the other. At least one bit of padding, as the SDK has it."""
    ends = np.cumsum(bits)
    starts = ends - bits
    word = starts >> 5
    shifted = codes << (64 - bits - (starts & 31)).astype(np.uint64)
    words = int(ends[-1] >> 5) + 2
    # Codes do not overlap, so adding is or-ing; below 2**53 a float is exact.
    high = np.bincount(word, weights=shifted >> np.uint64(32), minlength=words)
    low = np.bincount(word + 1, weights=shifted & np.uint64(0xFFFFFFFF), minlength=words)
    packed = (high + low).astype(np.uint64).astype(">u4").view(np.uint8)
    encoded: list[int] = packed[: int(ends[-1]) // 8 + 1].tolist()
    return encoded


def decode_rle(rle: Sequence[int], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode a brush region: where its alpha is at least half.

    Args:
        rle: bytes as integers, from any source.
        size_wh: width and height in pixels of the region's image.

    Returns:
        ``(H, W)`` bool.

    Raises:
        ValueError: the code is cut off, is of another image size, or is not such a code.
    """
    return decode_alpha(rle, size_wh) >= ALPHA_THRESHOLD


def decode_alpha(rle: Sequence[int], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode the alpha of a brush region, ``(H, W)`` uint8; see `decode_rle`.

    The work is bounded by the length of the code and by the size of the image.
    """
    try:
        code = bytes(rle)
    except (TypeError, ValueError):
        raise ValueError("rle: expected integers from 0 to 255") from None
    if len(code) * 8 < HEADER_BITS:
        raise ValueError(f"rle: expected at least 7 bytes, got {len(code)}")
    total = size_wh[0] * size_wh[1] * CHANNELS
    header = int.from_bytes(code[:7], "big") >> (7 * 8 - HEADER_BITS)
    seen, word_bits = header >> 21, (header >> 16 & 31) + 1
    if seen != total:
        raise ValueError(f"rle: expected {total} values for {size_wh[0]}x{size_wh[1]} pixels, got {seen}")
    if word_bits != WORD_BITS:
        raise ValueError(f"rle: expected words of {WORD_BITS} bits, got {word_bits}")
    widths = tuple((header >> shift & 15) + 1 for shift in (12, 8, 4, 0))
    return _decode_records(code, widths, total // CHANNELS).reshape(size_wh[1], size_wh[0])


def _decode_records(code: bytes, widths: tuple[int, ...], pixels: int) -> NDArray[np.uint8]:
    """Only the alpha of each pixel is read: of bytes i to j, that of the pixels i // 4 to j // 4."""
    out = np.zeros(pixels, dtype=np.uint8)
    padded = code + bytes(5)
    raw = np.frombuffer(padded, dtype=np.uint8)
    total, available = pixels * CHANNELS, len(code) * 8
    position, i = HEADER_BITS, 0
    while i < total:
        # A record's head and first word take 3 + 16 + 8 bits at most: with the offset they fit in 5 bytes.
        byte = position >> 3
        window = int.from_bytes(padded[byte : byte + 5], "big") << (position & 7) & 0xFFFFFFFFFF
        width = widths[window >> 37 & 3]
        j = i + 1 + (window >> (37 - width) & ((1 << width) - 1))
        is_run = window >> 39
        position += 3 + width
        start = position
        position += WORD_BITS if is_run else WORD_BITS * (j - i)
        if position > available or j > total:
            raise ValueError(f"rle: the code ends or overflows after {i} of {total} values")
        first, last = i >> 2, j >> 2
        if first < last:
            if is_run:
                out[first:last] = window >> (29 - width) & 255
            else:
                out[first:last] = _words(raw, start + WORD_BITS * (first * CHANNELS + 3 - i), last - first)
        i = j
    return out


def _words(raw: NDArray[np.uint8], position: int, count: int) -> NDArray[np.uint16]:
    """Every fourth word from this bit on; the words may lie across bytes."""
    byte, shift = position >> 3, position & 7
    stop = byte + (count - 1) * CHANNELS + 1
    high = raw[byte:stop:CHANNELS].astype(np.uint16) << 8
    return np.asarray(((high | raw[byte + 1 : stop + 1 : CHANNELS]) >> (8 - shift)) & 255, dtype=np.uint16)
