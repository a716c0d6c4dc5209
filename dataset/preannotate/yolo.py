"""Boxes of a YOLO folder: a text file for each image, and the names of the classes."""

from __future__ import annotations

from pathlib import Path

from core.errors import SettingsError
from core.strict_yaml import parse_yaml
from core.text import bulleted
from dataset.preannotate.boxes import Box, BoxFile

NAMES_FILES = ("classes.txt", "obj.names")
DATA_FILES = ("data.yaml", "dataset.yaml")
SHOWN = 10


def read_yolo(folder: Path) -> BoxFile:
    """Read every text file below the folder but the names: lines of `class x y width height`, shares of the image.

    Raises:
        SettingsError: there are no names of classes, or lines that are not boxes; lists the problems.
    """
    names = _names(folder)
    found, problems = BoxFile(folder.name), []
    for path in sorted(folder.rglob("*.txt")):
        if path.name in NAMES_FILES:
            continue
        relative = path.relative_to(folder)
        boxes = []
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if not line.strip():
                continue
            box = _box(line, names)
            if isinstance(box, str):
                problems.append(f"{relative}:{number}: {box}")
            else:
                boxes.append(box)
        if boxes:
            parts = [part for part in relative.with_suffix("").parts if part != "labels"]
            found.by_image.setdefault("/".join(parts), []).extend(boxes)
    if problems:
        raise SettingsError(f"{folder}: cannot be used as YOLO; nothing was done:\n{bulleted(problems, SHOWN)}")
    return found


def _names(folder: Path) -> dict[int, str]:
    for place in (folder, folder.parent):
        for name in NAMES_FILES:
            if (place / name).is_file():
                lines = (place / name).read_text(encoding="utf-8", errors="replace").splitlines()
                return dict(enumerate(line.strip() for line in lines if line.strip()))
        for name in DATA_FILES:
            if (place / name).is_file():
                return _of_data(place / name)
    raise SettingsError(f"{folder}: no names of classes: neither {' nor '.join((*NAMES_FILES, *DATA_FILES))} is there")


def _of_data(path: Path) -> dict[int, str]:
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"), str(path), number_keys=True)
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text") from None
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        return dict(enumerate(map(str, names)))
    if isinstance(names, dict) and all(isinstance(number, int) for number in names):
        return {number: str(name) for number, name in names.items()}
    raise SettingsError(f"{path}: has no `names` of classes")


def _box(line: str, names: dict[int, str]) -> Box | str:
    try:
        number, x, y, width, height = (float(part) for part in line.split()[:5])
    except ValueError:
        return "must be `class x y width height`"
    if len(line.split()) > 6:  # a sixth is a confidence
        return "is an outline, not a box; export boxes"
    if number not in names:
        return f"class {line.split()[0]} has no name"
    if not (0 < width <= 1 and 0 < height <= 1 and 0 <= x <= 1 and 0 <= y <= 1):
        return "must be shares of the image, between 0 and 1"
    return Box(names[int(number)], 100 * (x - width / 2), 100 * (y - height / 2), 100 * width, 100 * height)
