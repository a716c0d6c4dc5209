"""Drawn pairs of a rig with two cameras: RGB scenes and their thermal twins of 16 bits, by a transform that is known.

    python -m demo.pairs --out DIR

writes ``DIR/rgb/flight-1/0001.png``, ``DIR/thermal/flight-1/0001.tiff`` and so on, and ``DIR/truth``: the masks of the
RGB pictures (``masks.jsonl``, which ``./inv import`` reads; as class maps in ``maps``, which ``./inv agreement`` reads)
and the transform (``transform.json``). The thermal picture of the last pair shows another place, as happens: its
registration must refuse it. Needs numpy and Pillow only; drawing is deterministic.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo import palette, textures
from demo.scenes import Scene, draw_scene

COUNT = 12
FLIGHT = 4  # pairs
SEED = 21
OBJECTS = 6
NOISE_KELVIN = 0.04
SENSOR = 100  # a step of the 16 bits is a hundredth of a kelvin
GROUND_KELVIN = 289.0
KELVIN = {
    "First-Responder": 305.5,
    "Civilian": 306.5,
    "Vegetation": 286.0,
    "Road": 294.0,
    "Dirt-Road": 292.5,
    "Building": 296.0,
    "Sky": 262.0,
    "Civilian-Car": 299.5,
    "Responder-Vehicle": 303.0,
    "Debris": 284.0,
    "Command-Post": 298.0,
}


@dataclass(frozen=True)
class Rig:
    """Two cameras.

    Attributes:
        rgb_wh, thermal_wh: sizes of their pictures in pixels.
        degrees, zoom, shift_xy: how the thermal picture lies on the RGB one that was brought to its width: turned and
            scaled at the middle, then moved by so many of its pixels.
    """

    rgb_wh: tuple[int, int] = (1280, 960)
    thermal_wh: tuple[int, int] = (640, 512)
    degrees: float = 1.6
    zoom: float = 1.05
    shift_xy: tuple[float, float] = (11.0, -8.0)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """From pixels of RGB to pixels of thermal pictures, ``(3, 3)``; the centre of a first pixel is (0, 0)."""
        scale = self.zoom * self.thermal_wh[0] / self.rgb_wh[0]
        a, b = scale * np.cos(np.deg2rad(self.degrees)), scale * np.sin(np.deg2rad(self.degrees))
        x, y = ((side - 1) / 2 for side in self.rgb_wh)
        to_x, to_y = ((side - 1) / 2 + moved for side, moved in zip(self.thermal_wh, self.shift_xy, strict=True))
        return np.array([[a, -b, to_x - a * x + b * y], [b, a, to_y - b * x - a * y], [0, 0, 1]])


@dataclass(frozen=True)
class Pair:
    """One pair: RGB ``(H, W, 3)`` uint8 with its objects, and the thermal picture ``(h, w)`` uint16."""

    name: str
    scene: Scene
    thermal: NDArray[np.uint16]


def draw_pairs(rig: Rig, count: int = COUNT, seed: int = SEED) -> Iterator[Pair]:
    """The pairs; the thermal picture of the last one is of another scene.

    Args:
        count: 2 to 99.

    Raises:
        ValueError: ``count`` is not.
    """
    if not 2 <= count <= 99:
        raise ValueError(f"count must be within 2 to 99, got {count}")
    for index in range(count):
        scene = _scene(seed, index, rig)
        seen = scene if index < count - 1 else _scene(seed, count, rig)
        random = np.random.default_rng((seed, index, 1))
        yield Pair(pair_name(index), scene, thermal_of(random, temperatures(random, seen), rig))


def pair_name(index: int) -> str:
    """What a pair is called: ``flight-1/0001``."""
    return f"flight-{index // FLIGHT + 1}/{index + 1:04d}"


def temperatures(random: np.random.Generator, scene: Scene) -> NDArray[np.float32]:
    """What a scene's surfaces have, in kelvin, ``(H, W)``: the edges of the things in it, and other contrasts."""
    size_wh = (scene.image.shape[1], scene.image.shape[0])
    ground = GROUND_KELVIN + 1.2 * textures.gradient(size_wh, random.uniform(0, 2 * np.pi))
    found = ground + 0.5 * textures.clouds(random, size_wh, cells=20)
    for item in scene.objects:
        inside = 0.6 * textures.gradient(size_wh, random.uniform(0, 2 * np.pi))
        found = np.where(item.mask, KELVIN[item.label] + random.normal(0, 0.8) + inside, found)
    return np.asarray(found, dtype=np.float32)


def thermal_of(random: np.random.Generator, kelvin: NDArray[np.float32], rig: Rig) -> NDArray[np.uint16]:
    """The picture of the thermal camera: each pixel the mean of what it sees, linear between those, with noise."""
    step = max(1, kelvin.shape[1] // rig.thermal_wh[0])
    small = np.asarray(Image.fromarray(kelvin).reduce(step), dtype=np.float64)
    x, y = np.meshgrid(np.arange(rig.thermal_wh[0]), np.arange(rig.thermal_wh[1]))
    places = np.linalg.inv(rig.matrix) @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    seen = _sampled(small, (places[:2] - (step - 1) / 2) / step).reshape(x.shape)
    counts = (seen + random.normal(0, NOISE_KELVIN, seen.shape)) * SENSOR
    return np.rint(counts).astype(np.uint16)


def write_pairs(folder: Path, count: int = COUNT, seed: int = SEED, rig: Rig | None = None) -> list[Path]:
    """Write all files into a folder; returns the pictures.

    Raises:
        ValueError: as ``draw_pairs``.
        FileExistsError: the folder holds something already.
    """
    rig = rig or Rig()
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds something already")
    written: list[Path] = []
    rows: list[str] = []
    for pair in draw_pairs(rig, count, seed):
        for side, suffix, pixels in (("rgb", "png", pair.scene.image), ("thermal", "tiff", pair.thermal)):
            path = folder / side / f"{pair.name}.{suffix}"
            _write(path, pixels, "PNG" if suffix == "png" else "TIFF")
            written.append(path)
        _write(folder / "truth" / "maps" / "rgb" / f"{pair.name}.png", class_map(pair.scene), "PNG")
        rows.append(json.dumps(truth_row(pair)))
    truth = {
        "matrix": rig.matrix.tolist(),
        "rgb": list(rig.rgb_wh),
        "thermal": list(rig.thermal_wh),
        "wrong": [pair_name(count - 1)],
    }
    names = {str(number): label for number, label in enumerate(palette.LABELS, 1)}
    (folder / "truth" / "maps" / "classes.json").write_text(json.dumps(names, indent=1) + "\n", encoding="utf-8")
    (folder / "truth" / "masks.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "truth" / "transform.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    return written


def class_map(scene: Scene) -> NDArray[np.uint8]:
    """The class of each pixel, ``(H, W)``: the number of its label in ``palette.LABELS``, from 1; 0 on the ground."""
    found = np.zeros(scene.image.shape[:2], dtype=np.uint8)
    for item in scene.objects:
        found[item.mask] = palette.LABELS.index(item.label) + 1
    return found


def truth_row(pair: Pair) -> dict[str, Any]:
    """The masks of an RGB picture as a line of ``./inv export --format rle-json``."""
    height, width = pair.scene.image.shape[:2]
    regions = [
        {"id": f"truth-{number}", "kind": "brush", "labels": [item.label], "rle": _runs(item.mask)}
        for number, item in enumerate(pair.scene.objects, 1)
        if item.mask.any()
    ]
    file_name = f"rgb/{pair.name}.png"
    return {"file_name": file_name, "width": width, "height": height, "to_name": "image", "regions": regions}


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the pairs into a folder; the pictures' paths go to stdout."""
    parser = argparse.ArgumentParser(prog="python -m demo.pairs", description="Draw pairs with a known transform.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write rgb/, thermal/ and truth/ into")
    parser.add_argument("--count", type=int, default=COUNT)
    options = parser.parse_args(argv)
    for path in write_pairs(options.out, options.count):
        sys.stdout.write(f"{path}\n")
    return 0


def _scene(seed: int, index: int, rig: Rig) -> Scene:
    return draw_scene(np.random.default_rng((seed, index)), rig.rgb_wh, "sar", count=OBJECTS)


def _sampled(values: NDArray[np.float64], xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear between pixels; beyond the border the value of the nearest one."""
    height, width = values.shape
    x, y = np.clip(xy[0], 0, width - 1), np.clip(xy[1], 0, height - 1)
    left, top = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    right, below = x - left, y - top
    upper = values[top, left] * (1 - right) + values[top, left + 1] * right
    lower = values[top + 1, left] * (1 - right) + values[top + 1, left + 1] * right
    return np.asarray(upper * (1 - below) + lower * below)


def _write(path: Path, pixels: NDArray[Any], kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format=kind)


def _runs(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's run lengths: column by column, 0 and 1 in turn, beginning with 0."""
    flat = mask.reshape(-1, order="F")
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(ends, prepend=0, append=flat.size).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


if __name__ == "__main__":
    sys.exit(main())
