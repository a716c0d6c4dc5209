"""A project whose frames follow on each other, and `./inv propagate` in it."""

from __future__ import annotations

from typing import Any

from dataset.propagate.command import PropagateOptions, propagate
from dataset.propagate.tally import Tally
from labeling.tracks import note_of
from labelstudio.models import Project
from labelstudio.projects_file import SequencePart
from masks.arrays import Mask
from masks.rle import decode_rle
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.propagate.stream_fake import StreamFake
from tests.unit.labelstudio.annotated import FUSED, PAIR, SPLIT, brush, rectangle_mask, split_brush, url

SIZE = (48, 20)
CAR, ROAD = rectangle_mask(SIZE, 2, 2, 10, 8), rectangle_mask(SIZE, 4, 12, 16, 18)
COUNT = 8


class Bench:
    """A project of eight frames, the first of which is annotated with a car and a road."""

    def __init__(self, exports: ExportBench, config: str = FUSED) -> None:
        self.exports = exports
        self.server = exports.server
        self.project: Project = self.server.project(config)
        folders = {"rgb": "rgb", "thermal": "thermal"} if config == PAIR else {"image": "set"}
        made = {  # in another order than that of their names
            number: self.server.task(self.project, **{tag: url(f"{folders[tag]}/{number}.png") for tag in folders})
            for number in (9, 10, 2, 4, 3, 7, 5, 6)
        }
        self.tasks = [made[number] for number in sorted(made)]
        self.sam2 = StreamFake()
        results = [*brush(CAR, "Car", "c1"), *brush(ROAD, "Road", "r1")]
        if config == SPLIT:
            results = [*split_brush(CAR, "Car", "c1"), *split_brush(ROAD, "Road", "r1")]
        if config == PAIR:
            (one,) = brush(CAR, "Car", "c1")
            results = [{**one, "id": f"{tag[0]}1", "from_name": f"brush_{tag}", "to_name": tag} for tag in folders]
        self.server.annotate(self.tasks[0], results)

    def run(self, start: int = 0, rule: SequencePart | None = None, **options: Any) -> Tally:
        options.setdefault("frames", None)
        asked = PropagateOptions(None, self.tasks[start], **options)
        return propagate(
            self.exports.client, self.sam2, self.project, rule or SequencePart(), self.exports.report, asked
        )

    def annotate_anew(self, place: int, *results: dict[str, Any]) -> None:
        """The annotation of the frame has these results from now on."""
        self.server.annotations[self.tasks[place]].clear()
        self.server.annotate(self.tasks[place], results)

    def predicted(self, place: int) -> list[dict[str, Any]]:
        found = self.server.predictions[self.tasks[place]]
        assert len(found) <= 1
        return list(found[0]["result"]) if found else []

    def masks(self, place: int) -> dict[str, Mask]:
        return {one["id"]: decode_rle(one["value"]["rle"], SIZE) for one in self.predicted(place)}

    def runs(self, place: int) -> set[str]:
        return {note.run for one in self.predicted(place) if (note := note_of(one)) is not None}

    @property
    def stored(self) -> list[int]:
        return [len(self.server.predictions[task]) for task in self.tasks]

    def track(self, region: str, place: int = 0) -> str:
        return f"{self.tasks[place]}.{region}"
