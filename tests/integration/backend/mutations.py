"""Recorded requests, broken in every way that a body can be: its structure, its values, its text."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.unit.backend.fakes import V1, V2

UNIT = Path(__file__).parents[2] / "unit" / "backend"
IMAGE_URL = "/data/local-files/?d=set/photo.png"
SIZE_WH = (400, 200)  # of the images that the recorded requests show
METHODS = ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "POST", "FOO")
CONTENT_TYPES = (
    "application/json", "text/plain", "multipart/form-data", "multipart/form-data; boundary=x", "application/xml", "",
    "application/json; charset=utf-16", "application/x-www-form-urlencoded", "x" * 500,
)  # fmt: skip
PATHS = (
    "/", "/health", "/ready", "/versions", "/status", "/metrics", "/openapi.json", "/webhook", "/predict/", "//predict",
    "/embed/none", "/embed/%00", "/embed/..%2f..%2f", "/embed/%ff%fe", "/embed/%0aINFO", "/docs", "/redoc",
    "/" + "a" * 3000,
    "/predict?x=1", "/%2e%2e/etc/passwd", "/PREDICT", "/setup/%F0%9F%98%80",
)  # fmt: skip
BRUSH = "<BrushLabels name='tag' toName='image'><Label value='Banana'/></BrushLabels>"
ENTITIES = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><View>&b;</View>'


@dataclass(frozen=True)
class Sent:
    """One request."""

    method: str
    path: str
    body: bytes
    content_type: str = "application/json"

    def __str__(self) -> str:
        return f"{self.method} {self.path[:80]} {self.content_type[:40]!r} {self.body[:3000]!r}"


def nested(depth: int, *, of: Callable[[Any], Any] = lambda inner: [inner]) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = of(found)
    return found


VALUES: tuple[Any, ...] = (
    None, True, False, [], {}, "", " ", 0, -1, 1, 2, 99.5, 1e308, -1e308, 5e-324, 10**18, 2**63, -(2**63) - 1, 10**400,
    float("nan"), float("inf"), float("-inf"), "x" * 20_000, "\0", "a\nINFO forged", "\ud800", "🙂",
    "NaN", "null", "[]", "{}",
    "../../../etc/passwd", "/etc/passwd", "/data/local-files/?d=../../etc/passwd", "/data/local-files/?d=%00",
    "/data/local-files/?d=set", "/data/local-files/?d=set/text.png", "/data/local-files/", "/data/upload/3/a.png",
    "file:///etc/passwd", "http://127.0.0.1:1/a.png", "http://169.254.169.254/latest", "http://[::1]/", "http://[::1",
    "s3://b/k",
    "data:image/png;base64,AAAA", "<View>", "<View/>", ENTITIES, V1, V2, "<script>alert(1)</script>", "%s%n{0}{{7*7}}",
    [0] * 50_000, list(range(256)) * 40, [255] * 10_000, [-1, 256, 1e9], ["a"] * 1000, [[]] * 1000, [None], [{}],
    {"": {}},
    {"a": 1}, {"x": 1, "y": 1}, nested(50), nested(150), nested(250), nested(200, of=lambda inner: {"a": inner}),
    "keypointlabels", "rectanglelabels", "brushlabels", "ellipselabels", "polygonlabels", "labels", "brush", "polygon",
    '{"output": "polygon"}', '{"keep": "clicked"}', '{"kep": 1}', "[" * 5000, "1" * 5000,
    '{"fill_holes_pixels": 1e400}',
    {"output": "bitmask"}, {"polygon_tolerance_pixels": 0.1, "crop_small_objects": True},
    {"remove_specks_pixels": 10**9},
    "<View><Image name='image' value='$image[" + "9" * 5000 + f"]'/>{BRUSH}</View>",
    f"<View><Image name='image' valueList='$image'/>{BRUSH}</View>", [IMAGE_URL, IMAGE_URL], [IMAGE_URL],
)  # fmt: skip


def recorded() -> list[tuple[str, Any]]:
    """Path and body of every golden request, all with an image that is there."""
    found: list[tuple[str, Any]] = []
    for path in sorted((UNIT / "golden").glob("*.json")):
        exchange = json.loads(path.read_text(encoding="utf-8"))
        if "request" in exchange:
            config = {"v1": V1, "v2": V2}[exchange["label_config"]]
            found.append(("/predict", {**exchange["request"], "label_config": config}))
    found += [
        ("/predict", json.loads(path.read_text(encoding="utf-8"))["request"])
        for path in sorted((UNIT / "golden_requests").glob("*.json"))
    ]
    assert len(found) > 50
    for config in (V1, V2):
        found += [("/setup", {"project": "3.1767225600", "schema": config, "extra_params": {"keep": "largest"}})] * 4
    found += [("/embed", {"key": "3", "images": [{"url": IMAGE_URL, "task": "17"}]}), ("/embed", {"folder": "set"})] * 3
    text = json.dumps(found).replace("/data/upload/3/abc-photo.jpg", IMAGE_URL)
    return [(path, body) for path, body in json.loads(text)]


class Mutator:
    """Makes requests; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._recorded = recorded()

    def request(self) -> Sent:
        """The next one."""
        chance = self._random.random()
        if chance < 0.05:
            path = self._random.choice(PATHS)
            return Sent(self._random.choice(METHODS), path, self._random.choice((b"", b"{}", b"\xff" * 100)))
        path, body = self._random.choice(self._recorded)
        body = copy.deepcopy(body)
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 3, 8))):
            body = self._changed(body)
        text = json.dumps(body, ensure_ascii=self._random.random() < 0.9 or _has_surrogates(body)).encode()
        if self._random.random() < 0.15:
            text = self._broken(text)
        if chance < 0.08:
            return Sent(self._random.choice(METHODS), path, text, self._random.choice(CONTENT_TYPES))
        kind = "application/json" if chance < 0.9 else self._random.choice(CONTENT_TYPES)
        return Sent("POST", path, text, kind)

    def context(self) -> Any:
        """What an annotator's page sends of a click, broken; the rest of such a request is Label Studio's."""
        sent = [body.get("params", {}).get("context") for path, body in self._recorded if path == "/predict"]
        clicks = [context for context in sent if context is not None]
        holder = {"context": copy.deepcopy(self._random.choice(clicks))}
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 3, 8))):
            holder = self._changed(holder)
            if not isinstance(holder, dict):
                return holder
        return holder.get("context")

    def _changed(self, body: Any) -> Any:
        """One change somewhere in the tree; each depth is as likely as another."""
        places = list(_places(body))
        if not places:
            return self._value()
        depth = self._random.choice(sorted({len(one) for one in places}))
        *way, last = self._random.choice([one for one in places if len(one) == depth])
        holder = body
        for step in way:
            holder = holder[step]
        match self._random.randrange(7):
            case 0:
                del holder[last]
            case 1 if isinstance(holder, list):
                holder.extend([holder[last]] * self._random.choice((1, 2, 300)))
            case 2 if isinstance(holder, dict):
                holder[self._random.choice(("x", "", "value", "result", "id", "\0", "type", "🙂"))] = holder.pop(last)
            case 3:
                holder[last] = [holder[last]]
            case 4 if isinstance(holder[last], int | float):
                holder[last] = self._random.choice((-1, 10, 1000, 10**9)) * holder[last]
            case 5:
                holder[last] = str(holder[last])[:1000]
            case _:
                holder[last] = self._value()
        return body

    def _value(self) -> Any:
        return copy.deepcopy(self._random.choice(VALUES))  # later changes must not reach the original

    def _broken(self, text: bytes) -> bytes:
        at = self._random.randrange(len(text))
        ways: Sequence[Callable[[], bytes]] = (
            lambda: text[:at],
            lambda: b"",
            lambda: text[:at] + b"\xff\xfe" + text[at:],
            lambda: text[:at] + bytes([self._random.randrange(256)]) + text[at + 1 :],
            lambda: text + text,
            lambda: b"\xef\xbb\xbf" + text,
            lambda: text.decode().encode("utf-16"),
            lambda: b"[" * 100_000,
            lambda: b'{"tasks": ' * 50_000,
            lambda: text[:-1] + b', "tasks": [], "params": {"context": {"result": []}}}',
            lambda: text.replace(b"50", b"1e999").replace(b": 1,", b": Infinity,"),
            lambda: text.replace(b"result", b"r\\u0065sult\\ud800"),
            lambda: b"null",
            lambda: self._random.randbytes(self._random.randrange(1, 5000)),
        )
        return self._random.choice(ways)()


def _places(tree: Any, way: tuple[Any, ...] = ()) -> Any:
    if len(way) > 12:
        return
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree[:20]) if isinstance(tree, list) else ()
    for key, value in pairs:
        yield (*way, key)
        yield from _places(value, (*way, key))


def _has_surrogates(body: Any) -> bool:
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
