"""Boxes of a YOLO folder: a text file for each image, and the names of the classes."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from core.text import some
from core.text_file import read_text
from dataset.preannotate.boxes import Box, BoxFile
from dataset.preannotate.yolo_layout import ClassNames, image_names, label_files
from dataset.problems import FileProblems

BEYOND = 0.01  # of a number's range: some tools round edges to the outside, and readers let it pass
ROBOFLOW = re.compile(r"(.+)_(jpe?g|png|bmp|webp|tiff?)\.rf\.\w+", re.IGNORECASE)
ROBOFLOW_README = "README.roboflow.txt"
UNTOUCHED = "No image augmentation techniques were applied"
RESHAPED = re.compile(r"^\* .*(crop|fit|fill|tile|isolate)", re.IGNORECASE | re.MULTILINE)


def read_yolo(folder: Path, *, skip_broken: bool = False) -> BoxFile:
    """Read the label files below the folder: lines of `class x y width height`, shares of the image.

    Raises:
        SettingsError: there are no names of classes, or lines that are not boxes; lists the problems.
    """
    problems = FileProblems(f"{folder}: cannot be used as YOLO; nothing was done", skip_broken=skip_broken)
    found = BoxFile(folder.name, broken=problems.broken)
    classes = ClassNames(folder)
    labels, texts = label_files(folder)
    if not labels:
        classes.of(folder)  # says so where not even these are there
    file_of: dict[str, Path] = {}
    for path in labels:
        relative = path.relative_to(folder)
        name, *others = image_names(PurePosixPath(relative.as_posix()))
        if (first := file_of.setdefault(name, relative)) != relative:
            problems.unusable(f"{first} and {relative} would both be of the image {name}; give one folder at a time")
            continue
        boxes = []
        names = classes.of(path.parent)
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            box = _box(line, names)
            if isinstance(box, str):
                problems.region(f"{relative}:{number}: {box}")
            else:
                boxes.append(box)
        if boxes:
            found.by_image.setdefault(name, []).extend(boxes)
            found.other_names[name] = tuple(others)
    problems.check()
    _name_originals(folder, found)
    if texts:
        others = [str(path.relative_to(folder)) for path in texts]
        found.notices.append(f"{folder.name}: text files that hold no boxes are left out: {some(others)}")
    return found


def _name_originals(folder: Path, found: BoxFile) -> None:
    """Roboflow calls `a.png` `a_png.rf.<digits>.jpg`. The boxes fit `a.png` where it left the picture as it was."""
    originals = {name: f"{match[1]}.{match[2]}" for name in found.by_image if (match := ROBOFLOW.fullmatch(name))}
    if not originals:
        return
    readme = folder / ROBOFLOW_README
    text = read_text(readme) if readme.is_file() else ""
    if UNTOUCHED in text and not RESHAPED.search(text):
        for name, original in originals.items():
            others = tuple(
                match[1] + "." + match[2] for one in found.other_names[name] if (match := ROBOFLOW.fullmatch(one))
            )
            found.other_names[name] = (*found.other_names[name], original, *others)
    else:
        found.notices.append(
            f"{folder.name}: Roboflow has renamed the images, and {ROBOFLOW_README} does not say that it left them as "
            "they were: boxes may not fit the originals, so only images with Roboflow's names are looked for"
        )


def _box(line: str, names: dict[int, str]) -> Box | str:
    words = line.split()
    try:
        if "_" in line:
            raise ValueError
        number, x, y, width, height = (float(part) for part in words[:5])
    except ValueError:
        return "must be `class x y width height`, numbers with a point"
    if len(words) > 6:  # a sixth is a confidence
        return "is an outline, not a box; export boxes"
    if number not in names:
        return f"class {words[0]} has no name"
    if not (0 < width <= 1 + BEYOND and 0 < height <= 1 + BEYOND and _is_share(x) and _is_share(y)):
        return "must be shares of the image, between 0 and 1"
    left, right = max(0.0, x - width / 2), min(1.0, x + width / 2)
    top, bottom = max(0.0, y - height / 2), min(1.0, y + height / 2)
    if right <= left or bottom <= top:
        return "lies outside the image"
    return Box(names[int(number)], 100 * left, 100 * top, 100 * (right - left), 100 * (bottom - top))


def _is_share(number: float) -> bool:
    return -BEYOND <= number <= 1 + BEYOND
