"""From the URL in a task to the file name in an export: the same image has the same name on every server.

`/data/local-files/?d=set/a%20b.png` is `set/a b.png`: the path below the folder that Label Studio serves.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote

from labeling.data_urls import HEAD, is_data_url
from labelstudio.image_files import CLOUD_URI, LOCAL_FILES, split_url

NOT_IN_NAMES = re.compile(r"[\x00-\x1f\\]")
SUFFIXES = {"jpeg": "jpg", "svg+xml": "svg"}  # where the suffix is not the kind of image that a data URL names
LONGEST_SUFFIX = 20
IMAGE_SUFFIXES = frozenset(
    "avif bmp dng gif heic heif jfif jp2 jpeg jpg mpo pfm pgm png ppm svg tif tiff webp".split()  # noqa: SIM905
)


def file_name_of(url: str) -> str:
    """A relative path without `.`, `..` or an empty part. Uploads and cloud addresses keep their path or key.

    An address whose path does not end as an image's (`/view.php?id=7`) keeps its query, which says which image it is.
    An image that is written into the task (a data URL) is called by its content.
    """
    data = HEAD.match(url)
    if data is not None:
        digest = hashlib.sha256(url.encode("utf-8", "replace")).hexdigest()[:16]
        kind = re.sub(r"[^\w.+-]", "", data["kind"].rpartition("/")[2].lower())[:LONGEST_SUFFIX] or "png"
        return f"data/{digest}.{SUFFIXES.get(kind, kind)}"
    steps = [NOT_IN_NAMES.sub("_", step) for step in _steps(_path(url, "replace"))]
    return "/".join(steps) or "image"


def image_key(url: str) -> str:
    """What two tasks have in common that show one image: the path that Label Studio serves, else the whole URL.

    Two images may have one file name (`?v=1` and `?v=2`, bytes that are not UTF-8); they never have one key.
    """
    if _is_local(url):
        return "/".join([LOCAL_FILES, *_steps(_path(url, "surrogateescape"))])
    if is_data_url(url):
        return file_name_of(url)
    return url if CLOUD_URI.match(url) else url.partition("#")[0]


def _path(url: str, errors: str) -> str:
    """The path that names the image. `errors` says what becomes of bytes that are not UTF-8."""
    # In the key of a cloud storage's object `#` is a character as any other; elsewhere a fragment follows it.
    parts = split_url(url.replace("#", "%23") if CLOUD_URI.match(url) else url)
    if _is_local(url):
        return parse_qs(parts.query, errors=errors).get("d", [""])[0]
    if parts.path.startswith("/data/upload/"):
        return unquote(parts.path.removeprefix("/data/"), errors=errors)
    path = unquote(parts.path, errors=errors)
    if parts.query and PurePosixPath(path).suffix[1:].lower() not in IMAGE_SUFFIXES:
        path = f"{path.rstrip('/')}_{unquote(parts.query, errors=errors).replace('/', '_')}"
    return f"{parts.netloc}/{path}" if parts.netloc else path


def _is_local(url: str) -> bool:
    return split_url(url).path.rstrip("/").endswith(LOCAL_FILES.rstrip("/"))


def _steps(path: str) -> list[str]:
    return [step for step in path.split("/") if step not in ("", ".", "..")]
