"""What eight annotators ask of one backend, and how an answer is told from any other."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from demo import clicks
from tests.unit.backend.fakes import click, region

# A label for each way of asking, so that a box of one does not count for the points of another.
CONFIG = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="Point"/><Label value="Box"/><Label value="Both"/></BrushLabels>
  <KeyPointLabels name="point" toName="image" smart="true">
    <Label value="Point"/><Label value="Box"/><Label value="Both"/></KeyPointLabels>
  <RectangleLabels name="box" toName="image" smart="true">
    <Label value="Point"/><Label value="Box"/><Label value="Both"/></RectangleLabels>
</View>"""


@dataclass(frozen=True)
class Drawn:
    """One prompt, in pixels: a point, or a box as left, top, right, bottom."""

    at: tuple[float, ...]
    positive: bool = True

    def region(self, label: str, size_wh: tuple[int, int], id: str) -> dict[str, object]:
        """As the editor sends it; a point is the middle of its pixel."""
        width, height = size_wh
        if len(self.at) == 2:
            x, y = ((at + 0.5) / side * 100 for at, side in zip(self.at, size_wh, strict=True))
            return region("keypointlabels", x, y, label=label, size_wh=size_wh, id=id, positive=self.positive)
        x0, y0, x1, y1 = self.at
        x, y, wide, high = x0 / width * 100, y0 / height * 100, (x1 - x0) / width * 100, (y1 - y0) / height * 100
        return region("rectanglelabels", x, y, label=label, size_wh=size_wh, id=id, width=wide, height=high)


@dataclass(frozen=True)
class Ask:
    """One click: all prompts that are on the screen then."""

    image: str
    label: str
    prompts: tuple[Drawn, ...]


@dataclass(frozen=True)
class Annotator:
    """Somebody at a browser. `tasks` tells whether the tasks are shared with others or are a copy of the images."""

    name: str
    tasks: int
    images: dict[str, tuple[int, int]] = field(repr=False)

    def body(self, ask: Ask, ids: Sequence[str]) -> dict[str, object]:
        """Of `POST /predict`, with the annotator's name in an empty draft."""
        size_wh = self.images[ask.image]
        drawn = [one.region(ask.label, size_wh, id) for one, id in zip(ask.prompts, ids, strict=True)]
        body: Any = click(*drawn, config=CONFIG, image=ask.image)
        task = body["tasks"][0]
        task["id"] = 1000 * self.tasks + sorted(self.images).index(ask.image)
        task["drafts"] = [{"id": 1, "user": self.name, "updated_at": "2026-11-23T10:11:17.131415Z", "result": []}]
        return body  # type: ignore[no-any-return]

    def draw(self, client: httpx.Client, chain: Sequence[Ask]) -> list[tuple[str, Any]]:
        """Ask one after the other under the ids that the prompts keep; the answers' digests and regions."""
        ids = [uuid.uuid4().hex[:10] for _ in range(max(len(one.prompts) for one in chain))]
        found = []
        for number, ask in enumerate(chain):
            # The points that follow a box are another object's to the editor: they have ids of their own.
            first = number if ask.label == "Both" else 0
            own = [f"{first}{id}" for id in ids[: len(ask.prompts)]]
            answer = client.post("/predict", json=self.body(ask, own))
            assert answer.status_code == 200, f"{ask}: {answer.status_code} {answer.text}"
            found.append(digest_of(answer.json()))
        return found


def digest_of(body: Any) -> tuple[str, Any]:
    """What an answer says without the region's id, which is new each time; and its results."""
    (prediction,) = body["results"]
    said = [{key: value for key, value in one.items() if key != "id"} for one in prediction["result"]]
    text = json.dumps([prediction["score"], said], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest(), prediction["result"]


def chains_of(scenes: Path) -> dict[tuple[Ask, ...], Path]:
    """Every way to ask for every drawn object, and the file of its true mask.

    A point, a box, a point that is corrected twice, and a box with a point that comes after it. The point of the
    last two is never the lone point: which of two masks a third starts from would depend on which came last.
    """
    found: dict[tuple[Ask, ...], Path] = {}
    rng = np.random.default_rng(5)
    for path in sorted((scenes / "truth").glob("scene-*.json")):
        image = f"images/{path.stem}.png"
        for one in json.loads(path.read_text(encoding="utf-8")):
            truth = path.parent / one["mask"]
            point = Drawn(tuple(one["click_xy"]))
            box = Drawn(tuple(one["box_xyxy"]))
            more = Drawn(clicks.random_inner_point(rng, np.asarray(Image.open(truth)) > 127))
            if more == point:
                continue
            found[Ask(image, "Point", (point,)),] = truth
            found[Ask(image, "Box", (box,)),] = truth
            found[Ask(image, "Both", (box,)), Ask(image, "Both", (more,))] = truth
            if one["negative_xy"]:
                outside = Drawn(tuple(one["negative_xy"]), positive=False)
                steps = ((point,), (point, outside), (point, outside, more))
                found[tuple(Ask(image, "Point", step) for step in steps)] = truth
    return found
