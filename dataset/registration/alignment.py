"""`alignment.yaml`: the transform of a rig as it is kept, committed and read by what carries masks over."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import yaml

from dataset.registration.pictures import PicturePair
from dataset.registration.register import Registration
from dataset.registration.transforms import Matrix

FORMAT = 1
DECIMALS = 9
HEAD = """\
# Where the pixels of an RGB picture lie on its thermal twin: the matrix times (x, y, 1), divided by the last number.
# The centre of a picture's first pixel is (0, 0). Made by `./inv pairs.register`; commit it beside the configuration.
"""


def alignment_text(found: Registration, pairs: Sequence[PicturePair], when: datetime) -> str:
    """The file of a registration that was accepted.

    Raises:
        ValueError: it was refused.
    """
    if found.matrix is None:
        raise ValueError("a registration without an accepted pair has no file")
    content: dict[str, Any] = {
        "format": FORMAT,
        "model": found.model,
        "matrix": rows_of(found.matrix),
        "rgb": {"width": found.rgb_wh[0], "height": found.rgb_wh[1]},
        "thermal": {"width": found.thermal_wh[0], "height": found.thermal_wh[1]},
        "score": round(found.score, 4),
        "residual_px": None if found.residual_px is None else round(found.residual_px, 3),
        "made": when.isoformat(timespec="seconds"),
        "inputs": {"pairs": len(pairs), "sha256": digest_of(pairs)},
        "own": {one.name: rows_of(one.own) for one in found.pairs if one.own is not None},
        "refused": [one.name for one in found.pairs if not one.accepted],
    }
    return HEAD + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def rows_of(matrix: Matrix) -> list[list[float]]:
    """A matrix as lists, rounded to what a picture's pixels can tell."""
    return [[round(float(value), DECIMALS) for value in row] for row in matrix]


def digest_of(pairs: Sequence[PicturePair]) -> str:
    """SHA-256 over the names and contents of all pictures: other inputs have another one."""
    whole = hashlib.sha256()
    for pair in pairs:
        whole.update(pair.name.encode("utf-8", "surrogateescape"))
        for path in (pair.rgb, pair.thermal):
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()
