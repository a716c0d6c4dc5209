"""Stands for the SAM2 backend behind `python -m backend.ask --lines`: answers with the masks that a test gives it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection
from typing import Any

from hosts.base import Result, check_exit_code
from masks.arrays import Mask
from masks.rle import decode_rle, encode_rle

Refine = Callable[[Mask], Mask | None]


class BackendFake:
    """Anything but `/refine` raises. `refused` is what it says of every image instead, with its status."""

    def __init__(self, refine: Refine, score: float = 0.9) -> None:
        self.refine = refine
        self.score = score
        self.asked: list[dict[str, Any]] = []
        self.refused: tuple[int, str] | None = None
        self.stops_after: int | None = None

    def __call__(
        self,
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = 60.0,
        stdin: bytes | None = None,
        on_line: Callable[[str], None] | None = None,
        tail: int | None = None,
    ) -> Result:
        assert argv == ("python", "-m", "backend.ask", "--lines", "POST", "/refine")
        assert stdin is not None
        requests = [json.loads(line) for line in stdin.splitlines()]
        self.asked += requests
        stopped = self.stops_after is not None and len(requests) > self.stops_after
        lines = [json.dumps(self._answer(one)) for one in requests[: self.stops_after]]
        return check_exit_code("sam2", Result(argv, 137 if stopped else 0, "\n".join(lines), ""), ok)

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.refused is not None:
            return {"status": self.refused[0], "body": {"detail": self.refused[1]}}
        width, height = asked["size_wh"]
        found = [self.refine(decode_rle(base64.b64decode(one), (width, height))) for one in asked["masks"]]
        masks = [
            None if one is None else {"rle": base64.b64encode(bytes(encode_rle(one))).decode(), "score": self.score}
            for one in found
        ]
        return {"status": 200, "body": {"model_version": "demo", "masks": masks}}
