"""Stands for the SAM2 backend behind `python -m backend.ask --stream`: objects go right by `SPEED` pixels a frame."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from hosts.base import Result, check_exit_code
from masks.arrays import Mask
from masks.rle import decode_rle, encode_rle

VERSION = "demo@01234567+0.2.0"
SPEED = 2


class StreamFake:
    """Anything but `/versions`, `/propagate` and its DELETE raises.

    Attributes:
        absent, doubted: frames on which a track is not, or its mask is not believed, by a part of its name.
        unreadable: frames whose image cannot be read.
        stops_before: the backend dies before this frame, or as `ends` says: the exit code and the last words.
        error: said in place of this frame, with status 503.
        refuses: what it answers instead of a stream.
        asked: the bodies of all requests; `cancelled` the paths of the DELETEs.
        on_frame: called before each frame.
    """

    def __init__(self) -> None:
        self.absent: Mapping[str, Collection[int]] = {}
        self.doubted: Mapping[str, Collection[int]] = {}
        self.unreadable: Collection[int] = ()
        self.stops_before: int | None = None
        self.ends = (137, "")
        self.error: tuple[int, str] | None = None
        self.refuses: str | None = None
        self.version = VERSION
        self.asked: list[dict[str, Any]] = []
        self.cancelled: list[str] = []
        self.on_frame: Callable[[int], None] = lambda _number: None

    def __call__(
        self,
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = 60.0,
        stdin: bytes | None = None,
        on_line: Callable[[str], None] | None = None,
        tail: int | None = None,
    ) -> Result:
        code, lines, words = 0, list[str](), ""
        if argv[-2:] == ("GET", "/versions"):
            lines = [json.dumps({"versions": [self.version]})]
        elif argv[-2] == "DELETE":
            self.cancelled.append(argv[-1])
            lines = [json.dumps({"cancelled": True})]
        else:
            assert argv == ("python", "-m", "backend.ask", "--stream", "POST", "/propagate")
            assert stdin is not None
            assert on_line is not None
            assert tail is not None, "the masks of a long run are gigabytes"
            asked = json.loads(stdin)
            self.asked.append(asked)
            code = self._stream(asked, on_line)
            words = self.ends[1] if code == self.ends[0] else ""
        return check_exit_code("sam2", Result(argv, code, "\n".join(lines), words), ok)

    def _stream(self, asked: dict[str, Any], on_line: Callable[[str], None]) -> int:
        if self.refuses is not None:
            on_line(json.dumps({"detail": self.refuses, "request_id": "1"}))
            return 1
        on_line(json.dumps({"model_version": self.version, "frames": len(asked["frames"])}))
        for frame in asked["frames"]:
            number = frame["number"]
            self.on_frame(number)
            on_line("")  # as while a frame takes long
            if number == self.stops_before:
                return self.ends[0]
            if self.error is not None and number == self.error[0]:
                on_line(json.dumps({"error": self.error[1], "status": 503}))
                return 0
            on_line(json.dumps(self._frame(asked, frame)))
        on_line(json.dumps({"done": True}))
        return 0

    def _frame(self, asked: dict[str, Any], frame: dict[str, Any]) -> dict[str, Any]:
        number = frame["number"]
        about = {"frame": number, "task": frame["task"]}
        if number in self.unreadable:
            return {**about, "problem": "the image cannot be read"}
        nearest = asked["anchors"][0]
        masks = {}
        for track, code in nearest["masks"].items():
            size_wh = tuple(nearest["size_wh"])
            mask = moved(decode_rle(base64.b64decode(code), size_wh), number - nearest["number"])
            there, left_out = not _says(self.absent, track, number), _says(self.doubted, track, number)
            rle = base64.b64encode(bytes(encode_rle(mask))).decode() if there and not left_out else None
            about_it = {"score": 0.9, "presence": 0.95 if there else 0.1, "ended": False, "doubted": left_out}
            masks[track] = {"rle": rle, **about_it}
        return {**about, "size_wh": nearest["size_wh"], "masks": masks}


def _says(frames: Mapping[str, Collection[int]], track: str, number: int) -> bool:
    return any(part in track and number in numbers for part, numbers in frames.items())


def moved(mask: Mask, frames: int) -> Mask:
    """The mask after so many frames."""
    return np.asarray(np.roll(mask, SPEED * frames, axis=1))
