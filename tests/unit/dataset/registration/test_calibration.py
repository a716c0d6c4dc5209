"""Calibrations of ROS say where a registration begins; a file that is none is one error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import SettingsError
from dataset.registration.calibration import Camera, read_camera, start_of_cameras

OST = """# oST version 5.0 parameters


[image]

width
704

height
576

[narrow_stereo]

camera matrix
800.5 0.000000 352.000000
0.000000 810.250000 288.500000
0.000000 0.000000 1.000000

distortion
-0.381 0.1 1e-05 0.0 0.000000

rectification
1.000000 0.000000 0.000000
0.000000 1.000000 0.000000
0.000000 0.000000 1.000000

projection
700.0 0.000000 350.0 0.000000
0.000000 750.0 288.0 0.000000
0.000000 0.000000 1.000000 0.000000
"""
OST_YAML = """image_width: 704
image_height: 576
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [800.5, 0. , 352., 0., 810.25, 288.5, 0., 0., 1.]
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.381, 0.1, 0.00001, 0., 0.]}
rectification_matrix: {rows: 3, cols: 3, data: [1., 0., 0., 0., 1., 0., 0., 0., 1.]}
"""


@pytest.mark.parametrize(
    ("name", "text"), [("ost_rgb.txt", OST), ("ost.yaml", OST_YAML), ("dos.txt", OST.replace("\n", "\r\n"))]
)
def test_both_forms_are_one_camera(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, newline="")
    camera = read_camera("--rgb-camera", tmp_path / name)
    assert camera.size_wh == (704, 576)
    assert camera.matrix.tolist() == [[800.5, 0, 352], [0, 810.25, 288.5], [0, 0, 1]]
    assert camera.rectification.tolist() == np.eye(3).tolist()


def test_a_far_point_is_where_both_cameras_see_it() -> None:
    """A ray goes through both cameras, turned as a stereo calibration says, in pictures of half the size."""
    angle = np.deg2rad(3)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    rgb = Camera((1280, 960), np.array([[1000.0, 0, 640], [0, 1000, 480], [0, 0, 1]]), np.eye(3))
    thermal = Camera((640, 480), np.array([[700.0, 0, 320], [0, 710, 240], [0, 0, 1]]), turn)
    ray = np.array([0.1, -0.05, 1])
    seen = thermal.matrix @ turn.T @ ray
    whole = rgb.matrix @ ray
    x, y = (whole[:2] / whole[2] + 0.5) / 2 - 0.5  # of a picture of half the size; pixels count from their centre
    found = start_of_cameras(rgb, thermal, (640, 480), (640, 480)) @ [x, y, 1]
    assert found[:2] / found[2] == pytest.approx(seen[:2] / seen[2])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected a `camera matrix` of 3x3 numbers"),
        ("camera matrix\n1 0 0\n0 1 0\n", "expected a `camera matrix` of 3x3 numbers"),
        ("camera matrix\n0 0 0\n0 0 0\n0 0 1\n", "expected a `camera matrix` of 3x3 numbers"),
        ("camera matrix\n9 0 3\n0 9 3\n0 0 1\n", "expected the width and height of the pictures"),
    ],
)
def test_another_file_is_one_error(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "ost.txt"
    path.write_text(text)
    with pytest.raises(SettingsError, match=f"--rgb-camera {path}: {problem}"):
        read_camera("--rgb-camera", path)
