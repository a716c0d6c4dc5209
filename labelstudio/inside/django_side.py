"""What our programs inside the label-studio container share. Runs there, where Django is; see `ask_inside`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
MARK = "labelrig-inside "  # a line that begins so is JSON for the other side
REFUSED = 3
LOCK_TRIES = 8
LOCK_PAUSE = 2.0


class Refused(Exception):
    """It cannot be done; says why. What was done before it stays."""


def serve(work: Callable[[dict[str, Any]], None], asked: str) -> None:
    """Set Django up and do the work; a refusal becomes a line and an exit code.

    Args:
        work: gets what was asked, decoded.
        asked: JSON.
    """
    import_module("label_studio")
    sys.path.insert(0, str(Path(str(sys.modules["label_studio"].__file__)).parent))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings.label_studio")
    import_module("django").setup()
    try:
        work(json.loads(asked))
    except Refused as error:
        say(problem=str(error))
        sys.exit(REFUSED)


def say(**facts: object) -> None:
    """Tell the other side."""
    sys.stdout.write(MARK + json.dumps(facts) + "\n")
    sys.stdout.flush()


def get(module: str, name: str) -> Any:
    """A name of Label Studio's or Django's own."""
    return getattr(import_module(module), name)


def in_transaction(body: Callable[[], T]) -> T:
    """Run `body` in one transaction, again where another writer holds SQLite's only lock.

    `body` must begin with a write: SQLite refuses at once, and without waiting, to let a transaction write that has
    read before another one wrote.
    """
    atomic, locked = get("django.db.transaction", "atomic"), get("django.db", "OperationalError")
    for tries_left in range(LOCK_TRIES, -1, -1):
        try:
            with atomic():
                return body()
        except locked:
            if not tries_left or get("django.db", "connection").vendor != "sqlite":
                raise
            time.sleep(LOCK_PAUSE)
    raise AssertionError("unreachable")
