"""Label Studio's requests, as it sends them: the bodies of clicks and of opened tasks, one connection for each."""

from __future__ import annotations

import http.client
import json
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

from tools.bench.pictures import Picture
from tools.bench.results import EngineFailed

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
class Reply:
    """The answer to a click.

    Attributes:
        taken: milliseconds from opening the connection to the last byte of the answer.
        stages: milliseconds by name, from the backend's `Server-Timing` header; empty without it.
        body: the answer as it came.
    """

    taken: float
    stages: dict[str, float]
    body: bytes

    @property
    def regions(self) -> list[dict[str, Any]]:
        """The results of the one prediction; empty where the backend found nothing."""
        results = json.loads(self.body)["results"]
        predictions = results[0] if isinstance(results[0], list) else results
        return list(predictions[0]["result"]) if predictions else []


def click(picture: Picture, number: int) -> bytes:
    """Body of a click on the picture's point of that number; no other prompt belongs to its region."""
    x, y = picture.point(number)
    region: dict[str, Any] = {"id": uuid.uuid4().hex[:10], "to_name": "image", "origin": "manual", "is_positive": True}
    region |= {"value": {"x": x, "y": y, "width": 0.2, "labels": [LABEL]}, "image_rotation": 0}
    region |= {"original_width": picture.size_wh[0], "original_height": picture.size_wh[1]}
    point, label = {"from_name": "point", "type": "keypoint"}, {"from_name": "label", "type": "labels"}
    return _body(picture, {"result": [region | point, region | label]})


def opened(picture: Picture) -> bytes:
    """Body of what Label Studio sends when a task is opened, before any click."""
    return _body(picture, None)


def _body(picture: Picture, context: dict[str, Any] | None) -> bytes:
    task = {"id": picture.task, "data": {"image": picture.url}, "meta": {}, "project": 1}
    request = {
        "tasks": [{**task, "annotations": [], "drafts": [], "predictions": []}],
        "project": "1.1767225600",
        "label_config": CONFIG,
        "params": {"login": None, "password": None, "context": context},
    }
    return json.dumps(request).encode()


def predict(port: int, body: bytes) -> Reply:
    """Send one `POST /predict` and time it.

    Raises:
        EngineFailed: another status than 200, or no answer.
    """
    began = time.perf_counter()
    response, answer = exchange(port, "POST", "/predict", body)
    taken = (time.perf_counter() - began) * 1000
    if response.status != 200:
        raise EngineFailed(f"the backend answered a click with {response.status}: {detail_of(answer)}")
    return Reply(taken, stages_of(response.getheader("Server-Timing") or ""), answer)


def exchange(port: int, method: str, path: str, body: bytes | None = None) -> tuple[http.client.HTTPResponse, bytes]:
    """One request over a new connection, as Label Studio does.

    `http.client` because a richer client costs a millisecond or two a call, which is a tenth of what is measured.

    Raises:
        EngineFailed: no answer.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise EngineFailed(f"the backend did not answer {path}: {type(error).__name__}: {error}") from None
    finally:
        connection.close()


def stages_of(header: str) -> dict[str, float]:
    """Read `Server-Timing: decode;dur=16.2, rle;dur=3` (W3C Server Timing): milliseconds by name."""
    return {name: float(milliseconds) for name, milliseconds in STAGE.findall(header)}


def detail_of(answer: bytes) -> str:
    """The one sentence of the backend's error body."""
    try:
        return str(json.loads(answer)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{len(answer)} bytes without an error message"
