"""From a task's image URL to a file on this machine."""

from __future__ import annotations

from pathlib import Path

from backend.errors import ImageError, SourceUnavailable
from backend.sources.addresses import HostPolicy, parse_hosts
from backend.sources.fetch import PLACES, Fetcher, FetchLimits
from backend.sources.file_cache import FileCache
from backend.sources.host_shares import HostShares
from backend.sources.http import Http
from backend.sources.locations import Location, Locator
from backend.sources.mount import Mount, NotMounted
from backend.sources.source_file import SourceFile
from backend.sources.tokens import TokenSource, refresh_at

SPARE_BYTES = 1 << 30  # left free for whatever else lives on the disk of fetched images


class ImageSources:
    """Opens the images of tasks. Safe to use from many threads."""

    def __init__(self, root: Path, fetcher: Fetcher | None, locator: Locator | None = None) -> None:
        """
        Args:
            root: the shared image folder.
            fetcher: for everything else; None reads the shared folder alone.
            locator: knows the address of Label Studio.
        """
        self._mount = Mount(root)
        self._fetcher = fetcher
        self._locator = locator or Locator()

    @property
    def problem(self) -> str | None:
        """Why fetched images are not kept, a sentence; None while they are."""
        return None if self._fetcher is None else self._fetcher.problem

    def open(self, url: str, task_id: str | None, deadline: float) -> SourceFile:
        """A task's image as a file.

        Args:
            url: what the task's data holds, see `backend.sources.locations`.
            task_id: whose data that is; needed for cloud storages.
            deadline: `time.monotonic()` until when to fetch.

        Raises:
            ImageError: it cannot be had, now or later.
            SourceUnavailable: its server does not give it now.
        """
        location = self._locator.locate(url, task_id)
        if location.mounted is not None:
            try:
                return self._mount.find(location.mounted)
            except NotMounted as missing:
                return self._after_mount(location, missing, deadline)
        if self._fetcher is not None and location.data_url is not None:
            return self._fetcher.unpack(location, location.data_url)
        if self._fetcher is None:
            raise ImageError(
                f"the image {location.name!r} would have to be fetched, but this backend reads the shared folder only"
            )
        return self._fetcher.fetch(location, deadline)

    def _after_mount(self, location: Location, missing: NotMounted, deadline: float) -> SourceFile:
        """The folder may be Label Studio's alone."""
        if self._fetcher is None or location.url is None:
            raise missing
        try:
            return self._fetcher.fetch(location, deadline)
        except (ImageError, SourceUnavailable) as error:
            kind = ImageError if isinstance(error, ImageError) else SourceUnavailable
            raise kind(f"{missing} Asked for by HTTP instead: {error}") from None


def open_sources(
    root: Path,
    cache_folder: Path,
    cache_bytes: int,
    *,
    label_studio_url: str | None = None,
    label_studio_public_url: str | None = None,
    api_key: str | None = None,
    api_key_file: Path | None = None,
    hosts_allowed: str = "",
    limits: FetchLimits | None = None,
    places: int = PLACES,
) -> ImageSources:
    """All sources of images together, as the settings say.

    Args:
        places: of all clicks, of which each server may take a share.

    Raises:
        ValueError: `hosts_allowed` is not a list of hosts.
    """
    http = Http(HostPolicy(label_studio_url, parse_hosts(hosts_allowed)))
    tokens = TokenSource(api_key, api_key_file, refresh_at(label_studio_url, http)) if label_studio_url else None
    fetcher = Fetcher(
        http, FileCache(cache_folder, cache_bytes, spare_bytes=SPARE_BYTES), tokens, limits, HostShares(places)
    )
    return ImageSources(root, fetcher, Locator(label_studio_url, label_studio_public_url))
