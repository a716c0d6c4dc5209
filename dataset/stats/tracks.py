"""Tracks of propagated masks in what people have annotated: how many there are, and through how many images they go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from dataset.export.tracks import drawn_regions, with_tracks
from labeling.tracks import MODEL_VERSION, track_name


@dataclass
class TrackCount:
    """Takes one annotation after the other.

    A track begins with a region that says nothing of it, so all of those are held as names until the end.
    """

    _tasks: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    _others: set[str] = field(default_factory=set)

    def add(self, task: int, results: object, predictions: Sequence[Mapping[str, Any]] = ()) -> None:
        """Count the results of one annotation.

        Args:
            predictions: of the task, as Label Studio lists them.
        """
        ours = [one for one in predictions if one.get("model_version") == MODEL_VERSION]
        newest = max(ours, key=lambda one: int(one["id"]), default={})
        for region in with_tracks(task, drawn_regions(_read(results)), _read(newest.get("result"))):
            begun = track_name(task, region.id)
            if region.track == begun:
                self._others.add(begun)
            else:
                self._tasks[region.track].add(task)

    @property
    def images(self) -> list[int]:
        """In how many images each track is, the one that it began with among them."""
        return [len(tasks) + (name in self._others) for name, tasks in self._tasks.items()]

    def lines(self) -> list[str]:
        """For people; nothing where there are none."""
        found = self.images
        if not found:
            return []
        return [
            f"{len(found)} tracks of propagated masks, through {median(found):g} images in the middle, "
            f"{max(found)} at most"
        ]

    def as_facts(self) -> dict[str, object]:
        """For `--json`."""
        found = self.images
        return {
            "count": len(found),
            "median_images": median(found) if found else None,
            "most_images": max(found, default=None),
        }


def _read(results: object) -> list[dict[str, Any]]:
    """Without what is no result: scripts write annotations too."""
    return [dict(one) for one in results if isinstance(one, Mapping)] if isinstance(results, list | tuple) else []
