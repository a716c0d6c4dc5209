"""Values of two databases in a form in which they agree. Needs the standard library only: see `program`."""

from __future__ import annotations

import datetime
import decimal
import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

ROWS, CHARACTERS = 500, 4_000_000  # of one batch
MODULUS = 2**256


class Refused(Exception):
    """The copy cannot be made; says why. The source is as it was."""


@dataclass
class Tally:
    """How many rows, and a digest of them in which their order does not count."""

    rows: int = 0
    total: int = 0

    def add(self, row: Iterable[object]) -> None:
        """Take one more row, as `plain` values."""
        text = json.dumps(list(row), sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        self.total = (self.total + int.from_bytes(digest, "big")) % MODULUS
        self.rows += 1


def plain(value: object) -> object:
    """Return a value in a form in which the two databases agree.

    Raises:
        Refused: an unexpected kind of value.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return ["float", repr(value)]
    if isinstance(value, datetime.datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return ["time", moment.astimezone(datetime.UTC).isoformat()]
    if isinstance(value, datetime.date | datetime.time):
        return ["time", value.isoformat()]
    if isinstance(value, datetime.timedelta):
        return ["span", value // datetime.timedelta(microseconds=1)]
    if isinstance(value, decimal.Decimal):
        return ["decimal", format(value.normalize(), "f")]
    if isinstance(value, uuid.UUID):
        return ["uuid", value.hex]
    if isinstance(value, bytes | memoryview):
        return ["bytes", bytes(value).hex()]
    raise Refused(f"a value of the type {type(value).__name__} cannot be compared")


def plain_json(text: str | None) -> object:
    """Return JSON in a form in which text and PostgreSQL's jsonb agree: there, 1.0 may be 1 and 1e2 is 100."""
    return None if text is None else ["json", json.loads(text, parse_float=_number)]


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() else value


def batches(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    """Split rows so that neither their number nor their text grows without bound: a mask has megabytes."""
    batch: list[Sequence[Any]] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if len(batch) >= ROWS or size >= CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
