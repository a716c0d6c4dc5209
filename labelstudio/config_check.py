"""`config.check`: everything that is wrong with labeling configurations, at once, each with its file and line.

`labeling_checks` says what a project that labelrig sets up needs: one image and a brush. This checks any
configuration: several images, polygons and bitmasks, boxes as the output, colours that look alike, versions that were
changed after they were published.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import SettingsError
from core.text import bulleted
from core.text_file import NotText, decoded
from labeling.config import config_of
from labeling.tags import Tag, XmlProblem, parse_xml
from labelstudio.labeling_checks import (
    LABELS_TAGS,
    Problem,
    abilities,
    images,
    is_colour,
    names,
    palettes,
    repeaters,
    structure,
)
from labelstudio.versions import FOLDER, LOCK, read_versions, sha256_of

TOO_ALIKE = 10.0  # CIE 1976 colour difference; the guide's own palette has 18 and more


@dataclass(frozen=True)
class Checked:
    """What was checked, as paths below the repository, and what is wrong, in the order of files and lines."""

    files: tuple[str, ...]
    problems: tuple[str, ...]

    def sentence(self) -> str:
        """For people."""
        noun = "configuration" if len(self.files) == 1 else "configurations"
        return f"{len(self.files)} {noun} checked, nothing wrong: {', '.join(self.files)}"


def check_configs(repository: Path, path: Path | None = None, data: Collection[str] | None = None) -> Checked:
    """Check one file, a folder of them, or all of `labeling_configs`.

    Args:
        repository: the folder that holds `labeling_configs`.
        path: a file or folder; None is everything.
        data: the keys that the tasks' data has, where they are known: image variables must be among them.

    Raises:
        SettingsError: lists everything that is wrong, or there is nothing to check.
    """
    folder = repository / FOLDER
    files = _files(folder if path is None else path)
    problems: list[str] = []
    for file in files:
        shown = _shown(file, repository)
        problems += [f"{shown}:{line}: {what}" for line, what in _check_file(file, data)]
    if path is None or path.resolve().is_relative_to(folder.resolve()):
        problems += _changed_versions(folder, files)
    checked = Checked(tuple(_shown(file, repository) for file in files), tuple(problems))
    if problems:
        noun = "problem" if len(problems) == 1 else "problems"
        raise SettingsError(f"the labeling configurations have {len(problems)} {noun}:\n{bulleted(problems)}")
    return checked


def check_text(text: str, data: Collection[str] | None = None) -> list[Problem]:
    """Everything that is wrong with one configuration, in the order of the lines."""
    try:
        root = parse_xml(text)
    except XmlProblem as problem:
        return [(problem.line, problem.text)]
    config, tags = config_of(text, root), list(root.walk())
    problems = [
        *structure(root, tags),
        *names(tags),
        *repeaters(tags),
        *images(config, data),
        *palettes(tags),
        *_hotkeys(tags),
        *_colours(tags),
    ]
    # What each label can do is worth saying only once its tags are sound.
    return sorted(problems or abilities(config))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted({*path.glob("v*.xml"), *path.glob("*/v*.xml")}, key=lambda one: (one.parent.name, _number(one)))
        if not files:
            raise SettingsError(f"{path}: there is no v<N>.xml in it")
        return files
    if not path.is_file():
        raise SettingsError(f"{path}: there is no such file")
    return [path]


def _number(file: Path) -> tuple[int, str]:
    digits = file.stem.removeprefix("v")
    return (int(digits) if digits.isdecimal() else 0, file.stem)


def _check_file(file: Path, data: Collection[str] | None) -> list[Problem]:
    try:
        text = decoded(file.read_bytes())
    except OSError as error:
        return [(1, f"cannot be read: {error.strerror}")]
    except NotText as error:
        return [(error.line, str(error))]
    return check_text(text, data)


def _changed_versions(folder: Path, files: list[Path]) -> Iterator[str]:
    published = read_versions(folder / LOCK)
    for file in files:
        name = f"{file.parent.name}/{file.name}"
        if name in published and sha256_of(file) != published[name]:
            following = max(_number(one)[0] for one in file.parent.glob("v*.xml")) + 1
            yield (
                f"{FOLDER}/{name}:1: was changed after it was published ({LOCK}); annotations refer to it: take it "
                f"back from git, and put the change into v{following}.xml"
            )


def _hotkeys(tags: list[Tag]) -> Iterator[Problem]:
    """A key that two palettes share selects a label in both. That is meant where both palettes are of one image."""
    first: dict[str, tuple[Tag, str]] = {}
    for palette in (tag for tag in tags if tag.name in LABELS_TAGS):
        for label in palette.children:
            key, name = label.attributes.get("hotkey", "").lower(), label.attributes.get("value", "")
            if not key or label.name != "Label":
                continue
            other, meant = first.setdefault(key, (palette, name))
            if other is palette:
                continue
            if other.attributes.get("toName") != palette.attributes.get("toName"):
                yield label.line, f'hotkey="{key}" selects a label for another image too (palette in line {other.line})'
            elif meant != name:
                yield (
                    label.line,
                    f'hotkey="{key}" means "{meant}" in the palette in line {other.line}, and "{name}" here',
                )


def _colours(tags: list[Tag]) -> Iterator[Problem]:
    seen: dict[str, tuple[str, int]] = {}
    for palette in (tag for tag in tags if tag.name in LABELS_TAGS):
        own: list[tuple[Tag, str]] = []
        for label in palette.children:
            colour, name = label.attributes.get("background"), label.attributes.get("value", "")
            if label.name != "Label" or colour is None or not is_colour(colour):
                continue
            before, line = seen.setdefault(name, (colour, label.line))
            if before.lower() != colour.lower():
                yield label.line, f'label "{name}" is {colour} here and {before} in line {line}'
            own.append((label, colour))
        for (one, first), (two, second) in itertools.combinations(own, 2):
            if difference(first, second) < TOO_ALIKE:
                other = f'"{one.attributes.get("value", "")}" ({first}, line {one.line})'
                yield two.line, f'background="{second}" is hardly different from that of {other}'


def difference(first: str, second: str) -> float:
    """How different two CSS colours look: their distance in CIE L*a*b*. 2 is just visible, 100 is black to white."""
    return math.dist(_lab(first), _lab(second))


def _lab(colour: str) -> tuple[float, float, float]:
    from PIL import ImageColor

    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in ImageColor.getrgb(colour)[:3])
    )
    # sRGB to XYZ, as shares of the white point D65.
    x = (0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.95047
    y = 0.2126729 * red + 0.7151522 * green + 0.0721750 * blue
    z = (0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.08883
    fx, fy, fz = (value ** (1 / 3) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116 for value in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def _shown(file: Path, repository: Path) -> str:
    try:
        return file.resolve().relative_to(repository.resolve()).as_posix()
    except ValueError:
        return str(file)
