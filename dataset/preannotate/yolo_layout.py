"""Where a YOLO folder has its label files and the names of its classes, whoever wrote it.

- ultralytics, Roboflow and Label Studio: text files below `labels/`, `data.yaml` or `classes.txt` at the root
- CVAT (darknet): `obj_train_data/`, `obj.names`, and lists of images such as `train.txt`
- labelImg: text files beside the images, and a `classes.txt` in each of these folders
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from core.errors import SettingsError
from core.strict_json import parse_json
from core.strict_yaml import parse_yaml
from core.text_file import read_text
from dataset.coco_file import key_of
from labeling.image_names import is_skipped_folder

LABELS, IMAGES = "labels", "images"
DARKNET = re.compile(r"obj_\w*data")
NAMES_FILES = ("classes.txt", "obj.names", "predefined_classes.txt", "_darknet.labels")
DATA_FILES = ("data.yaml", "dataset.yaml")
NOTES, BESIDE_NOTES = "notes.json", "classes.txt"
Names = dict[int, tuple[str, Path]]  # of classes, each with the file that says it
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


def label_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """The label files below a folder, and the other text files in it: lists of images, READMEs.

    Where a folder is called `labels` (or as darknet's), only what lies below such a one can be labels. Elsewhere a file
    is one when a line of it begins with a number, or ends with four.
    """
    files = [path for path in sorted(folder.rglob("*")) if _is_text(path, folder) and path.name not in NAMES_FILES]
    inside = [path for path in files if _is_inside(path.relative_to(folder).parent)]
    if not inside and _is_inside(folder):
        return files, []
    labels = inside or [path for path in files if _has_numbers(path.read_bytes().decode("utf-8-sig", "replace"))]
    known = set(labels)
    return labels, [path for path in files if path not in known]


def image_names(label_file: PurePosixPath) -> tuple[str, ...]:
    """What the image of a label file may be called, without a suffix: the likeliest first.

    Readers put `images` in place of the last `labels` in the path; people also give the folder of one as the other's.
    """
    parts = label_file.with_suffix("").parts
    found = []
    if LABELS in parts[:-1]:
        last = len(parts) - 2 - parts[:-1][::-1].index(LABELS)
        found.append("/".join((*parts[:last], IMAGES, *parts[last + 1 :])))
    found.append(
        "/".join(part for part in parts[:-1] if part != LABELS and not DARKNET.fullmatch(part)) + "/" + parts[-1]
    )
    return tuple(one.strip("/") for one in found)


class ClassNames:
    """The names of classes by their numbers, for each folder of label files: from the files in it and those above it.

    Args:
        folder: what was given; up to the folder that holds `labels`, or to the one above, names are looked for too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        above = self._folder.parents
        holders = [number for number, one in enumerate((self._folder, *above)) if one.name == LABELS]
        self._top = above[holders[0]] if holders else above[0]
        self._read: dict[Path, Names] = {}

    def of(self, place: Path) -> dict[int, str]:
        """The names for label files in this folder.

        Raises:
            SettingsError: there are none, or two files name a class differently.
        """
        return {number: name for number, (name, _) in self._known(place.absolute()).items()}

    def _known(self, place: Path) -> Names:
        known: Names = {}
        for one in (place, *place.parents):
            if one not in self._read:
                self._read[one] = {}
                for path, names in _names_in(one):
                    _merged(self._read[one], {number: (name, path) for number, name in names.items()})
            _merged(known, self._read[one])
            if one == self._top:
                break
        if not known:
            files = " nor ".join((*NAMES_FILES[:2], *DATA_FILES))
            raise SettingsError(f"{self._folder}: no names of classes: neither {files} is there")
        return known


def _merged(known: Names, more: Names) -> Names:
    """Take more names in.

    Raises:
        SettingsError: a class has two names.
    """
    for number, (name, path) in more.items():
        other, other_path = known.setdefault(number, (name, path))
        if other != name:
            raise SettingsError(
                f"{other_path} calls the class {number} {other!r}, {path} calls it {name!r}: take one of them away"
            )
    return known


def _names_in(place: Path) -> Iterator[tuple[Path, dict[int, str]]]:
    notes = place / NOTES
    numbered = _of_notes(notes) if notes.is_file() else None
    if numbered is not None:
        yield notes, numbered
    for name in (*NAMES_FILES, *sorted(one.name for one in place.glob("*.names"))):
        path = place / name
        if name == BESIDE_NOTES and numbered is not None:
            continue
        if path.is_file() and (lines := read_text(path).splitlines()):
            # A blank line counts: the names after it keep their numbers.
            yield path, {number: line.strip() for number, line in enumerate(lines) if line.strip()}
    for path in sorted((*place.glob("*.yaml"), *place.glob("*.yml"))):
        if path.is_file() and (names := _of_yaml(path)) is not None:
            yield path, names


def _of_notes(path: Path) -> dict[int, str] | None:
    """The classes of Label Studio's `notes.json`, by whose ids its label files are numbered.

    The `classes.txt` beside it has the same names in the order of the configuration, which is another one where labels
    have a `category`. None where the file says nothing of classes.
    """
    content = parse_json(path.read_bytes(), str(path))
    rows = content.get("categories") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        return None
    found = {key_of(one.get("id")): one.get("name") for one in rows if isinstance(one, dict)}
    if len(found) != len(rows) or not all(isinstance(one, int) for one in found) or None in found.values():
        return None  # of an old version, or of another tool: then it counts nothing
    return {int(number): str(name).strip() for number, name in found.items()}  # type: ignore[arg-type]  # checked


def _of_yaml(path: Path) -> dict[int, str] | None:
    """`names` of a data file: a list, or numbers and names. Another YAML file may be anything."""
    is_data = path.name in DATA_FILES
    try:
        content = parse_yaml(read_text(path), str(path), all_text=True)
    except SettingsError:
        if is_data:
            raise
        return None
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        return dict(enumerate(str(name).strip() for name in names))
    if isinstance(names, dict) and all(number.isdecimal() for number in names):
        return {int(number): str(name).strip() for number, name in names.items()}
    if is_data:
        raise SettingsError(f"{path}: has no `names` of classes")
    return None


def _is_text(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    hidden = parts[-1].startswith(".") or any(map(is_skipped_folder, parts[:-1]))
    return path.suffix.lower() == ".txt" and not hidden and path.is_file()


def _is_inside(place: Path) -> bool:
    return any(part == LABELS or DARKNET.fullmatch(part) for part in place.parts)


def _has_numbers(text: str) -> bool:
    for words in filter(None, map(str.split, text.splitlines())):
        if NUMBER.fullmatch(words[0]) or (len(words) > 4 and all(map(NUMBER.fullmatch, words[-4:]))):
            return True
    return not text.strip()
