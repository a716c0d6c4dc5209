"""Images over HTTP: each once, however many need it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from backend.caching.disk_lru import TooManyParts
from backend.caching.single_flight import SingleFlight
from backend.errors import Busy, DeadlinePassed, ImageError, SourceUnavailable
from backend.sources.file_cache import Cached, FileCache
from backend.sources.host_shares import HostShares
from backend.sources.http import Answer, Http, OutOfTime
from backend.sources.locations import Location
from backend.sources.source_file import SourceFile
from backend.sources.tokens import TokenSource
from labeling.data_urls import content_of

logger = logging.getLogger(__name__)
PLACES = 64  # CLICK_LIMIT's default
LATER = frozenset({408, 424, 425, 429})  # of the 4xx; 424: Label Studio's storage failed


@dataclass(frozen=True)
class FetchLimits:
    """Bytes and seconds.

    Attributes:
        download_bytes: larger images are refused.
        fresh_seconds: for so long no request is sent again.
        retry_seconds: nor for so long when it did not answer and an older copy is used instead.
    """

    download_bytes: int = 512 * 1024 * 1024
    fresh_seconds: float = 300.0
    retry_seconds: float = 30.0


class Fetcher:
    """Gets images from Label Studio and from other servers. Safe to use from many threads."""

    def __init__(
        self,
        http: Http,
        cache: FileCache,
        tokens: TokenSource | None,
        limits: FetchLimits | None = None,
        shares: HostShares | None = None,
    ) -> None:
        """`tokens` is None where there is no Label Studio."""
        self._http = http
        self._cache = cache
        self._tokens = tokens
        self._limits = limits or FetchLimits()
        self._shares = shares or HostShares(PLACES)
        self._running: SingleFlight[str, Cached] = SingleFlight()

    @property
    def problem(self) -> str | None:
        """Why images are not kept, a sentence; None while they are."""
        return self._cache.problem

    def fetch(self, location: Location, deadline: float) -> SourceFile:
        """The image as a file.

        Raises:
            ImageError: it cannot be had from there, now or later.
            SourceUnavailable: not now.
            Busy: many wait for that server already, or many images arrive.
        """
        url = location.url
        if url is None:
            raise ImageError(f"the image {location.name!r} has no address to fetch it from; set LABEL_STUDIO_URL")
        # Label Studio's resolve link, not where it leads: the signature in that is new every time.
        key = str(url)
        cached = self._fresh(key)
        if cached is None:
            with self._shares.waiting_for(url.host, is_label_studio=location.with_token):
                cached = self._shared(key, url, location, deadline)
        return self._cache.source_file(key, cached, location.name)

    def unpack(self, location: Location, data_url: str) -> SourceFile:
        """An image that the task itself holds, as a file: kept like one that was fetched.

        Raises:
            ImageError: it cannot be read, or is larger than what would be fetched.
            SourceUnavailable: the disk does not take it.
        """
        cached = self._cache.find(data_url)
        if cached is None:
            if len(data_url) > 4 * self._limits.download_bytes:  # the most that its bytes take: all of them `%..`
                raise self._too_large(location)
            try:
                content = content_of(data_url)
            except ValueError as error:
                raise ImageError(f"the image {location.name!r} cannot be read: {error}") from None
            cached = self._kept(data_url, self._bounded(iter([content]), location), location)
        return self._cache.source_file(data_url, cached, location.name)

    def _fresh(self, key: str) -> Cached | None:
        cached = self._cache.find(key)
        return cached if cached and self._cache.age(cached) < self._limits.fresh_seconds else None

    def _shared(self, key: str, url: httpx.URL, location: Location, deadline: float) -> Cached:
        """Fetch, or wait for another thread that is fetching it already."""
        what = f"the image {location.name!r}"
        while True:
            try:
                return self._running.run(
                    key, lambda: self._fresh(key) or self._revalidated(key, url, location, deadline), deadline, what
                )
            except DeadlinePassed:
                raise OutOfTime(f"{what} was not fetched in time; try again in a moment") from None
            except OutOfTime:  # perhaps of the other thread, whose deadline came sooner
                if time.monotonic() >= deadline:
                    raise

    def _revalidated(self, key: str, url: httpx.URL, location: Location, deadline: float) -> Cached:
        """From the server, or the copy that it had before when it has trouble."""
        old = self._cache.find(key)
        try:
            return self._from_server(key, url, location, old, deadline)
        except ImageError:
            self._cache.drop(key)
            raise
        except SourceUnavailable as error:
            if old is None or isinstance(error, OutOfTime):
                raise
            logger.warning("%s; the copy of %r from before is used", error, location.name)
            self._cache.confirm(key, old, self._limits.fresh_seconds - self._limits.retry_seconds)
            return old

    def _from_server(self, key: str, url: httpx.URL, location: Location, old: Cached | None, deadline: float) -> Cached:
        refused: str | None = None
        while True:
            authorization = None
            if location.with_token and self._tokens is not None:
                authorization = self._tokens.authorization(deadline, refused)
            with self._http.get(url, _conditions(old), authorization, deadline) as answer:
                # Once more with another token, if there is one: else `authorization` says so.
                if answer.status == 401 and authorization is not None and refused is None:
                    refused = authorization
                    continue
                return self._taken(key, answer, location, old)

    def _taken(self, key: str, answer: Answer, location: Location, old: Cached | None) -> Cached:
        if answer.status == 304 and old is not None:
            self._cache.confirm(key, old)
            return old
        _check_status(answer, location)
        encoding = answer.headers.get("Content-Encoding", "identity").lower()
        if encoding not in ("", "identity"):
            raise ImageError(f"the image's server {answer.host} sends {location.name!r} packed ({encoding[:20]!r})")
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > self._limits.download_bytes:
            raise self._too_large(location)
        # Without a length a whole file cannot be told from a broken one: it is fetched anew each time.
        etag, changed = (_version(answer, name) if length else "" for name in ("ETag", "Last-Modified"))
        return self._kept(key, self._bounded(answer.body, location), location, etag, changed)

    def _kept(
        self, key: str, body: Iterator[bytes], location: Location, etag: str = "", last_modified: str = ""
    ) -> Cached:
        try:
            return self._cache.store(key, body, etag, last_modified)
        except TooManyParts:
            raise Busy(
                f"the image {location.name!r} has no room: others that arrive now take all of IMAGE_CACHE_DISK_MB; try "
                "again in a moment"
            ) from None
        except OSError as error:
            raise SourceUnavailable(
                f"the image {location.name!r} was read, but cannot be kept: {error.strerror or 'the disk fails'}; "
                "free space in IMAGE_CACHE_DIR or check its owner, then try again"
            ) from error

    def _bounded(self, body: Iterator[bytes], location: Location) -> Iterator[bytes]:
        seen = 0
        for piece in body:
            seen += len(piece)
            if seen > self._limits.download_bytes:
                raise self._too_large(location)
            yield piece

    def _too_large(self, location: Location) -> ImageError:
        return ImageError(
            f"the image {location.name!r} has more than {self._limits.download_bytes / 1024**2:g} MB "
            "(IMAGE_DOWNLOAD_LIMIT_MB)"
        )


def _check_status(answer: Answer, location: Location) -> None:
    status, what = answer.status, f"the image {location.name!r}"
    if status == 200:
        return
    said = f"{answer.host} answered {status} for {what}"
    if status >= 500 or status in LATER or status < 400:
        # Label Studio 1.23.2 answers 500 for an upload that is not there.
        gone = " (or is the file gone?)" if location.with_token and status == 500 else ""
        raise SourceUnavailable(f"{said}{gone}; try again, and if it stays so look into that server's log")
    if location.with_token:
        raise ImageError(f"{said}: is the file still there, and may the user of the backend's token see the project?")
    raise ImageError(f"{said}: is the file still there, and may everybody read it?")


def _conditions(old: Cached | None) -> dict[str, str]:
    if old is None:
        return {}
    conditions = {"If-None-Match": old.etag, "If-Modified-Since": old.last_modified}
    return {name: value for name, value in conditions.items() if value}


def _version(answer: Answer, name: str) -> str:
    value = answer.headers.get(name, "")
    return value if value.isascii() and len(value) <= 1024 else ""
