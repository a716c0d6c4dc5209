"""From the URL in a task to the file name in an export: the same image has the same name on every server.

`/data/local-files/?d=set/a%20b.png` is `set/a b.png`: the path below the folder that Label Studio serves.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from labelstudio.image_files import LOCAL_FILES


def file_name_of(url: str) -> str:
    """A relative path without `.`, `..` or an empty part. Uploads and cloud addresses keep their path or key."""
    parts = urlsplit(url)
    if parts.path.rstrip("/").endswith(LOCAL_FILES.rstrip("/")):
        path = parse_qs(parts.query).get("d", [""])[0]
    elif parts.path.startswith("/data/upload/"):
        path = unquote(parts.path.removeprefix("/data/"))
    else:
        path = f"{parts.netloc}/{unquote(parts.path)}" if parts.netloc else unquote(parts.path)
    steps = [re.sub(r"[\x00-\x1f\\]", "_", step) for step in path.split("/") if step not in ("", ".", "..")]
    return "/".join(steps) or "image"


class FileNames:
    """Names for the files beside images, each given once: `a.png` and `a.jpg` both want `a.txt`."""

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix
        self._taken: set[str] = set()

    def beside(self, file_name: str, task_id: int) -> str:
        """The image's path with our suffix; with the task's number in it where that was given already."""
        path = PurePosixPath(file_name)
        name = str(path.with_suffix(self._suffix))
        if name in self._taken:
            name = str(path.with_name(f"{path.stem}.task{task_id}{self._suffix}"))
        number = 2
        while name in self._taken:
            name = str(path.with_name(f"{path.stem}.task{task_id}-{number}{self._suffix}"))
            number += 1
        self._taken.add(name)
        return name
