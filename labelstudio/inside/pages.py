"""Which files of a project have several pages, of which people and SAM2 see one; see `masks.pages`."""

from __future__ import annotations

import json
import time
from pathlib import Path

from labelstudio.inside.django_side import say
from masks.pages import pages_of

SECONDS = 30.0  # for all of them: a folder on a server far away may be slow


def main(asked: str) -> None:
    """Tell of files with several pages; `asked` is `{files: [absolute path in the container, ...]}`."""
    deadline = time.monotonic() + SECONDS
    files, seen = json.loads(asked)["files"], 0
    for path in files:
        if time.monotonic() > deadline:
            break
        seen += 1
        count = pages_of(Path(path)).count
        if count > 1:
            say(file=path, pages=count)
    say(seen=seen)
