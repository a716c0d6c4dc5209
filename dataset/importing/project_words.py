"""Results of another project in the words of this one: its tags, its labels, its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataset.export.labeling import UsedConfig
from dataset.export.regions import Region, read_results
from dataset.export.results import is_spatial, item_index_of, key_of
from dataset.importing.source import Placed, renamed
from dataset.importing.target import Shape, results_of
from labeling.config import LabelingConfig

Result = dict[str, Any]


def moved(one: Result, place: Placed) -> Result:
    """A result on the image that it belongs to here."""
    found = {**one, "to_name": place.to_name}
    if (item_index_of(one) or 0) != (place.item_index or 0):
        found["item_index"] = place.item_index or 0
    return found


def in_words_of(results: Sequence[Result], config: UsedConfig, names: Mapping[str, str]) -> list[Result]:
    """The results as they are, where the project has their tags and labels; else its regions made anew with its own."""
    reading = read_results(results, config)
    labeling = config.labeling
    regions = {(one.to_name, one.id, one.item_index): one for one in reading.regions}
    foreign = {
        key
        for one in reading.kept
        if is_spatial(one) and (key := key_of(one)) in regions and not _fits(one, regions[key], labeling, names)
    }
    made: list[Result] = []
    done = set()
    for one in reading.kept:
        key = key_of(one)
        if not is_spatial(one) or key not in foreign:
            made.append(one)
        elif key not in done:
            done.add(key)
            made += _made_anew(regions[key], config, names)
    return made


def _fits(one: Result, region: Region, labeling: LabelingConfig, names: Mapping[str, str]) -> bool:
    """Whether the project has the tag of a result, on its image and with its labels."""
    tool = labeling.control(str(one.get("from_name", "")))
    if tool is None or tool.kind != one.get("type") or region.to_name not in tool.to_names:
        return False
    return not tool.has_labels or all(label not in names and tool.finds(label) for label in region.labels)


def _made_anew(region: Region, config: UsedConfig, names: Mapping[str, str]) -> list[Result]:
    is_mask = region.kind in ("brush", "bitmask")
    value = {} if is_mask else {name: each for name, each in region.value.items() if not name.endswith("labels")}
    shape = Shape(
        region_id=region.id,
        kind=region.kind,
        labels=renamed(region.labels, names),
        to_name=region.to_name,
        item_index=region.item_index,
        size_wh=region.size_wh,
        mask=region.mask() if is_mask else None,
        value=value,
    )
    return results_of(shape, config.labeling, region.id)
