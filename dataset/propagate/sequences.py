"""Which images follow on each other: those of one folder, in the natural order of their names.

`sequence` in projects.yaml says where it is otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from core.errors import SettingsError
from dataset.export.image_name import file_name_of
from dataset.export.splits import group_of
from labeling.data_urls import is_data_url
from labelstudio.projects_file import BY_NAME, BY_TASK, SequencePart

NUMBERS = re.compile(r"(\d+)")
Key = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class Frame:
    """One image of a sequence.

    Attributes:
        task: that shows it.
        url: as the task names it.
        data: of the task.
    """

    task: int
    url: str
    data: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def path(self) -> str:
        """Its path below the folder that Label Studio serves."""
        return file_name_of(self.url)

    @property
    def name(self) -> str:
        """Its file's name."""
        return PurePosixPath(self.path).name


def natural_key(text: str) -> Key:
    """Sorts `9.png` before `10.png`: runs of digits count as numbers, and all else as text, capitals or not."""
    parts = NUMBERS.split(text)
    # Text stands at even places; what is equal as a number (`01`, `1`) is told apart by how it is written.
    return tuple(
        (int(part), len(part), "") if place % 2 else (0, 0, part.casefold()) for place, part in enumerate(parts)
    )


def sequences(frames: Iterable[Frame], rule: SequencePart) -> list[list[Frame]]:
    """The frames of a project by sequence, each in its order.

    Raises:
        SettingsError: the rule names a key that a task does not have, or an image where no sequence could begin.
    """
    by_group: dict[tuple[str, str], list[Frame]] = {}
    pattern = None if rule.split is None else re.compile(rule.split)
    for frame in frames:
        if is_data_url(frame.url):
            continue
        folder, _, name = frame.path.rpartition("/")
        group = "" if pattern is None else group_of(pattern, name)
        by_group.setdefault((folder, group or ""), []).append(frame)
    cuts = set(rule.cuts)
    found: list[list[Frame]] = []
    for group_frames in by_group.values():
        ordered = sorted(group_frames, key=lambda one: _place(one, rule))
        begins = [number for number, one in enumerate(ordered) if not number or cuts & {one.name, one.path}]
        cuts -= {name for number in begins for name in (ordered[number].name, ordered[number].path)}
        ends = [*begins[1:], len(ordered)]
        found += [ordered[begin:end] for begin, end in zip(begins, ends, strict=True)]
    if cuts:
        raise SettingsError(f"sequence.cuts: no task shows {', '.join(sorted(cuts))}")
    return found


def sequence_with(found: Sequence[Sequence[Frame]], task: int) -> tuple[list[Frame], int]:
    """The sequence that shows a task's image, and its place there.

    Raises:
        SettingsError: there is none.
    """
    for frames in found:
        for place, frame in enumerate(frames):
            if frame.task == task:
                return list(frames), place
    raise SettingsError(f"task {task} is in no sequence: the project has no such task, or it shows no file")


def _place(frame: Frame, rule: SequencePart) -> tuple[float, Key, int]:
    """What a frame is sorted by."""
    if rule.order == BY_TASK:
        return 0.0, (), frame.task
    if rule.order == BY_NAME:
        return 0.0, natural_key(frame.name), frame.task
    value = frame.data.get(rule.order)
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise SettingsError(
            f"sequence.order: task {frame.task} ({frame.name}) has no number or text under {rule.order!r} in its data"
        )
    if isinstance(value, str):
        return 0.0, natural_key(value), frame.task
    return float(value), natural_key(frame.name), frame.task
