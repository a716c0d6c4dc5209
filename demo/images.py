"""The demo images: a dozen drawn scenes as PNG files, with the truth beside them for the tests.

    python -m demo.images --out DIR

writes ``DIR/images/scene-01.png`` and, per image, ``DIR/truth/scene-01.json`` and one mask
``DIR/truth/scene-01-0.png`` per object. Needs numpy and Pillow only. Drawing is deterministic, so a second
call finds every file as it should be and writes nothing; a missing or broken file is drawn again.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from demo import clicks
from demo.scenes import STYLES, Scene, draw_scene

log = logging.getLogger("demo.images")

VERSION = 1
SEED = 3
COUNT = 12
SIZE_WH = (1920, 1080)
MANIFEST = "truth/manifest.json"


def draw_demo_images(
    folder: Path, count: int = COUNT, seed: int = SEED, *, size_wh: tuple[int, int] = SIZE_WH
) -> list[Path]:
    """Make sure that ``folder`` holds the demo images and their truth.

    Args:
        folder: made if missing. Files in it that are not the demo's own are left alone.
        count: number of scenes, 1 to 99; the styles take turns.
        seed: what is drawn; the same seed always gives the same files.
        size_wh: width and height of the images in pixels.

    Returns:
        The files written by this call: none where all were there already.

    Raises:
        ValueError: if ``count`` is not within 1 to 99, or the size too small.
        OSError: if the folder cannot be written.
    """
    if not 1 <= count <= 99:
        raise ValueError(f"count must be within 1 to 99, got {count}")
    stamp = _stamp(seed, size_wh)
    manifest = _read_manifest(folder)
    known: dict[str, dict[str, str]] = manifest["scenes"] if manifest.get("stamp") == stamp else {}
    written: list[Path] = []
    digests: dict[str, dict[str, str]] = {}
    for index in range(count):
        name = f"scene-{index + 1:02d}"
        if name in known and _is_whole(folder, known[name]):
            digests[name] = known[name]
            continue
        files = scene_files(name, demo_scene(index, seed, size_wh))
        digests[name] = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
        for file, content in files.items():
            if _digest(folder / file) != digests[name][file]:
                _write(folder / file, content)
                written.append(folder / file)
        log.info("%s drawn", name)
    _remove_leftovers(folder, manifest, digests)
    text = json.dumps({"stamp": stamp, "scenes": digests}, indent=1) + "\n"
    if manifest != json.loads(text):
        _write(folder / MANIFEST, text.encode())
    return written


def is_current(folder: Path, count: int = COUNT, seed: int = SEED, *, size_wh: tuple[int, int] = SIZE_WH) -> bool:
    """Whether ``folder`` holds every file of this version of the demo, unbroken: whether drawing would write
    nothing.

    Reads only. The arguments are those of ``draw_demo_images``.
    """
    manifest = _read_manifest(folder)
    if manifest.get("stamp") != _stamp(seed, size_wh) or len(manifest["scenes"]) != count:
        return False
    return all(_is_whole(folder, files) for files in manifest["scenes"].values())


def demo_scene(index: int, seed: int = SEED, size_wh: tuple[int, int] = SIZE_WH) -> Scene:
    """Scene number ``index`` (from 0) of the demo."""
    return draw_scene(np.random.default_rng((seed, index)), size_wh, STYLES[index % len(STYLES)])


def scene_files(name: str, scene: Scene) -> dict[str, bytes]:
    """The files of one scene: path relative to the folder, and content."""
    files = {f"images/{name}.png": _png(Image.fromarray(scene.image))}
    points = [clicks.inner_point(item.mask) for item in scene.objects]
    objects = []
    for number, (item, point) in enumerate(zip(scene.objects, points, strict=True)):
        mask_name = f"{name}-{number}.png"
        files[f"truth/{mask_name}"] = _png(Image.fromarray(item.mask.astype(np.uint8) * np.uint8(255)))
        others = points[:number] + points[number + 1 :]
        nearest = min(others, key=lambda other: np.hypot(other[0] - point[0], other[1] - point[1]), default=None)
        objects.append(
            {
                "label": item.label,
                "click_xy": list(point),
                "box_xyxy": list(clicks.box_of(item.mask)),
                "negative_xy": list(nearest) if nearest else None,
                "mask": mask_name,
            }
        )
    files[f"truth/{name}.json"] = (json.dumps(objects, indent=1) + "\n").encode()
    return files


def main(argv: list[str] | None = None) -> int:
    """Draw the demo images into a folder; the image files' paths go to stdout."""
    parser = argparse.ArgumentParser(prog="python -m demo.images", description="Draw the demo images and their truth.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write images/ and truth/ into")
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    written = draw_demo_images(options.out, options.count, options.seed)
    log.info("%d files written", len(written))
    for index in range(options.count):
        sys.stdout.write(f"{options.out / 'images' / f'scene-{index + 1:02d}.png'}\n")
    return 0


def _stamp(seed: int, size_wh: tuple[int, int]) -> dict[str, Any]:
    return {"version": VERSION, "seed": seed, "size_wh": list(size_wh)}


def _is_whole(folder: Path, digests: dict[str, str]) -> bool:
    return all(_digest(folder / file) == digest for file, digest in digests.items())


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=4)
    return buffer.getvalue()


def _digest(file: Path) -> str | None:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _write(file: Path, content: bytes) -> None:
    """Write a file in one step: a reader sees the old content or the new, never a part."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.write_bytes(content)
    part.replace(file)


def _read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an earlier call; empty where there is none or it is broken."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return {}
    if isinstance(manifest, dict) and isinstance(manifest.get("scenes"), dict):
        return manifest
    return {}


def _remove_leftovers(folder: Path, manifest: dict[str, Any], digests: dict[str, dict[str, str]]) -> None:
    """Delete files that an earlier version, seed or count of the demo wrote and this one does not have."""
    wanted = {file for files in digests.values() for file in files}
    for files in manifest.get("scenes", {}).values():
        for file in files:
            if file not in wanted:
                (folder / file).unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
