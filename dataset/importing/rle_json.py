"""Reading `masks.jsonl` of an rle-json export."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import SettingsError
from dataset.export import coco_rle
from dataset.export.labeling import UsedConfig
from dataset.importing.coco import open_json, percent, percent_shape
from dataset.importing.source import Entry, Incoming, Placed, Source
from dataset.importing.target import WAYS, Shape, results_of


class RleJsonSource(Source):
    """See `Source`. The file stays open; each image is read at its place in it.

    Raises:
        SettingsError: a line is broken.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open_json(path)
        self._offsets: list[int] = []
        self.entries: list[Entry] = []
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise

    def annotations(self, placed: Sequence[Placed], config: UsedConfig) -> list[Incoming]:
        results: list[dict[str, Any]] = []
        for one in placed:
            self._file.seek(self._offsets[one.entry.handle])
            row = json.loads(self._file.readline())
            for number, region in enumerate(row["regions"], 1):
                shape = self._shape(region, row, one)
                results += results_of(shape, config.labeling, f"rle-{one.entry.handle + 1}-{number}")
        return [Incoming(results)]

    def new_task(self, entry: Entry) -> dict[str, Any] | None:
        """See `Source`: the file does not know how Label Studio reaches an image."""
        return None

    def close(self) -> None:
        self._file.close()

    def _read(self) -> None:
        offset = 0
        for number, line in enumerate(self._file, 1):
            try:
                row = json.loads(line)
                entry = Entry(
                    file_name=str(row["file_name"]),
                    to_name=str(row.get("to_name") or ""),
                    item_index=row.get("item_index"),
                    needs=frozenset((_kind(one), tuple(map(str, one["labels"]))) for one in row["regions"]),
                    handle=len(self._offsets),
                )
                size_wh = (int(row["width"]), int(row["height"]))
                if min(size_wh) < 1 or any(not labels for _, labels in entry.needs):
                    raise ValueError("no size, or a region without a label")
                for region in row["regions"]:
                    _check(region, size_wh)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                reason = f"{type(error).__name__} {error}"
                raise SettingsError(
                    f"{self._path}:{number}: is not a line of an rle-json export ({reason}); nothing was stored"
                ) from None
            if row["regions"] or row.get("annotated", True):
                self.entries.append(entry)
            self._offsets.append(offset)
            offset += len(line)

    def _shape(self, region: Mapping[str, Any], row: Mapping[str, Any], placed: Placed) -> Shape:
        size_wh = (int(row["width"]), int(row["height"]))
        kind = _kind(region)
        labels = tuple(map(str, region["labels"]))
        is_mask = kind in ("brush", "bitmask")
        mask = coco_rle.decoded(region["rle"], size_wh) if is_mask else None
        value = {} if is_mask else _value(kind, region, size_wh)
        return Shape(str(region.get("id") or ""), kind, labels, placed.to_name, placed.item_index, size_wh, mask, value)


def _check(region: Mapping[str, Any], size_wh: tuple[int, int]) -> None:
    kind = _kind(region)
    if kind in ("brush", "bitmask"):
        coco_rle.runs(region["rle"], size_wh)
    else:
        _value(kind, region, size_wh)


def _value(kind: str, region: Mapping[str, Any], size_wh: tuple[int, int]) -> dict[str, Any]:
    if kind == "polygon":
        return {"points": percent(region["points"], size_wh), "closed": True}
    return dict(percent_shape(kind, region["shape"], size_wh))


def _kind(region: Mapping[str, Any]) -> str:
    kind = region["kind"]
    if kind not in WAYS:
        raise ValueError(f"kind {kind!r}")
    return str(kind)
