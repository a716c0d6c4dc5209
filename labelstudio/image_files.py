"""Which files of the image folder become tasks, and the URL that Label Studio gives each of them.

Rules as in Label Studio's own scan (`LocalFilesImportStorageBase.iter_objects`): one expression for the file name
(`labeling.image_names`), sub-folders are walked, and a task's URL is `/data/local-files/?d=<path below the document
root>` with the path percent-encoded. Label Studio cannot leave out folders and follows symbolic links to files, and we
do neither: see `ImageFiles.is_plain`.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, parse_qs, urlsplit

from core.errors import LabelStudioError
from hosts.base import Host
from hosts.looking import looks_as_root
from labeling.image_names import file_pattern, skipped_folders_in_find

LOCAL_FILES = "/data/local-files/"
LISTING_TIMEOUT = 300.0
CLOUD_URI = re.compile(r"(?!https?:|file:|data:)[a-z][a-z0-9+.-]*://[^/]", re.IGNORECASE)
# The kind of an entry and of what a link leads to, as find(1) writes them.
FOLDER, LINK_TO_FOLDER, OTHER = "dd", "ld", "other"


@dataclass(frozen=True)
class ImageFiles:
    """What lies in a folder, as paths below it.

    Attributes:
        paths: the images.
        links: symbolic links of an image's name; left out.
        linked_folders: symbolic links to folders; not followed.
        others: files of other names; left out.
        folders: folders of servers and systems; not entered.
    """

    paths: frozenset[str]
    links: frozenset[str]
    linked_folders: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()

    @property
    def is_plain(self) -> bool:
        """Whether Label Studio's own scan, with our expression for file names, finds the same images."""
        return not self.links and not self.folders

    def leaves_out(self, path: str) -> bool:
        """Whether a file that is there, or may be, makes no task: by its name, its folder, or as a link."""
        if path in self.others or path in self.links:
            return True
        return any(str(one) in self.folders | self.linked_folders for one in PurePosixPath(path).parents)


def list_images(host: Host, folder: str, file_filter: str) -> ImageFiles:
    """List the images below `folder` on `host` that a project's filter takes, see `labeling.image_names`.

    Symbolic links are left out: what they point to is mostly not there inside the container.

    Raises:
        LabelStudioError: a name is not UTF-8; Label Studio's sync would stop at it.
    """
    skipped = (*skipped_folders_in_find(), "-printf", r"dd%P\0", "-prune")
    rest = ("(", "-type", "f", "-o", "-type", "l", ")", "-printf", r"%y%Y%P\0")
    command = ("find", "-H", folder, "-mindepth", "1", *skipped, "-o", *rest)
    listed = host.run(*command, timeout=LISTING_TIMEOUT, as_root=looks_as_root(host))
    matches = re.compile(file_pattern(file_filter)).match
    found: dict[str, set[str]] = {kind: set() for kind in ("f", "l", FOLDER, LINK_TO_FOLDER, OTHER)}
    for entry in filter(None, listed.stdout.split("\0")):
        kind, path = entry[:2], entry[2:]
        if kind in (FOLDER, LINK_TO_FOLDER):
            found[kind].add(path)
        elif not matches(PurePosixPath(path).name):
            if kind[0] == "f":
                found[OTHER].add(path)
        elif "\N{REPLACEMENT CHARACTER}" in path:
            raise LabelStudioError(
                f"cannot take the images in {folder}: the file name {path!r} is not UTF-8; "
                "rename the file and run `./inv up` again"
            )
        else:
            found[kind[0]].add(path)
    paths, links, folders, linked, others = (
        frozenset(found[kind]) for kind in ("f", "l", FOLDER, LINK_TO_FOLDER, OTHER)
    )
    return ImageFiles(paths, links, linked, others, folders)


def split_url(url: str) -> SplitResult:
    """The parts of a task's URL; of one that is none, such as half an IPv6 address, all of it is the path."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", url, "", "")


# Of a list of tasks: their data as it was imported. Else Label Studio puts its link of `served_at`, which names neither
# bucket nor key, in the place of a cloud storage's address.
AS_IMPORTED: dict[str, str | int] = {"resolve_uri": "false"}


def served_at(url: str, task_id: int) -> str:
    """Where Label Studio serves a task's image: the URL itself, or its link to an object of a cloud storage."""
    if not CLOUD_URI.match(url):
        return url
    return f"/tasks/{task_id}/resolve/?fileuri={base64.urlsafe_b64encode(url.encode()).decode()}"


def path_in(folder_name: str, url: str) -> str | None:
    """The path below the mounted folder that a task URL means, or None where it means something else.

    Understands URLs with a host in front too: Label Studio writes those when LABEL_STUDIO_HOST was set at sync.
    """
    parts = split_url(url)
    if parts.path.rstrip("/") != LOCAL_FILES.rstrip("/"):
        return None
    below_root = parse_qs(parts.query).get("d", [""])[0]
    prefix = f"{folder_name}/"
    return below_root[len(prefix) :] if below_root.startswith(prefix) else None
