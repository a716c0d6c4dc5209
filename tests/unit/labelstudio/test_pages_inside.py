"""The program that finds files of several pages, run by a Python that has nothing of ours."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from PIL import Image

from core.report import Report
from hosts.base import Result, check_exit_code
from labelstudio.filling import mention_pages


def bare(
    *argv: str,
    ok: Collection[int] = (0,),
    timeout: float = 60.0,
    stdin: bytes | None = None,
    on_line: Callable[[str], None] | None = None,
    tail: int | None = None,
) -> Result:
    """Runs a program from standard input, with the standard library alone."""
    command = (sys.executable, "-I", "-S", "-")
    done = subprocess.run(command, input=stdin, capture_output=True, cwd="/", timeout=100, check=False)
    return check_exit_code("bare", Result(argv, done.returncode, done.stdout.decode(), done.stderr.decode()), ok)


def test_files_of_several_pages_are_found_and_named(tmp_path: Path) -> None:
    frames = [Image.new("I;16", (8, 6), value) for value in range(12)]
    frames[0].save(tmp_path / "film ñ.TIF", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "one.tif")
    (tmp_path / "broken.tiff").write_bytes(b"II*\x00\xff")
    report = Report(io.StringIO())
    names = ("film ñ.TIF", "one.tif", "broken.tiff", "gone.tif", "a.png")
    mention_pages(bare, [str(tmp_path / name) for name in names], report)
    assert report.notices == [
        "1 files have several pages, of which people and SAM2 see the first (film ñ.TIF: 12 pages): where pages are "
        "moments or bands, split them into files"
    ]
