"""Where a registration begins: points that a person found in both pictures."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from core.errors import SettingsError
from core.text_file import read_text
from dataset.registration.transforms import Matrix

COLUMNS = ("rgb_x", "rgb_y", "thermal_x", "thermal_y")
FEWEST = 2


def start_of(path: Path) -> Matrix:
    """The similarity that fits the points of a CSV file best, by least squares.

    Raises:
        SettingsError: the file cannot be read, lacks a column, or has fewer than two different points.
    """
    lines = read_text(path, f"--points {path}").splitlines()
    try:
        rows = [[float(row[name]) for name in COLUMNS] for row in csv.DictReader(lines)]
    except (KeyError, TypeError, ValueError):
        raise SettingsError(f"--points {path}: expected the columns {','.join(COLUMNS)} with numbers") from None
    points = np.array(rows).reshape(-1, len(COLUMNS))
    rgb, thermal = points[:, 0] + 1j * points[:, 1], points[:, 2] + 1j * points[:, 3]
    if len(set(rgb.tolist())) < FEWEST or len(set(thermal.tolist())) < FEWEST:
        raise SettingsError(f"--points {path}: expected at least {FEWEST} different points")
    (turned, moved), *_ = np.linalg.lstsq(np.stack([rgb, np.ones_like(rgb)], 1), thermal, rcond=None)
    return np.array([[turned.real, -turned.imag, moved.real], [turned.imag, turned.real, moved.imag], [0, 0, 1]])
