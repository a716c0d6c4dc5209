"""Images in the folder that Label Studio and the backend share: no HTTP, no token."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs

from backend.errors import ImageError
from backend.sources.source_file import SourceFile

LOCAL_FILES_PATH = "/data/local-files/"


class NotMounted(ImageError):
    """The mount has no such file. Label Studio may still have it."""


class Mount:
    """The shared folder."""

    def __init__(self, root: Path) -> None:
        """
        Args:
            root: the folder that Label Studio serves as its document root.
        """
        self._root = root

    def find(self, name: str) -> SourceFile:
        """The file of that name, after links, which must still lie below the root.

        Raises:
            NotMounted: it is not there.
            ImageError: it is not a file, or lies elsewhere.
        """
        real_root = self._root.resolve()
        try:
            path = (real_root / name).resolve()
            if not path.is_relative_to(real_root):
                raise ImageError(f"the image {name!r} lies outside the shared folder; it is not read")
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise NotMounted(
                f"the image {name!r} is not in {self._root}: is the same folder mounted here as in Label Studio?"
            ) from None
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "a link that leads to itself"
            raise ImageError(f"the image {name!r} cannot be reached: {reason}") from None
        if not path.is_file():
            raise ImageError(f"the image {name!r} is not a file")
        identity = f"{path}\n{status.st_size}\n{status.st_mtime_ns}\n{status.st_ino}"
        return SourceFile(path, name, identity)


def name_in_query(query: str) -> str:
    """The path below the document root that the query of a local-files URL names, decoded.

    Raises:
        ImageError: it names none, or several.
    """
    try:
        names = parse_qs(query, errors="strict").get("d", [])
    except ValueError:
        names = []
    if len(names) != 1 or "\0" in names[0]:
        raise ImageError(f"the task's image URL {LOCAL_FILES_PATH} names no file: expected ?d=<path>")
    return names[0]
