"""Class numbers that never change: `labeling_configs/<name>/classes.lock`.

It lies beside the configuration and is committed with it, because a number must be the same in every export of every
machine and person; an export folder is thrown away. New labels are appended, a label that left the configuration
keeps its number and is marked as retired, and nothing is ever numbered again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import LabelrigError, SettingsError

FORMAT = 1
FILE = "classes.lock"


class _Class(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int = Field(ge=1, strict=True)
    name: str = Field(min_length=1)
    retired: bool = False
    formerly: list[str] = []


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    classes: list[_Class]


@dataclass(frozen=True)
class Class:
    """One class. `id` counts from 1; `formerly` are names that it had before it was renamed."""

    id: int
    name: str
    retired: bool = False
    formerly: tuple[str, ...] = ()


@dataclass(frozen=True)
class Classes:
    """All classes there ever were, by their numbers."""

    known: tuple[Class, ...] = ()

    def id_of(self, label: str) -> int:
        """The number of a label.

        Raises:
            KeyError: it was never given one.
        """
        for one in self.known:
            if one.name == label:
                return one.id
        raise KeyError(label)

    def __contains__(self, label: str) -> bool:
        return any(one.name == label for one in self.known)

    def with_labels(self, labels: Iterable[str], *, present: Iterable[str] | None = None) -> Classes:
        """Append what is new. With `present`, everything else counts as retired."""
        known = list(self.known)
        names = {one.name for one in known}
        following = max((one.id for one in known), default=0) + 1
        for label in labels:
            if label not in names:
                known.append(Class(following, label))
                names.add(label)
                following += 1
        if present is not None:
            there = set(present)
            known = [replace(one, retired=one.name not in there) for one in known]
        return Classes(tuple(known))

    def renamed(self, old: str, new: str) -> Classes:
        """A label gets another name and keeps its number.

        Raises:
            LabelrigError: there is no such label, or the new name is taken.
        """
        if old not in self:
            raise LabelrigError(f"the class {old!r} cannot be renamed: it has no number")
        if new in self:
            raise LabelrigError(f"the class {old!r} cannot be renamed to {new!r}: that is a class of its own")
        return Classes(
            tuple(
                replace(one, name=new, formerly=(*one.formerly, old)) if one.name == old else one for one in self.known
            )
        )

    def as_json(self) -> str:
        """The text of the file."""
        rows = [
            {"id": one.id, "name": one.name}
            | ({"retired": True} if one.retired else {})
            | ({"formerly": list(one.formerly)} if one.formerly else {})
            for one in self.known
        ]
        lines = ",\n".join(f"    {json.dumps(row, ensure_ascii=False)}" for row in rows)
        return f'{{\n  "format": {FORMAT},\n  "classes": [\n{lines}\n  ]\n}}\n'


def read_classes(path: Path) -> Classes:
    """Read a lock file; no classes where there is none yet.

    Raises:
        SettingsError: it is broken, or a number or a name stands in it twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Classes()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    try:
        content = _File.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise SettingsError(f"{path}: {where}: {first['msg']}; take it back from git") from None
    if content.format != FORMAT:
        raise SettingsError(f"{path}: format {content.format} is not known, only {FORMAT}; is this labelrig too old?")
    for kind in ("id", "name"):
        values = [getattr(one, kind) for one in content.classes]
        twice = sorted({str(one) for one in values if values.count(one) > 1})
        if twice:
            raise SettingsError(f"{path}: the {kind} {', '.join(twice)} stands in it twice; take it back from git")
    return Classes(tuple(Class(one.id, one.name, one.retired, tuple(one.formerly)) for one in content.classes))


def write_classes(path: Path, before: Classes, after: Classes) -> bool:
    """Write a lock file where it changed, in one step; return whether it did.

    Raises:
        LabelrigError: another process has changed it since `before` was read: two labels could get one number.
    """
    if after == before:
        return False
    if read_classes(path) != before:
        raise LabelrigError(f"{path} has changed meanwhile (another export?); run this one again")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(after.as_json(), encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return True
