"""`alignment.yaml`: the transform of a rig as it is kept, committed and read by what carries masks over."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from core.errors import SettingsError
from core.strict_yaml import parse_yaml
from core.text import some
from core.text_file import read_text
from dataset.export.image_name import file_name_of
from dataset.registration.pair_names import PairNames
from dataset.registration.pictures import PicturePair, digest_of, digests_of
from dataset.registration.register import Registration
from dataset.registration.transforms import Matrix, Size

FORMAT = 1
DECIMALS = 9
HEAD = """\
# Where the pixels of an RGB picture lie on its thermal twin: the matrix times (x, y, 1), divided by the last number.
# The centre of a picture's first pixel is (0, 0). Made by `./inv pairs.register`; commit it beside the configuration.
"""


class NotAligned(Exception):
    """A picture has no transform; the text says why, in words that follow the picture's name."""


class Refused(NotAligned):
    """The registration refused the picture's pair."""


@dataclass(frozen=True)
class Alignment:
    """The transforms of a rig, from pixels of one picture to pixels of the other.

    Attributes:
        matrix: for every pair that has none of its own.
        source_wh, target_wh: width and height of the pictures on both sides.
        own: by the name of the pair.
        refused: the names of pairs that do not follow the rig.
        sha256: of the file.
        digests: by the names of both, SHA-256 of the pair's pictures in hex; a pair without any is known by name alone.
        namesakes: the pictures that `of` found to be called as such a pair and to be none of its pictures.
    """

    matrix: Matrix
    source_wh: Size
    target_wh: Size
    own: Mapping[str, Matrix]
    refused: frozenset[str]
    sha256: str
    digests: Mapping[str, frozenset[str]] = field(default_factory=dict)
    namesakes: set[str] = field(default_factory=set, compare=False)

    @cached_property
    def _names(self) -> PairNames:
        return PairNames([*self.own, *self.refused])

    def backwards(self) -> Alignment:
        """From the other picture to the first."""
        own = {name: _inverse(matrix) for name, matrix in self.own.items()}
        return replace(self, matrix=_inverse(self.matrix), source_wh=self.target_wh, target_wh=self.source_wh, own=own)

    def of(self, image: str, digest: Callable[[], str] | None = None) -> Matrix:
        """The transform of a picture: its pair's own, else the rig's.

        Another flight has frames of the same names: what a picture holds tells whether it is of the pair.

        Args:
            image: its path or URL, see `PairNames`.
            digest: SHA-256 of the picture or of its twin, in hex, where one of them is at hand; called where it counts.

        Raises:
            Refused: its pair was refused.
            NotAligned: the name fits several pairs that are not treated alike, or one of them without its folders, and
                no picture is at hand.
        """
        names = self._names.fitting(image)
        if any(name in self.digests for name in names):
            names = self._by_whole_name(image, names) if digest is None else self._by_digest(names, digest())
            if not names:
                self.namesakes.add(file_name_of(image))
        if len(names) > 1:
            raise NotAligned(f"may be of the pairs {some(sorted(names))}: its path does not tell which")
        if any(name in self.refused for name in names):
            raise Refused("the registration refused its pair")
        return self.own[names[0]] if names else self.matrix

    def notes(self) -> list[str]:
        """What people must know of the pictures that were asked for."""
        if not self.namesakes:
            return []
        return [
            f"{len(self.namesakes)} pictures are called as pairs that do not follow the rig, and are others: the rig's "
            f"transform counts for them ({some(sorted(self.namesakes))})"
        ]

    def _by_digest(self, names: Sequence[str], digest: str) -> list[str]:
        same = [name for name in names if digest in self.digests.get(name, ())]
        return same or [name for name in names if name not in self.digests]

    def _by_whole_name(self, image: str, names: Sequence[str]) -> list[str]:
        if self._names.is_whole(image):
            return list(names)
        raise NotAligned(
            f"is called as the pair {some(sorted(names))}, which does not follow the rig, and may be one of another "
            "flight: its twin (--twins) tells"
        )


def _inverse(matrix: Matrix) -> Matrix:
    found = np.linalg.inv(matrix)
    return np.asarray(found / found[2, 2])


def read_alignment(path: Path) -> Alignment:
    """Read what `alignment_text` wrote.

    Raises:
        SettingsError: the file cannot be read, or does not hold usable transforms; says where.
    """
    text = read_text(path, f"--alignment {path}")
    content = parse_yaml(text, str(path))
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        raise SettingsError(f"{path}: is not an alignment of format {FORMAT}; `./inv pairs.register` writes one")
    rgb_wh, thermal_wh = (_size(path, side, content.get(side)) for side in ("rgb", "thermal"))
    own, refused = content.get("own") or {}, content.get("refused") or []
    if not isinstance(own, Mapping) or not isinstance(refused, list):
        raise SettingsError(f"{path}: own must be matrices by name, and refused a list of names")
    digests = content.get("pictures") or {}
    if not isinstance(digests, Mapping) or not all(isinstance(one, Mapping) for one in digests.values()):
        raise SettingsError(f"{path}: pictures must be SHA-256 of rgb and thermal by name")
    return Alignment(
        matrix=_matrix(path, "matrix", content.get("matrix"), rgb_wh),
        source_wh=rgb_wh,
        target_wh=thermal_wh,
        own={str(name): _matrix(path, f"own.{name}", rows, rgb_wh) for name, rows in own.items()},
        refused=frozenset(map(str, refused)),
        sha256=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        digests={str(name): frozenset(map(str, one.values())) for name, one in digests.items()},
    )


def _size(path: Path, key: str, given: object) -> Size:
    sides = [given.get(name) for name in ("width", "height")] if isinstance(given, Mapping) else []
    width, height = (one if isinstance(one, int) and one > 0 else 0 for one in (*sides, 0, 0)[:2])
    if not width or not height:
        raise SettingsError(f"{path}: {key} must be the width and height of the pictures in pixels")
    return width, height


def _matrix(path: Path, key: str, given: object, size_wh: Size) -> Matrix:
    """A matrix that takes each corner of a picture somewhere."""
    try:
        found = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.shape != (3, 3) or not np.isfinite(found).all():
        raise SettingsError(f"{path}: {key} must be three rows of three numbers")
    right, bottom = size_wh[0] - 1, size_wh[1] - 1
    corners = found @ np.array([[0, right, right, 0], [0, 0, bottom, bottom], [1, 1, 1, 1]])
    if abs(float(np.linalg.det(found))) < 1e-12 or not (corners[2] > 0).all():
        raise SettingsError(f"{path}: {key} does not take a picture of {size_wh[0]}x{size_wh[1]} pixels to another")
    return found


def alignment_text(found: Registration, pairs: Sequence[PicturePair], when: datetime) -> str:
    """The file of a registration that was accepted.

    Raises:
        ValueError: it was refused.
    """
    if found.matrix is None:
        raise ValueError("a registration without an accepted pair has no file")
    apart = {one.name for one in found.pairs if one.own is not None or not one.accepted}
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
        "pictures": {one.name: digests for one in pairs if one.name in apart and (digests := digests_of(one))},
    }
    return HEAD + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def rows_of(matrix: Matrix) -> list[list[float]]:
    """A matrix as lists, rounded to what a picture's pixels can tell."""
    return [[round(float(value), DECIMALS) for value in row] for row in matrix]
