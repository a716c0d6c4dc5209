"""Label Studio's requests, as it sends them: clicks and opened tasks, a new connection for each."""

from __future__ import annotations

import http.client
import json
import re
import time
import uuid
from typing import Any, NamedTuple

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


class Reply(NamedTuple):
    """The answer to a click."""

    taken: float  # milliseconds from opening the connection to the last byte of the answer
    stages: dict[str, float]  # milliseconds by name
    body: bytes


def click(picture: Picture, number: int) -> bytes:
    """Body of a click on the picture's point of that number; no other prompt belongs to its region."""
    x, y = picture.point(number)
    region: dict[str, Any] = {"id": uuid.uuid4().hex[:10], "to_name": "image", "origin": "manual", "is_positive": True}
    region |= {"value": {"x": x, "y": y, "width": 0.2, "labels": [LABEL]}, "image_rotation": 0}
    region |= {"original_width": picture.size_wh[0], "original_height": picture.size_wh[1]}
    point, label = {"from_name": "point", "type": "keypoint"}, {"from_name": "label", "type": "labels"}
    return opened(picture, {"result": [region | point, region | label]})


def opened(picture: Picture, context: dict[str, Any] | None = None) -> bytes:
    """Body of what Label Studio sends when a task is opened; with the context of a click, for the click."""
    task = {"id": picture.task, "data": {"image": picture.url}, "meta": {}, "project": 1}
    task |= {"annotations": [], "drafts": [], "predictions": []}
    params = {"login": None, "password": None, "context": context}
    request = {"tasks": [task], "project": "1.1767225600", "label_config": CONFIG, "params": params}
    return json.dumps(request).encode()


def predict(port: int, body: bytes) -> Reply:
    """Send one `POST /predict` and time it; `EngineFailed` for an answer other than 200."""
    began = time.perf_counter()
    status, header, answer = exchange(port, "POST", "/predict", body)
    taken = (time.perf_counter() - began) * 1000
    return Reply(taken, stages_of(header), checked("/predict", status, answer))


def exchange(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, str, bytes]:
    """Status, `Server-Timing` header and body of an answer; `EngineFailed` without one.

    `http.client` because a richer client costs a millisecond or two a call, which is a tenth of what is measured.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.getheader("Server-Timing") or "", response.read()
    except (OSError, http.client.HTTPException) as error:
        raise EngineFailed(f"the backend did not answer {path}: {type(error).__name__}: {error}") from None
    finally:
        connection.close()


def checked(path: str, status: int, answer: bytes) -> bytes:
    """The answer; `EngineFailed` with the backend's own sentence where its status is an error."""
    if status < 300:
        return answer
    raise EngineFailed(f"the backend answered {path} with {status}: {answer[:300].decode(errors='replace')}")


def stages_of(header: str) -> dict[str, float]:
    """Read `Server-Timing: decode;dur=16.2, rle;dur=3` (W3C Server Timing): milliseconds by name."""
    return {name: float(milliseconds) for name, milliseconds in STAGE.findall(header)}
