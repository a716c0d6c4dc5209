"""What reading a picture, or making one for browsers, takes is no more than what is counted, for every format."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[3]
SIZE_WH = (5000, 4000)
MEASURED = """
import sys
from pathlib import Path
from PIL import Image
from backend.images import images
from backend.images.decoding import bytes_needed
from backend.images.png import png_of
from backend.sources.source_file import SourceFile

def memory(what):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(what))

path = Path(sys.argv[1])
with Image.open(path) as image:
    needed = bytes_needed(image, path.stat().st_size)
images.read(SourceFile(Path(sys.argv[2]), "small", "1"), 10**8)  # whatever is imported for the first picture
resting = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
with images.decoded(SourceFile(path, "large", "1"), 10**8) as picture:
    for piece in png_of(picture):  # band by band, as the model's input is made
        pass
print(needed, memory("VmHWM") - resting)
"""


def drawn(mode: str) -> Image.Image:
    """Shades with some noise in a corner: files of a usual size."""
    width, height = SIZE_WH
    rows: NDArray[Any] = np.arange(height)[:, None] // 16 + np.arange(width)[None] // 20
    rows[:500, :500] += np.random.default_rng(1).integers(0, 60, (500, 500))
    if mode in ("I;16", "F"):
        return Image.fromarray((rows * 7).astype(np.uint16 if mode == "I;16" else np.float32))
    return Image.fromarray((rows % 256).astype(np.uint8)).convert(mode)


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("a.png", "RGB", {"compress_level": 1}),
        ("a.png", "RGBA", {"compress_level": 1}),
        ("a.png", "P", {"compress_level": 1}),
        ("a.png", "I;16", {"compress_level": 1}),
        ("a.jpg", "RGB", {}),
        ("a.jpg", "L", {}),
        ("a.jpg", "RGB", {"progressive": True}),
        ("a.webp", "RGB", {"method": 0}),
        ("a.webp", "RGBA", {"method": 0}),
        ("a.avif", "RGB", {"speed": 10}),
        ("a.tif", "RGB", {}),
        ("a.tif", "RGB", {"compression": "tiff_lzw"}),
        ("a.tif", "RGB", {"compression": "tiff_lzw", "tiffinfo": {278: SIZE_WH[1]}}),
        ("a.tif", "RGB", {"compression": "tiff_lzw", "tiffinfo": {274: 6}}),
        ("a.tif", "F", {}),
        ("a.bmp", "RGB", {}),
        ("a.gif", "P", {}),
        ("a.jp2", "RGB", {}),
        ("a.ppm", "RGB", {}),
    ],
)
def test_no_more_than_what_is_counted(tmp_path: Path, name: str, mode: str, options: dict[str, Any]) -> None:
    drawn(mode).save(tmp_path / name, **options)
    drawn(mode).resize((64, 48)).save(tmp_path / f"small{Path(name).suffix}")
    done = subprocess.run(
        (sys.executable, "-c", MEASURED, str(tmp_path / name), str(tmp_path / f"small{Path(name).suffix}")),
        cwd=REPOSITORY, timeout=120, check=True, capture_output=True, text=True,
    )  # fmt: skip
    needed, taken = map(int, done.stdout.split())
    assert taken <= needed, f"{taken >> 20} MB taken, {needed >> 20} MB counted"
    assert needed < 3 * taken + (64 << 20), f"{taken >> 20} MB taken, {needed >> 20} MB counted: far too many"
