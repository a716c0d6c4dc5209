"""Which files of the image folder become tasks, and the URL that Label Studio gives each of them.

Rules as in Label Studio's own scan (`LocalFilesImportStorageBase.iter_objects`): the filter is matched from the start
of the file name, sub-folders are walked, and a task's URL is `/data/local-files/?d=<path below the document root>`
with the path percent-encoded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import parse_qs, urlsplit

from core.errors import LabelStudioError
from hosts.base import Host

LOCAL_FILES = "/data/local-files/"
LISTING_TIMEOUT = 300.0


@dataclass(frozen=True)
class ImageFiles:
    """The images of a folder, as paths below it; `links` are those left out because they are symbolic links."""

    paths: frozenset[str]
    links: frozenset[str]


def list_images(host: Host, folder: str, name_filter: str) -> ImageFiles:
    """List the images below `folder` on `host` whose file name matches `name_filter`.

    Symbolic links are left out: what they point to is mostly not there inside the container.

    Raises:
        LabelStudioError: a name is not UTF-8; Label Studio's sync would stop at it.
    """
    listed = host.run(
        *("find", "-H", folder, "(", "-type", "f", "-o", "-type", "l", ")", "-printf", "%y%P\\0"),
        timeout=LISTING_TIMEOUT,
    )
    matches = re.compile(name_filter).match
    found: dict[str, set[str]] = {"f": set(), "l": set()}
    for entry in filter(None, listed.stdout.split("\0")):
        kind, path = entry[0], entry[1:]
        if not matches(PurePosixPath(path).name):
            continue
        if "\N{REPLACEMENT CHARACTER}" in path:
            raise LabelStudioError(
                f"cannot take the images in {folder}: the file name {path!r} is not UTF-8; "
                "rename the file and run `./inv up` again"
            )
        found[kind].add(path)
    return ImageFiles(frozenset(found["f"]), frozenset(found["l"]))


def path_in(folder_name: str, url: str) -> str | None:
    """The path below the mounted folder that a task URL means, or None where it means something else.

    Understands URLs with a host in front too: Label Studio writes those when LABEL_STUDIO_HOST was set at sync.
    """
    parts = urlsplit(url)
    if parts.path.rstrip("/") != LOCAL_FILES.rstrip("/"):
        return None
    below_root = parse_qs(parts.query).get("d", [""])[0]
    prefix = f"{folder_name}/"
    return below_root[len(prefix) :] if below_root.startswith(prefix) else None
