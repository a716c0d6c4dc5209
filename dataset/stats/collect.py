"""What a project holds, counted: images, who annotated, masks by class, how large they are, how long they took."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from core.text import aligned, inline
from dataset.export.regions import places_of_prompts_alone
from dataset.stats.coverage import Coverage
from dataset.stats.shapes import ImagePlace, Shape, shapes_in
from dataset.stats.tracks import TrackCount

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from labeling.config import LabelingConfig

# Upper ends of the histogram's bins, in percent of the image.
BINS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
NO_LABEL = "(no label)"
UNREADABLE = "{} regions could not be read as masks and do not count."
SHOWN_IMAGES = 24


@dataclass
class ClassStats:
    """One class.

    Attributes:
        images: in how many images it is.
        areas: of each mask, in percent of its image.
        seconds: of each mask whose annotation has a time: that time, shared among the annotation's masks.
    """

    images: int = 0
    areas: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def masks(self) -> int:
        """How many masks."""
        return len(self.areas)

    @property
    def histogram(self) -> list[int]:
        """Masks by bin of `BINS`."""
        counts = [0] * len(BINS)
        for area in self.areas:
            counts[next((number for number, end in enumerate(BINS) if area <= end), len(BINS) - 1)] += 1
        return counts


@dataclass(frozen=True)
class Example:
    """An annotated image to look at, made small already: masks of full size would fill the memory."""

    task: int
    place: ImagePlace
    image: str
    size_wh: tuple[int, int]
    shapes: tuple[tuple[str, NDArray[np.bool_]], ...]

    @property
    def labels(self) -> frozenset[str]:
        """The classes in it."""
        return frozenset(label for label, _ in self.shapes)


@dataclass
class Stats:
    """All of one project. `by_class` is in the order of the labeling configuration."""

    title: str
    images: int = 0
    annotated: int = 0
    annotations: int = 0
    skipped: int = 0
    unreadable: int = 0
    people: set[int] = field(default_factory=set)
    predicted: dict[str, int] = field(default_factory=dict)
    by_class: dict[str, ClassStats] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)
    tracks: TrackCount = field(default_factory=TrackCount)

    @property
    def masks(self) -> int:
        """All masks."""
        return sum(one.masks for one in self.by_class.values())

    @property
    def seconds_per_mask(self) -> float | None:
        """The middle one of those that are known."""
        known = [seconds for one in self.by_class.values() for seconds in one.seconds]
        return median(known) if known else None


class Collector:
    """Takes one task after the other."""

    def __init__(
        self,
        title: str,
        labels: Sequence[str],
        *,
        labeling: LabelingConfig | None = None,
        wants_complete_maps: bool = False,
    ) -> None:
        """
        Args:
            labeling: the project's configuration, which says what is a prompt; without it nothing is.
        """
        self._labeling = labeling
        self.stats = Stats(title, by_class={label: ClassStats() for label in labels})
        self.stats.coverage.is_wanted = wants_complete_maps
        self._shown: Counter[str] = Counter()

    def add(self, task: Mapping[str, Any], images: Mapping[ImagePlace, str]) -> None:
        """Count one task of Label Studio's list, with its annotations, and its predictions where some are propagated.

        Args:
            images: what each image of the task is called.
        """
        stats = self.stats
        stats.images += len(images)
        done = [one for one in task.get("annotations") or () if not one.get("was_cancelled")]
        stats.skipped += len(task.get("annotations") or ()) - len(done)
        stats.annotations += len(done)
        annotated = {place: image for place, image in images.items() if self._is_annotated(task, done, place)}
        stats.annotated += len(annotated)
        seen: set[tuple[ImagePlace, str]] = set()
        drawn: list[list[Shape]] = []
        for one in done:
            shapes, unreadable = shapes_in(one.get("result") or ())
            stats.tracks.add(int(task["id"]), one.get("result"), task.get("predictions") or ())
            stats.unreadable += unreadable
            drawn.append(shapes)
            if isinstance(one.get("completed_by"), int):
                stats.people.add(one["completed_by"])
            seen |= self._count(shapes, one.get("lead_time"))
            for place, image in images.items():
                self._show(int(task["id"]), place, image, [shape for shape in shapes if shape.place == place])
        for place, image in annotated.items():
            on_image = ([shape for shape in shapes if shape.place == place] for shapes in drawn)
            stats.coverage.add(int(task["id"]), image, on_image)
        for _, label in seen:
            stats.by_class[label].images += 1

    def _is_annotated(self, task: Mapping[str, Any], done: Sequence[Mapping[str, Any]], place: ImagePlace) -> bool:
        """Whether an annotation says what is on an image; as in an export, prompts alone do not."""
        if self._labeling is None:
            return bool(done)
        labeling = self._labeling.for_data(task.get("data") or {})
        return any(place not in places_of_prompts_alone(one.get("result") or (), labeling) for one in done)

    def _count(self, shapes: Sequence[Shape], lead_time: object) -> set[tuple[ImagePlace, str]]:
        each = float(lead_time) / len(shapes) if isinstance(lead_time, int | float) and shapes else None
        seen = set()
        for shape in shapes:
            label = shape.label or NO_LABEL
            one = self.stats.by_class.setdefault(label, ClassStats())
            one.areas.append(100 * float(shape.mask.mean()))
            if each is not None:
                one.seconds.append(each)
            seen.add((shape.place, label))
        return seen

    def _show(self, task: int, place: ImagePlace, image: str, shapes: Sequence[Shape]) -> None:
        """Keep it as an example where it shows a class of which there are few."""
        labels = {shape.label or NO_LABEL for shape in shapes}
        if not labels or (len(self.stats.examples) >= SHOWN_IMAGES and min(self._shown[one] for one in labels)):
            return
        height, width = shapes[0].mask.shape
        step = max(1, width // THUMBNAIL_WIDTH)
        small = tuple((shape.label or NO_LABEL, shape.mask[::step, ::step].copy()) for shape in shapes)
        self.stats.examples.append(Example(task, place, image, (width, height), small))
        self._shown.update(labels)
        if len(self.stats.examples) > SHOWN_IMAGES:
            self._drop_one()

    def _drop_one(self) -> None:
        """The example whose classes are shown most often."""
        worst = max(self.stats.examples, key=lambda one: min(self._shown[label] for label in one.labels))
        self.stats.examples.remove(worst)
        self._shown.subtract(worst.labels)


THUMBNAIL_WIDTH = 480


def table(stats: Stats) -> str:
    """The same as text."""
    rows = [("class", "masks", "images", "median area", "median time")]
    for label, one in stats.by_class.items():
        area = f"{median(one.areas):.2f} %" if one.areas else ""
        seconds = f"{median(one.seconds):.1f} s" if one.seconds else ""
        rows.append((inline(label), str(one.masks), str(one.images), area, seconds))
    share = f"{100 * stats.annotated / stats.images:.0f} %" if stats.images else "none"
    head = f"{inline(stats.title)}: {stats.images} images, {stats.annotated} annotated ({share}), {stats.masks} masks"
    remarks = [UNREADABLE.format(stats.unreadable)] if stats.unreadable else []
    return "\n".join([head, "", *aligned(rows), *stats.coverage.lines(), *stats.tracks.lines(), *remarks])


def as_facts(stats: Stats) -> dict[str, object]:
    """The same for `--json`."""
    classes: dict[str, dict[str, object]] = defaultdict(dict)
    for label, one in stats.by_class.items():
        classes[label] = {
            "masks": one.masks,
            "images": one.images,
            "median_area_percent": median(one.areas) if one.areas else None,
            "median_seconds": median(one.seconds) if one.seconds else None,
            "histogram": one.histogram,
        }
    return {
        "images": stats.images,
        "annotated": stats.annotated,
        "annotations": stats.annotations,
        "skipped": stats.skipped,
        "unreadable": stats.unreadable,
        "people": len(stats.people),
        "masks": stats.masks,
        "median_seconds_per_mask": stats.seconds_per_mask,
        "predicted": stats.predicted,
        "unlabelled": stats.coverage.as_facts(),
        "tracks": stats.tracks.as_facts(),
        "bins_percent": list(BINS),
        "classes": dict(classes),
    }
