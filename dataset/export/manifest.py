"""What an export holds: counted while it is written, and written down beside it with the checksum of every file."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.text import inline, shortened, some

MANIFEST = "manifest.json"
SHOWN_PROBLEMS = 100
# Why something is not in the export, and what to do about it where it is a person's work.
REASONS = {
    "annotation not selected": "older ones of their tasks, or not of this selection; --annotations all takes all",
    "annotation skipped": "their annotators pressed Skip",
    "draft": "drawn and never submitted: open these tasks and press Submit or Update",
    "empty": "masks without a pixel",
    "further label": "a region counts as its first label; coco and rle-json list the others",
    "ghost": "second results of masks with the label of another tag; the masks themselves are exported",
    "image with prompts alone": "points or boxes and no mask: an object was meant, so the image is no empty one; open "
    "these tasks and draw it, or delete the prompts",
    "key point": "they prompt the model",
    "image beside the pair": "images of tags that are not of the pair; --image and --to-image name the two",
    "label not selected": "regions with labels that --labels does not name",
    "label without a shape": "nothing was drawn for them",
    "no image size": "results that do not say how large their image is",
    "no label": "regions that need a label: select them in Label Studio and give them one",
    "not in this configuration": "regions of tags or labels that the version of --config-version lacks",
    "picture without twin": "no picture of the other project has their name, or several have",
    "prompt": 'rectangles beside a brush, bitmask or polygon ask the model for a mask; smart="false" at their tag '
    "exports them",
    "refused pair": "pictures of pairs that the registration refused",
    "vector": "no format takes them",
}


@dataclass
class Tally:
    """Counts of one export. `pixels` are of masks as they were drawn, before later ones lie above them.

    `problems` are things that could not be exported, in sentences; `left_out` counts what was left out on purpose, by
    the words of `REASONS`. `drafts` are the tasks that hold one, `merged` the images that several tasks show, each
    with those tasks.
    """

    images: int = 0
    images_without_regions: int = 0
    regions: Counter[str] = field(default_factory=Counter)
    images_of: Counter[str] = field(default_factory=Counter)
    pixels: Counter[str] = field(default_factory=Counter)
    annotations: Counter[str] = field(default_factory=Counter)
    regions_by: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    drafts: list[int] = field(default_factory=list)
    merged: dict[str, Sequence[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def problem(self, text: str) -> None:
        """Add a problem. What a task says may be long (an image as a data URL): a sentence is not."""
        self.problems.append(shortened(inline(text)))

    def note(self, text: str) -> None:
        """Add what a reader of the export must know, and nothing lacks for."""
        self.notes.append(shortened(inline(text)))

    def report_lines(self) -> list[str]:
        """A line for each reason, for people."""
        lines = [
            f"left out: {number} x {reason} ({REASONS.get(reason, '')}{self._tasks(reason)})"
            for reason, number in sorted(self.left_out.items())
            if number
        ]
        if self.merged:
            first, tasks = next(iter(self.merged.items()))
            lines.append(
                f"{len(self.merged)} images are shown by several tasks, whose masks are put together ({first}: tasks "
                f"{some(tasks)})"
            )
        return [shortened(inline(one)) for one in lines] + self.notes

    def as_json(self, ids: dict[str, int]) -> dict[str, Any]:
        """For the manifest; `ids` are the numbers of all classes."""
        return {
            "images": self.images,
            "images_without_regions": self.images_without_regions,
            "images_of_several_tasks": len(self.merged),
            "regions": sum(self.regions.values()),
            "classes": {
                label: {
                    "id": number,
                    "regions": self.regions[label],
                    "images": self.images_of[label],
                    "pixels": self.pixels[label],
                }
                for label, number in sorted(ids.items(), key=lambda one: one[1])
            },
            "annotators": {
                who: {"annotations": number, "regions": self.regions_by[who]}
                for who, number in sorted(self.annotations.items())
            },
            "left_out": {reason: number for reason, number in sorted(self.left_out.items()) if number},
            "problems": self.problems[:SHOWN_PROBLEMS],
            "problem_count": len(self.problems),
        }

    def _tasks(self, reason: str) -> str:
        return f"; tasks {some(self.drafts)}" if reason == "draft" else ""


def write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    """Write `manifest.json` with the facts and the size and SHA-256 of every other file."""
    files = {}
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        files[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": digest}
    text = json.dumps({**facts, "files": files}, indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
