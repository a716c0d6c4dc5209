"""Camera calibrations as ROS' camera_calibration writes them: `ost.txt` ("oST" files) and `ost.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import SettingsError
from core.strict_yaml import parse_yaml
from core.text_file import read_text
from dataset.registration.transforms import Matrix, Size, scaling

SECTION = re.compile(r"^\[.*\]$")
NAMES = ("camera matrix", "rectification")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True)
class Camera:
    """One camera, without its distortion.

    Attributes:
        size_wh: of the pictures that it was calibrated with.
        matrix: ``(3, 3)``, focal lengths and the middle in pixels of those.
        rectification: ``(3, 3)`` rotation from the camera to the stereo rig's common frame; identity of a single one.
    """

    size_wh: Size
    matrix: Matrix
    rectification: Matrix

    def in_size(self, size_wh: Size) -> Matrix:
        """The camera matrix of pictures of another size of the same view."""
        return np.asarray(scaling(self.size_wh, size_wh) @ self.matrix)


def start_of_cameras(rgb: Camera, thermal: Camera, rgb_wh: Size, thermal_wh: Size) -> Matrix:
    """RGB pixels to thermal pixels of what is far away: both cameras look in one direction but for their rectification.

    Args:
        rgb_wh, thermal_wh: of the pictures, which may be smaller than those of the calibration.
    """
    turn = thermal.rectification.T @ rgb.rectification
    found = thermal.in_size(thermal_wh) @ turn @ np.linalg.inv(rgb.in_size(rgb_wh))
    return np.asarray(found / found[2, 2])


def read_camera(option: str, path: Path) -> Camera:
    """Read a calibration.

    Raises:
        SettingsError: the file cannot be read, or lacks a size or a camera matrix; `option` named it.
    """
    text = read_text(path, f"{option} {path}")
    values = _of_yaml(text, path) if path.suffix.lower() in (".yaml", ".yml") else _of_ost(text)
    sides = [values.get(name, [0.0])[0] for name in ("width", "height")]
    matrix = _square(values.get("camera matrix", []))
    if matrix is None or matrix[0, 0] <= 0 or matrix[1, 1] <= 0 or matrix[2].tolist() != [0, 0, 1]:
        raise SettingsError(f"{option} {path}: expected a `camera matrix` of 3x3 numbers, as ROS' ost.txt has it")
    if min(sides) < 1:
        raise SettingsError(f"{option} {path}: expected the width and height of the pictures, as ROS' ost.txt has them")
    rectification = _square(values.get("rectification", []))
    turn = np.eye(3) if rectification is None or not rectification.any() else rectification
    return Camera((int(sides[0]), int(sides[1])), matrix, turn)


def _of_ost(text: str) -> dict[str, list[float]]:
    """The numbers below each name; sections and comments say nothing that we need."""
    found: dict[str, list[float]] = {}
    name = ""
    for line in map(str.strip, text.splitlines()):
        words = line.split()
        if not words or line.startswith("#") or SECTION.match(line):
            continue
        if all(map(NUMBER.fullmatch, words)):
            found.setdefault(name, []).extend(map(float, words))
        else:
            name = line.lower()
    return found


def _of_yaml(text: str, path: Path) -> dict[str, list[float]]:
    content = parse_yaml(text, str(path))
    keys = {"width": "image_width", "height": "image_height"}
    keys |= {name: f"{name.replace(' ', '_')}{'_matrix' if name == 'rectification' else ''}" for name in NAMES}
    found: dict[str, list[float]] = {}
    for name, key in keys.items():
        value = content.get(key) if isinstance(content, Mapping) else None
        numbers = value.get("data") if isinstance(value, Mapping) else [value]
        if isinstance(numbers, list) and all(isinstance(one, int | float) for one in numbers):
            found[name] = [float(one) for one in numbers]
    return found


def _square(numbers: list[float]) -> Matrix | None:
    found = np.array(numbers)
    return found.reshape(3, 3) if found.size == 9 and np.isfinite(found).all() else None
