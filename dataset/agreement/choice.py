"""What the words of the command mean: a file, a folder, or a project, each perhaps with a person behind a colon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import SettingsError
from dataset.agreement.class_map_side import ClassMapSide
from dataset.agreement.coco_side import CocoSide
from dataset.agreement.side import Side
from dataset.agreement.tasks_side import side_of_file, side_of_project
from dataset.json_file import JsonFile

if TYPE_CHECKING:
    from core.report import Report
    from labelstudio.client import Client
    from labelstudio.models import Project

COCO_KEYS = frozenset(("images", "annotations", "categories"))
IN_FOLDER = ("tasks.json", "annotations.json")  # what an export has beside class maps


@dataclass(frozen=True)
class Chosen:
    """One side as it was written. `path` is None of a project; `who` is empty, a person or `predictions`."""

    text: str
    path: Path | None
    project: str = ""
    who: str = ""


def chosen(text: str) -> Chosen:
    """Read `FILE`, `FOLDER`, `PROJECT`, each with `:PERSON` behind it where one is meant.

    Raises:
        SettingsError: it looks like a path, and there is no such file.
    """
    if not text.strip():
        raise SettingsError("agreement: a side is empty; give a file, a folder or a project")
    if Path(text).exists():
        return Chosen(text, Path(text))
    before, colon, who = text.rpartition(":")
    if colon and Path(before).exists():
        return Chosen(text, Path(before), who=who.strip())
    if "/" in text or text.endswith(".json"):
        raise SettingsError(f"{text}: there is no such file or folder (a project is named by its key or title)")
    return Chosen(text, None, text)


def opened_side(
    one: Chosen, classes: Path | None, report: Report, find: Callable[[str], tuple[Client, Project]]
) -> Side:
    """Read a side.

    Args:
        classes: names of class numbers, see `ClassMapSide`.
        find: the project of a key or title; asked for projects only.

    Raises:
        SettingsError: it is nothing that can be compared.
    """
    if one.path is None:
        return _project(one, report, find)
    if one.path.is_dir():
        file = next((one.path / name for name in IN_FOLDER if (one.path / name).is_file()), None)
        if file is None:
            return ClassMapSide(one.path, classes)
        return opened_side(Chosen(one.text, file, who=one.who), classes, report, find)
    start, keys = JsonFile(one.path).first_keys(COCO_KEYS)
    if start == "[":
        return side_of_file(one.path, one.who, report)
    if start == "{" and keys & COCO_KEYS:
        if one.who:
            raise SettingsError(f"{one.text}: a COCO file does not say who drew what; leave out `:{one.who}`")
        return CocoSide(one.path, report)
    raise SettingsError(
        f"{one.path}: is neither Label Studio's JSON (a list of tasks) nor COCO; of class maps, give their folder"
    )


def _project(one: Chosen, report: Report, find: Callable[[str], tuple[Client, Project]]) -> Side:
    """A title may have a colon in it: the whole text comes before a person."""
    before, colon, who = one.project.rpartition(":")
    try:
        client, project = find(one.project)
    except SettingsError:
        if not colon:
            raise
        client, project = find(before)
        return side_of_project(client, project, who.strip(), report)
    return side_of_project(client, project, "", report)
