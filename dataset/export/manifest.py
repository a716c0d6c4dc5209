"""What an export holds: counted while it is written, and written down beside it with the checksum of every file."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
SHOWN_PROBLEMS = 100


@dataclass
class Tally:
    """Counts of one export. `pixels` are of masks as they were drawn, before later ones lie above them.

    `problems` are things that could not be exported, in sentences; `left_out` counts what was left out on purpose.
    """

    images: int = 0
    images_without_regions: int = 0
    regions: Counter[str] = field(default_factory=Counter)
    images_of: Counter[str] = field(default_factory=Counter)
    pixels: Counter[str] = field(default_factory=Counter)
    annotations: Counter[str] = field(default_factory=Counter)
    regions_by: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def as_json(self, ids: dict[str, int]) -> dict[str, Any]:
        """For the manifest; `ids` are the numbers of all classes."""
        return {
            "images": self.images,
            "images_without_regions": self.images_without_regions,
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


def write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    """Write `manifest.json` with the facts and the size and SHA-256 of every other file."""
    files = {}
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        files[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": digest}
    text = json.dumps({**facts, "files": files}, indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
