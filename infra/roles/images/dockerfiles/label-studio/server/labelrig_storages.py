"""Images in cloud storages: Label Studio streams them itself or redirects to them, and we see how they begin.

Its links (`io_storages/proxy_api.py` of Label Studio 1.23.2) are `/tasks/<id>/resolve/?fileuri=<base64url of s3://...>`,
the same of a project, and the older `presign` of both. A storage with pre-signed URLs answers by 303, else by a stream.
"""

from __future__ import annotations

import base64
import logging
import re
import threading
import time
from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from labelrig_pictures import SNIFFED

logger = logging.getLogger(__name__)
PATH = re.compile(r"/(tasks|projects)/(\d{1,18})/(?:resolve|presign)/?")
SECONDS = 5.0  # a storage that takes longer is left to the browser
AT_ONCE = 8  # of 16 threads that a process has: a storage that hangs does not stop Label Studio


class Link(NamedTuple):
    """An image in a storage, as a task or a project names it."""

    owner: str
    number: int
    fileuri: str

    @property
    def url(self) -> str:
        """As the SAM2 backend asks for it, so that it is fetched once for the picture and for clicks."""
        return f"/{self.owner}/{self.number}/resolve/?fileuri={quote(self.fileuri, safe='=')}"

    @property
    def uri(self) -> str:
        """`s3://bucket/key`, read as Label Studio reads it."""
        try:
            return base64.urlsafe_b64decode(self.fileuri.encode()).decode()
        except ValueError:
            return unquote(self.fileuri)


def link_of(request: Any) -> Link | None:
    """The image that a request asks Label Studio for; None where it asks for something else."""
    found = PATH.fullmatch(request.path_info)
    fileuri = request.GET.get("fileuri")
    return Link(found[1], int(found[2]), fileuri) if found and fileuri else None


def start_of(response: Any) -> bytes:
    """How the file of an answer that streams begins; the answer goes on with the same bytes."""
    pieces, seen = iter(response.streaming_content), list[bytes]()
    while sum(len(one) for one in seen) < SNIFFED and (piece := next(pieces, None)) is not None:
        seen.append(piece)
    response.streaming_content = chain(seen, pieces)
    return b"".join(seen)[:SNIFFED]


class Storages:
    """Reads how objects begin, by the storages' own clients: with their credentials, and Label Studio's guard."""

    def __init__(self, find: Callable[[Link], Any | None] | None = None, seconds: float = SECONDS) -> None:
        """
        Args:
            find: gives the storage of an image, unless a test brings its own.
            seconds: after which the browser is sent on.
        """
        self._find = find or _storage
        self._seconds = seconds
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def start(self, link: Link) -> bytes:
        """How an object begins; nothing where its storage does not say so in time.

        Args:
            link: one that Label Studio has redirected: who asks may see it.
        """
        deadline = time.monotonic() + self._seconds
        try:
            storage = self._find(link)
        except Exception:
            logger.exception("the storage of an image is not found")
            return b""
        if storage is None or not self._places.acquire(timeout=self._seconds):
            return b""
        found: list[bytes] = []
        # The clients wait for a minute, and try again: we do not.
        thread = threading.Thread(
            target=self._read, args=(lambda: _start(storage, link.uri), found), name="start of an object", daemon=True
        )
        thread.start()
        thread.join(max(0.0, deadline - time.monotonic()))
        return found[0] if found else b""

    def _read(self, start: Callable[[], bytes], found: list[bytes]) -> None:
        try:
            found.append(start())
        except Exception:
            logger.exception("a storage does not say how an image begins")
        finally:
            self._places.release()


def _storage(link: Link) -> Any | None:
    """The storage that Label Studio takes for this image: the first of the project that knows its bucket."""
    from io_storages.functions import get_storage_by_url  # type: ignore[import-not-found]
    from projects.models import Project  # type: ignore[import-not-found]
    from tasks.models import Task  # type: ignore[import-not-found]

    if link.owner == "tasks":
        project = Task.objects.select_related("project").get(pk=link.number).project
    else:
        project = Project.objects.get(pk=link.number)
    return get_storage_by_url(link.uri, project.get_all_import_storage_objects)


def _start(storage: Any, uri: str) -> bytes:
    """The first bytes, and no more of a server that sends all."""
    stream, _, _ = storage.get_bytes_stream(uri, range_header=f"bytes=0-{SNIFFED - 1}")
    if stream is None:
        return b""
    try:
        seen = b""
        for piece in stream.iter_chunks(chunk_size=SNIFFED):
            seen += piece
            if len(seen) >= SNIFFED:
                break
        return seen[:SNIFFED]
    finally:
        stream.close()
