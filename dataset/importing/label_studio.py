"""Reading Label Studio's JSON: `tasks.json` of our export, or what Label Studio itself exports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import SettingsError
from dataset.export.image_name import file_name_of
from dataset.export.labeling import UsedConfig
from dataset.export.regions import key_of, read_results
from dataset.importing.coco import items
from dataset.importing.source import Entry, Incoming, Placed, Source, Spool
from dataset.importing.target import Shape, results_of
from labeling.images import task_images


class LabelStudioSource(Source):
    """See `Source`. The first image of a task finds it again.

    Raises:
        SettingsError: it is not a list of tasks.
    """

    def __init__(self, path: Path, config: UsedConfig) -> None:
        self._path = path
        self._spool = Spool()
        self.entries: list[Entry] = []
        try:
            for task in items(path, "item"):
                self._take(task, config)
        except BaseException:
            self._spool.close()
            raise

    def annotations(self, placed: Sequence[Placed], config: UsedConfig) -> list[Incoming]:
        return [
            Incoming(
                results=_in_words_of(one.get("result") or [], config),
                is_whole=True,
                annotator=_annotator(one),
                lead_time=one.get("lead_time"),
                ground_truth=bool(one.get("ground_truth")),
                was_cancelled=bool(one.get("was_cancelled")),
            )
            for each in placed
            for one in self._spool.get(each.entry.handle)["annotations"]
        ]

    def new_task(self, entry: Entry) -> dict[str, Any] | None:
        data = self._spool.get(entry.handle)["data"]
        return dict(data)

    def close(self) -> None:
        self._spool.close()

    def _take(self, task: dict[str, Any], config: UsedConfig) -> None:
        annotations = task.get("annotations") or []
        number = len(self.entries) + 1
        if not isinstance(task.get("data"), dict):
            raise SettingsError(f"{self._path}: entry {number} is not a task of Label Studio: it has no data")
        for one in annotations:
            results = one.get("result") if isinstance(one, dict) else None
            if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
                raise SettingsError(f"{self._path}: an annotation of entry {number} has no list of results")
        shown = task_images(config.labeling.images, task["data"])
        if not shown:
            keys = ", ".join(tag.value for tag in config.labeling.images)
            raise SettingsError(f"{self._path}: entry {number} has no image under {keys}, which the project shows")
        needs = set()
        for region in (region for one in annotations for region in read_results(one["result"], config).regions):
            try:
                region.mask()
            except ValueError as error:
                raise SettingsError(
                    f"{self._path}: region {region.id!r} of entry {number} cannot be read: {error}; nothing was stored"
                ) from None
            needs.add((region.kind, region.labels))
        handle = self._spool.add({"data": task["data"], "annotations": annotations})
        self.entries.append(Entry(file_name_of(shown[0].url), shown[0].name, None, frozenset(needs), handle))


def _in_words_of(results: list[dict[str, Any]], config: UsedConfig) -> list[dict[str, Any]]:
    """The results as they are, where the project has their tags; else its regions made anew with the tags it has."""
    reading = read_results(results, config)
    labeling = config.labeling
    spatial = {(one.to_name, one.id, one.item_index): one for one in reading.regions}
    foreign = set()
    for one in reading.kept:
        key = key_of(one)
        tool = labeling.control(str(one.get("from_name", "")))
        if key in spatial and (tool is None or tool.kind != one.get("type")):
            foreign.add(key)
    if not foreign:
        return reading.kept
    made: list[dict[str, Any]] = []
    done = set()
    for one in reading.kept:
        key = key_of(one)
        if key not in foreign:
            made.append(one)
        elif key not in done:
            done.add(key)
            made += _made_anew(spatial[key], config)
    return made


def _made_anew(region: Any, config: UsedConfig) -> list[dict[str, Any]]:
    is_mask = region.kind in ("brush", "bitmask")
    value = {} if is_mask else {name: each for name, each in region.value.items() if not name.endswith("labels")}
    shape = Shape(
        region_id=region.id,
        kind=region.kind,
        labels=region.labels,
        to_name=region.to_name,
        item_index=region.item_index,
        size_wh=region.size_wh,
        mask=region.mask() if is_mask else None,
        value=value,
    )
    return results_of(shape, config.labeling, region.id)


def _annotator(annotation: Mapping[str, Any]) -> str:
    """The e-mail address of who drew it: as our exports name it, or those of Label Studio that do; else empty."""
    completed_by = annotation.get("completed_by")
    given = annotation.get("annotator") or (completed_by.get("email") if isinstance(completed_by, Mapping) else None)
    return str(given or "")
