"""Fetch one large file: resumed where it broke off, verified, placed in one step.

Beside the target lie, while it is fetched, `<file>.part` (the bytes so far), `<file>.part.etag` (which version of
the file they belong to) and `<file>.lock` (one process at a time; it stays, empty).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from backend.errors import DownloadError
from backend.weights import integrity
from backend.weights.progress import Progress

CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
SPARE_BYTES = 64 * 1024 * 1024
LOCK_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Limits:
    """How patient a download is. Seconds, bytes.

    Attributes:
        attempts: failures in a row, without a byte of progress, until it gives up.
        connect_attempts: the same, as long as the server has not answered at all: an address that is wrong, or a
            network that is closed, is said after seconds.
        stall_seconds, stall_bytes: fewer bytes than this in so many seconds is a stall.
        total_seconds: for everything, waiting for another process included.
    """

    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    stall_seconds: float = 60.0
    stall_bytes: int = 64 * 1024
    attempts: int = 6
    connect_attempts: int = 3
    backoff_seconds: float = 1.0
    backoff_max_seconds: float = 30.0
    total_seconds: float = 4 * 3600.0


@dataclass(frozen=True)
class Wanted:
    """What to fetch: `size` in bytes is None where it is not recorded."""

    name: str
    url: str
    target: Path
    sha256: str
    size: int | None


class _Interrupted(Exception):
    """This attempt ended early; another may succeed."""


class Downloader:
    """Fetches one file. Use once."""

    def __init__(
        self,
        wanted: Wanted,
        progress: Progress,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._wanted = wanted
        self._progress = progress
        self._limits = limits or Limits()
        self._clock = clock
        self._pause = pause
        self._deadline = clock() + self._limits.total_seconds
        self._part = wanted.target.with_name(wanted.target.name + ".part")
        self._etag = wanted.target.with_name(wanted.target.name + ".part.etag")

    def fetch(self) -> bool:
        """Make sure that the target is there and is the right file.

        Returns:
            True when it was downloaded, False when it was there already.

        Raises:
            DownloadError: with the reason and the next step. The target is then untouched.
        """
        wanted = self._wanted
        try:
            wanted.target.parent.mkdir(parents=True, exist_ok=True)
            with self._alone():
                if integrity.matches(wanted.target, wanted.sha256):
                    return False
                if wanted.target.exists():
                    self._progress.say(f"{wanted.target} is not the file it should be; it will be replaced")
                self._download_verified()
                self._place()
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            hint = "free space there" if full else "check the folder's owner and rights"
            raise DownloadError(
                f"cannot write {wanted.name} to {wanted.target.parent}: {error.strerror or error}; {hint}"
            ) from error
        return True

    def _download_verified(self) -> None:
        for attempt in ("first", "clean"):
            resumed = self._part.exists()
            self._complete_part()
            digest = integrity.file_sha256(self._part)
            if digest == self._wanted.sha256:
                return
            self._drop_part()
            if attempt == "clean" or not resumed:
                raise DownloadError(
                    f"{self._wanted.url} gave a file with SHA-256 {digest}, expected {self._wanted.sha256}; it was "
                    "deleted. Something on the way changed it: check the proxy or the --base-url"
                )
            self._progress.say(f"{self._wanted.name}: the resumed file is damaged; starting again from zero")

    def _complete_part(self) -> None:
        """Transfer until the part is complete, over as many connections as it takes."""
        limits, failures, answered = self._limits, 0, False
        timeout = httpx.Timeout(limits.read_seconds, connect=limits.connect_seconds)
        with httpx.Client(timeout=timeout, follow_redirects=True) as client:
            while True:
                before = self._have()
                try:
                    self._transfer(client)
                except (httpx.TransportError, _Interrupted) as error:
                    reason = str(error) or type(error).__name__
                    answered = answered or not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
                else:
                    return
                failures = 1 if self._have() > before else failures + 1
                wait = min(limits.backoff_max_seconds, limits.backoff_seconds * 2 ** (failures - 1))
                attempts = limits.attempts if answered else min(limits.attempts, limits.connect_attempts)
                if failures >= attempts or self._clock() + wait > self._deadline:
                    raise DownloadError(
                        f"{self._wanted.url} could not be fetched: {reason}; {self._have()} bytes are kept and "
                        "the same command goes on from there"
                    )
                self._progress.say(f"{self._wanted.name}: {reason}; again in {wait:.0f} s")
                self._pause(wait)

    def _transfer(self, client: httpx.Client) -> None:
        """One connection: ask for what is missing, append what comes."""
        have = self._have()
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self._etag.exists():
                headers["If-Range"] = self._etag.read_text(encoding="ascii")
        with client.stream("GET", self._wanted.url, headers=headers) as answer:
            if answer.status_code == 416 and have:
                self._after_refused_range(answer, have)
                return
            self._check_status(answer)
            start, total = _extent(answer)
            if start != have:  # the server sends all of it: refuses ranges, or its file has changed
                if start:
                    raise _Interrupted(f"the server sent bytes from {start} on, asked for {have}")
                self._drop_part()
                have = 0
            self._check_size(have, total)
            self._remember_version(answer)
            self._append(answer, have, total)

    def _append(self, answer: httpx.Response, have: int, total: int | None) -> None:
        limits = self._limits
        self._progress.begin(have)
        window_start, window_bytes = self._clock(), 0
        with self._part.open("ab") as file:
            for chunk in answer.iter_raw():
                file.write(chunk)
                have += len(chunk)
                window_bytes += len(chunk)
                now = self._clock()
                self._progress.update(have, total)
                if now > self._deadline:
                    raise _Interrupted(f"not done after {limits.total_seconds:.0f} s")
                if now - window_start > limits.stall_seconds:
                    if window_bytes < limits.stall_bytes:
                        raise _Interrupted(f"only {window_bytes} bytes in {limits.stall_seconds:.0f} s")
                    window_start, window_bytes = now, 0
        if total is not None and have < total:
            raise _Interrupted(f"the connection ended at {have} of {total} bytes")

    def _after_refused_range(self, answer: httpx.Response, have: int) -> None:
        _, total = _extent(answer)
        if have not in (total, self._wanted.size):
            self._drop_part()
            raise _Interrupted(f"the server refused to go on from byte {have}; starting again from zero")

    def _check_status(self, answer: httpx.Response) -> None:
        if answer.status_code in RETRIED_STATUS:
            raise _Interrupted(f"the server answered {answer.status_code} {answer.reason_phrase}".strip())
        if answer.status_code not in (200, 206):
            raise DownloadError(
                f"{self._wanted.url} answered {answer.status_code} {answer.reason_phrase}; "
                "check the --base-url, or fetch the file elsewhere and put it at "
                f"{self._wanted.target}"
            )

    def _check_size(self, have: int, total: int | None) -> None:
        """Before the first byte: is it the right length, and does it fit?"""
        wanted = self._wanted
        if wanted.size is not None and total is not None and total != wanted.size:
            raise DownloadError(
                f"{wanted.url} offers {total} bytes, but {wanted.name} has {wanted.size}; "
                "is it a login page or a proxy's message?"
            )
        needed = (total or wanted.size or 0) - have + SPARE_BYTES
        free = shutil.disk_usage(wanted.target.parent).free
        if needed > free:
            raise DownloadError(
                f"{wanted.name} needs {needed // 1_000_000} MB in {wanted.target.parent}, but {free // 1_000_000} MB "
                "are free; free space there"
            )

    def _remember_version(self, answer: httpx.Response) -> None:
        """For `If-Range` (RFC 9110, 13.1.5): a strong ETag or the time of the last change."""
        etag = answer.headers.get("ETag", "")
        version = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")
        if version.isascii() and version:
            self._etag.write_text(version, encoding="ascii")
        else:
            self._etag.unlink(missing_ok=True)

    def _place(self) -> None:
        target = self._wanted.target
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
        self._part.chmod(0o644)
        self._part.replace(target)
        self._etag.unlink(missing_ok=True)
        integrity.remember(target, self._wanted.sha256)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock; while another process has it, wait and say so."""
        lock = self._wanted.target.with_name(self._wanted.target.name + ".lock")
        with lock.open("ab") as file:
            is_reported = False
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if self._clock() > self._deadline:
                        raise DownloadError(
                            f"another process holds {lock} for more than {self._limits.total_seconds:.0f} s"
                        ) from None
                if not is_reported:
                    self._progress.say(f"{self._wanted.name}: another process is fetching it; waiting")
                    is_reported = True
                self._pause(LOCK_POLL_SECONDS)
            yield

    def _have(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _drop_part(self) -> None:
        self._part.unlink(missing_ok=True)
        self._etag.unlink(missing_ok=True)


def _extent(answer: httpx.Response) -> tuple[int, int | None]:
    """First byte and total length that an answer speaks of; None where it does not say."""
    if match := CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "")):
        start, total = match.groups()
        return int(start or 0), None if total == "*" else int(total)
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None
