"""Reading `masks.jsonl` of an rle-json export."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import SettingsError
from core.strict_json import BOM, parse_json, shown
from dataset.coco_file import key_of, whole
from dataset.export import coco_rle
from dataset.export.labeling import UsedConfig
from dataset.importing.coco import percent, percent_shape
from dataset.importing.source import Entry, Incoming, Needs, Placed, Source, renamed
from dataset.importing.target import WAYS, RegionKey, Shape, results_of
from dataset.json_file import open_file
from dataset.problems import FileProblems
from masks.arrays import check_size

Row = Mapping[str, Any]


class RleJsonSource(Source):
    """See `Source`. The file stays open; each image is read at its place in it.

    Raises:
        SettingsError: a line is broken, or a region in it cannot be read.
    """

    def __init__(self, path: Path, problems: FileProblems) -> None:
        self._path = path
        self._problems = problems
        self._file = open_file(path)
        self._offsets: list[int] = []
        self.entries: list[Entry] = []
        self.left_out: Counter[str] = Counter()
        try:
            self._read()
            problems.check()
        except BaseException:
            self._file.close()
            raise

    def annotations(self, placed: Sequence[Placed], config: UsedConfig, names: Mapping[str, str]) -> list[Incoming]:
        results: list[dict[str, Any]] = []
        taken: set[RegionKey] = set()
        for one in placed:
            self._file.seek(self._offsets[one.entry.handle])
            row = json.loads(self._file.readline().removeprefix(BOM))
            size_wh = _size(row)
            for number, region in enumerate(row["regions"], 1):
                if not _problem_of(region, size_wh):
                    shape = self._shape(region, renamed(region["labels"], names), size_wh, one)
                    results += results_of(shape, config.labeling, f"rle-{one.entry.handle + 1}-{number}", taken)
        return [Incoming(results)]

    def new_task(self, entry: Entry) -> dict[str, Any] | None:
        """See `Source`: the file does not know how Label Studio reaches an image."""
        return None

    def close(self) -> None:
        self._file.close()

    def _read(self) -> None:
        offset = 0
        for number, line in enumerate(self._file, 1):
            if line.strip():
                self._take(f"{self._path}:{number}", line)
                self._offsets.append(offset)
            offset += len(line)

    def _take(self, where: str, line: bytes) -> None:
        row = parse_json(line, where)
        if (reason := _not_a_line(row)) or not isinstance(row, dict):
            raise SettingsError(f"{where}: is not a line of an rle-json export ({reason}); nothing was stored")
        needs = set()
        for region in row["regions"]:
            if problem := _problem_of(region, _size(row)):
                name = shown(region.get("id")) if isinstance(region, dict) else shown(region)
                self._problems.region(f"line {where.rpartition(':')[2]} ({row['file_name']}): region {name}: {problem}")
            else:
                needs.add((str(region["kind"]), tuple(region["labels"])))
        if row["regions"] or row.get("annotated", True):
            index = key_of(row.get("item_index"))
            self.entries.append(
                Entry(
                    file_name=row["file_name"],
                    to_name=str(row.get("to_name") or ""),
                    item_index=index if isinstance(index, int) else None,
                    needs=Needs(needs),
                    handle=len(self._offsets),
                    sizes=frozenset((_size(row),) if needs else ()),
                )
            )

    def _shape(self, region: Row, labels: tuple[str, ...], size_wh: tuple[int, int], placed: Placed) -> Shape:
        kind = str(region["kind"])
        is_mask = kind in ("brush", "bitmask")
        mask = coco_rle.decoded(region["rle"], size_wh) if is_mask else None
        value = {} if is_mask else _value(kind, region, size_wh)
        return Shape(str(region.get("id") or ""), kind, labels, placed.to_name, placed.item_index, size_wh, mask, value)


def _not_a_line(row: object) -> str:
    if not isinstance(row, dict):
        return f"it is {shown(row)}"
    if not isinstance(row.get("file_name"), str) or not row["file_name"]:
        return "it has no file_name"
    if whole(row.get("width")) is None or whole(row.get("height")) is None:
        return "it has no width and height"
    return "" if isinstance(row.get("regions"), list) else "it has no list of regions"


def _size(row: Row) -> tuple[int, int]:
    return whole(row["width"]) or 0, whole(row["height"]) or 0


def _problem_of(region: object, size_wh: tuple[int, int]) -> str:
    """Why a region cannot be read, or nothing."""
    if not isinstance(region, dict):
        return "must be an object"
    kind, labels = region.get("kind"), region.get("labels")
    if not isinstance(kind, str) or kind not in WAYS:
        return f"its kind is {shown(kind)}"
    if not isinstance(labels, list) or not labels or not all(isinstance(one, str) for one in labels):
        return "has no labels"
    try:
        check_size(size_wh)
        if kind not in ("brush", "bitmask"):
            _value(kind, region, size_wh)
        elif isinstance(region.get("rle"), dict):
            coco_rle.runs(region["rle"], size_wh)
        else:
            return "has no run lengths"
    except ValueError as error:
        return str(error)
    return ""


def _value(kind: str, region: Row, size_wh: tuple[int, int]) -> dict[str, Any]:
    if kind == "polygon":
        return {"points": percent(region.get("points"), size_wh), "closed": True}
    shape = region.get("shape")
    if not isinstance(shape, Mapping):
        raise ValueError("has no shape")
    return dict(percent_shape(kind, shape, size_wh))
