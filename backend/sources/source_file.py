"""A task's image as a file on this machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class SourceFile:
    """An image that can be read now.

    Attributes:
        path: where it lies.
        name: what people call it, for messages: no path of this machine, no signature of a URL.
        identity: another one whenever the content may have changed.
        held: keeps a file in memory alive for as long as this object is.
    """

    path: Path
    name: str
    identity: str
    held: object = field(default=None, compare=False, repr=False)
