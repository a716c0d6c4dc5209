"""The size of an image without regions is the one that the backend and the browser see."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from backend.images import images
from dataset.export.sizes import BEGINNING, size_of
from tests.unit.backend.image_files import LIMIT, file_of
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import FUSED, url

STORED, TURNED = (30, 12), (12, 30)
XMP = '<rdf:Description tiff:Orientation="6"/>'


def saved(form: str, **options: Any) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", STORED).save(content, form, **options)
    return content.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags


def png_text(key: str, text: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt(key, text)
    return info


def raw_profile() -> str:
    data = exif(6).tobytes()
    return f"\nexif\n{len(data):8}\n{data.hex()}\n"


FILES: dict[str, tuple[Callable[[], bytes], tuple[int, int]]] = {
    "a.jpg": (lambda: saved("JPEG", exif=exif(6)), TURNED),
    "half turn.jpg": (lambda: saved("JPEG", exif=exif(3)), STORED),
    "xmp.jpg": (lambda: saved("JPEG", xmp=XMP.encode()), STORED),
    "damaged.jpg": (lambda: saved("JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"), STORED),
    "a.png": (lambda: saved("PNG", exif=exif(8)), TURNED),
    "xmp.png": (lambda: saved("PNG", pnginfo=png_text("XML:com.adobe.xmp", XMP)), STORED),
    "profile.png": (lambda: saved("PNG", pnginfo=png_text("Raw profile type exif", raw_profile())), STORED),
    "a.webp": (lambda: saved("WEBP", exif=exif(5)), TURNED),
    "xmp.webp": (lambda: saved("WEBP", xmp=XMP.encode()), STORED),
    "a.tif": (lambda: saved("TIFF", exif=exif(6)), TURNED),
    "upright.tif": (lambda: saved("TIFF"), STORED),
    "xmp.tif": (lambda: saved("TIFF", tiffinfo={700: XMP.encode()}), STORED),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged EXIF
@pytest.mark.parametrize("name", FILES)
def test_size_without_regions_is_the_backends(exports: ExportBench, tmp_path: Path, name: str) -> None:
    make, size_wh = FILES[name]
    content = make()
    project = exports.server.project(FUSED)
    exports.server.annotate(exports.server.task(project, image=url(name.replace(" ", "%20"))), [])
    exports.server.images[name] = content
    exports.export(project, "coco")
    (image,) = exports.json("out/annotations.json")["images"]
    (tmp_path / name).write_bytes(content)
    assert (image["width"], image["height"]) == size_wh == images.size_of(file_of(tmp_path / name), LIMIT)


def test_size_of_an_image_that_its_task_holds(exports: ExportBench) -> None:
    project = exports.server.project(FUSED)
    whole, damaged = saved("PNG", exif=exif(8)), b"no image" * 9999
    for content in (whole, damaged):
        held = "data:image/png;base64," + base64.b64encode(content).decode()
        exports.server.annotate(exports.server.task(project, image=held), [])
    exports.export(project, "coco")
    (image,) = exports.json("out/annotations.json")["images"]
    assert (image["width"], image["height"]) == TURNED
    (problem,) = exports.json("out/manifest.json")["counts"]["problems"]
    assert "the image data:image/png,... cannot be read: it is not a PNG, JPEG, WEBP, " in problem
    assert len(problem) < 200


def broken_png() -> bytes:
    """A size of 0 x 0, which Pillow's PNG reader refuses with another error than the system's."""
    content = saved("PNG")
    return content[:16] + struct.pack(">II", 0, 0) + content[24:]


BROKEN = {
    "empty.png": b"",
    "cut.png": saved("PNG")[:20],
    "zero.png": broken_png(),
    "text.png": b"not an image",
    "cut.tif": saved("TIFF")[:12],
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", BROKEN)
def test_image_that_cannot_be_read_is_named(exports: ExportBench, name: str) -> None:
    project = exports.server.project(FUSED)
    lost = exports.server.task(project, image=url(name))
    for task in (lost, exports.server.task(project, image=url("good.png"))):
        exports.server.annotate(task, [])
    exports.server.images |= {name: BROKEN[name], "good.png": saved("PNG")}
    summary = exports.export(project, "coco")
    (problem,) = summary.problems
    assert problem.startswith(f"task {lost}: the image {url(name)} cannot be read: ")
    assert "BytesIO" not in problem
    assert summary.images == 1


@pytest.mark.parametrize(("form", "whole"), [("PNG", False), ("JPEG", False), ("TIFF", True)])
def test_of_a_large_picture_only_the_beginning_is_read(exports: ExportBench, form: str, whole: bool) -> None:
    content, noise = io.BytesIO(), np.random.default_rng(1).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(content, form, exif=exif(6), **({"quality": 100} if form == "JPEG" else {}))
    exports.server.images["a"] = content.getvalue()
    assert size_of(exports.client, url("a")) == (300, 200)
    assert (max(exports.server.sent) > BEGINNING) is whole


def test_headers_longer_than_the_beginning_are_read(exports: ExportBench) -> None:
    """Radiometric JPEGs of thermal cameras hold the raw frame before the picture."""
    picture = saved("JPEG")
    segment = b"\xff\xe3" + struct.pack(">H", 60_002) + bytes(60_000)
    exports.server.images["a"] = picture[:2] + segment * 3 + picture[2:]
    assert size_of(exports.client, url("a")) == STORED
