"""What an import reads from: entries that name images, and the annotations of each, one at a time."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dataset.export.labeling import UsedConfig

Needs = frozenset[tuple[str, tuple[str, ...]]]


@dataclass(frozen=True)
class Entry:
    """One image of the file.

    Attributes:
        file_name: its path or name.
        to_name: the image tag, empty where the file does not know it.
        item_index: which image of a list.
        needs: every (kind, labels) in it: what the project must have a tag for.
        handle: where the source finds it again.
        sizes: width and height of the picture that its pixels are counted in; empty where it counts none.
        key: of its URL, see `image_key`; empty where the file has names only.
        is_of_task: `handle` is a task of the file, whose images belong together.
    """

    file_name: str
    to_name: str
    item_index: int | None
    needs: Needs
    handle: int
    sizes: frozenset[tuple[int, int]] = frozenset()
    key: str = ""
    is_of_task: bool = False


@dataclass(frozen=True)
class Placed:
    """An entry and the image of a task that it belongs to."""

    entry: Entry
    to_name: str
    item_index: int | None
    url: str


@dataclass(frozen=True)
class Incoming:
    """One annotation to store. `annotator` is an e-mail address or empty.

    `is_whole` is whether the file has annotations as they were submitted, and not some regions of an image.
    """

    results: list[dict[str, Any]]
    is_whole: bool = False
    annotator: str = ""
    lead_time: float | None = None
    ground_truth: bool = False
    was_cancelled: bool = False


class Source(Protocol):
    """A file that was read once and checked: nothing is stored before."""

    entries: list[Entry]
    left_out: Counter[str]  # what is no object (prompts, ghosts), by reason

    def annotations(self, placed: Sequence[Placed], config: UsedConfig, names: Mapping[str, str]) -> list[Incoming]:
        """The annotations of one task, whose images these are. `names` are labels that are called otherwise here."""

    def new_task(self, entry: Entry) -> dict[str, Any] | None:
        """The data of a task for an entry, where the file holds it."""

    def close(self) -> None:
        """Remove temporary files."""


def renamed(labels: Iterable[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """The labels as the project calls them."""
    return tuple(dict.fromkeys(names.get(label, label) for label in labels))


@dataclass
class Spool:
    """JSON values in a temporary file, found again by number: files may be larger than memory."""

    _file: Any = field(default_factory=tempfile.TemporaryFile)
    _offsets: list[int] = field(default_factory=list)
    _end: int = 0

    def add(self, value: object) -> int:
        """Keep a value; return its number."""
        line = json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"
        self._file.seek(self._end)
        self._file.write(line)
        self._offsets.append(self._end)
        self._end += len(line)
        return len(self._offsets) - 1

    def get(self, number: int) -> Any:
        """A value by its number."""
        self._file.seek(self._offsets[number])
        return json.loads(self._file.readline())

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
