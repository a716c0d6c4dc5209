"""Label Studio's requests, as it sends them: the bodies of clicks and of opened tasks, one connection for each."""

from __future__ import annotations

import http.client
import json
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tools.bench.errors import BackendFailed

TIMEOUT_SECONDS = 100.0  # Label Studio's own
LABEL = "Boat"
# Two palettes of shared labels, as labeling_configs/ writes it: `Labels` beside smart tools and a brush.
CONFIG = """<View>
  <Image name="image" value="$image"/>
  <Labels name="label" toName="image"><Label value="Person"/><Label value="Boat"/></Labels>
  <KeyPoint name="point" toName="image" smart="true"/>
  <Rectangle name="box" toName="image" smart="true"/>
  <Brush name="brush" toName="image" smart="false"/>
</View>"""
STAGE = re.compile(r"\s*([\w-]+)\s*;(?:[^,]*;)?\s*dur=([0-9.]+)")


@dataclass(frozen=True)
class Picture:
    """An image in the backend's folder.

    Attributes:
        task: number of its task.
        name: path below the backend's image folder.
        size_wh: width and height in pixels.
    """

    task: int
    name: str
    size_wh: tuple[int, int]

    @property
    def url(self) -> str:
        """As a task names it."""
        return f"/data/local-files/?d={quote(self.name)}"


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        seconds: from opening the connection to the last byte of the answer.
        stages: milliseconds of each stage, as the backend's `Server-Timing` header tells them; empty without it.
        body: the answer, not yet read.
    """

    seconds: float
    stages: dict[str, float]
    body: bytes

    @property
    def regions(self) -> list[dict[str, Any]]:
        """The results of the one prediction; empty where the backend found nothing."""
        results = json.loads(self.body)["results"]
        predictions = results[0] if isinstance(results[0], list) else results
        return list(predictions[0]["result"]) if predictions else []


def click(picture: Picture, xy_percent: tuple[float, float]) -> bytes:
    """Body of a click on a point that no other prompt belongs to; columns x, y in percent of the image."""
    region_id = uuid.uuid4().hex[:10]
    width, height = picture.size_wh
    value = {"x": xy_percent[0], "y": xy_percent[1], "width": 0.2, "labels": [LABEL]}
    regions = [
        {
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": value,
            "is_positive": True,
            "id": region_id,
            "from_name": from_name,
            "to_name": "image",
            "type": kind,
            "origin": "manual",
        }
        for from_name, kind in (("point", "keypoint"), ("label", "labels"))
    ]
    return _body(picture, {"result": regions})


def opened(picture: Picture) -> bytes:
    """Body of what Label Studio sends when a task is opened, before any click."""
    return _body(picture, None)


def _body(picture: Picture, context: dict[str, Any] | None) -> bytes:
    task = {
        "id": picture.task,
        "data": {"image": picture.url},
        "meta": {},
        "project": 1,
        "annotations": [],
        "drafts": [],
        "predictions": [],
    }
    request = {
        "tasks": [task],
        "project": "1.1767225600",
        "label_config": CONFIG,
        "params": {"login": None, "password": None, "context": context},
    }
    return json.dumps(request).encode()


def predict(port: int, body: bytes) -> Reply:
    """Send one `POST /predict` over a new connection, as Label Studio does, and time it.

    `http.client` because a richer client costs a millisecond or two a call, which is a tenth of what is measured.

    Raises:
        BackendFailed: another status than 200, or no answer.
    """
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        seconds = time.perf_counter() - began
    except (OSError, http.client.HTTPException) as error:
        raise BackendFailed(f"the backend did not answer a click: {type(error).__name__}: {error}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise BackendFailed(f"the backend answered a click with {response.status}: {detail_of(answer)}")
    return Reply(seconds, stages_of(response.getheader("Server-Timing") or ""), answer)


def stages_of(header: str) -> dict[str, float]:
    """Read `Server-Timing: decode;dur=16.2, rle;dur=3` (W3C Server Timing): milliseconds by name."""
    return {name: float(milliseconds) for name, milliseconds in STAGE.findall(header)}


def detail_of(answer: bytes) -> str:
    """The one sentence of the backend's error body."""
    try:
        return str(json.loads(answer)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{len(answer)} bytes that are no error body"
