"""The state "images on the host": images travel over SSH, only the layers the host lacks.

They come from this machine's engine, or from a bundle. No registry is needed. `docker save` writes every layer of an
image; `docker load` reads a layer's file only when it has no layer of that chain (moby, `image/tarexport/load.go`), so
the files of those that the host has are left out. An engine whose store wants every file (containerd's) refuses such an
archive, and gets the whole one.
"""

from __future__ import annotations

import contextlib
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing
from typing import IO, Any, Protocol

import requests
from docker.errors import DockerException, ImageNotFound

from core.errors import CannotKnow, CommandFailed, FileAccessError, HostError
from core.operation import Change
from core.report import Report
from hosts.base import Host
from hosts.feeding import run_fed
from infra.roles.docker.client import EngineState, engine_client, engine_state
from infra.roles.docker.packages import ENGINE, is_installed
from infra.roles.images.archive import (
    CHUNK,
    MIB,
    Archive,
    copy_without,
    files_not_needed,
    known_chains,
    read_archive,
)
from infra.roles.images.registry import present

LOAD_TIMEOUT = 7200.0
SAVE_TIMEOUT = 600  # seconds between two pieces of the archive


class ImageSource(Protocol):
    """Where images are sent from. `name` is what people call it in messages."""

    name: str

    def saved(self, tag: str) -> AbstractContextManager[Archive]:
        """The archive of an image, while the context lasts.

        Raises:
            HostError: the image is not there, or cannot be read.
        """

    def arrived_as(self, tag: str, there: Any) -> str | None:
        """What is wrong with an image that another engine has loaded, in words; None where it is the same."""


class EngineImages(ImageSource):
    """The images of an engine."""

    def __init__(self, host: Host, report: Report) -> None:
        self.name = host.name
        self._host = host
        self._report = report

    def write(self, tag: str, into: IO[bytes]) -> int:
        """Write the archive of an image; returns its size in bytes.

        Raises:
            HostError: the image is not there, or cannot be read.
            OSError: it cannot be written.
        """
        size = 0
        try:
            with closing(engine_client(self._host, SAVE_TIMEOUT)) as engine:
                for piece in engine.images.get(tag).save(chunk_size=CHUNK, named=tag):
                    size += into.write(piece)
                    self._report.progress(f"reading {tag}: {size // MIB} MiB")
        except ImageNotFound:
            raise HostError(
                f"{self.name} has no image {tag} to send; `images: host` in the inventory builds it on the host"
            ) from None
        except (DockerException, requests.RequestException) as error:
            raise HostError(f"{self.name}: the image {tag} cannot be read: {error}") from error
        return size

    @contextlib.contextmanager
    def saved(self, tag: str) -> Iterator[Archive]:
        try:
            with tempfile.TemporaryFile() as spool:
                size = self.write(tag, spool)
                spool.seek(0)
                yield read_archive(spool, size)
        except OSError as error:
            raise FileAccessError(
                f"{self.name}: no room for the image {tag} in {tempfile.gettempdir()}: {error.strerror}; "
                "free space there, or name another folder in TMPDIR"
            ) from error

    def arrived_as(self, tag: str, there: Any) -> str | None:
        with closing(engine_client(self._host)) as here:
            ours, theirs = here.images.get(tag).id, there.images.get(tag).id
        return None if ours == theirs else f"{tag} arrived as {theirs}, sent was {ours}"


class ImagesShipped:
    """Images that this machine's engine, or a bundle, has are on the host."""

    name = "images on the host"

    def __init__(
        self, here: Host, host: Host, tags: Sequence[str], report: Report, source: ImageSource | None = None
    ) -> None:
        """Keep what is needed; nothing is read yet.

        Args:
            source: where they come from; by default the engine of `here`.
        """
        self._source = source or EngineImages(here, report)
        self._host = host
        self._tags = tuple(tags)
        self._report = report

    def plan(self) -> list[Change]:
        """One change for each image that the host lacks; all of them where there is no engine yet.

        Raises:
            CannotKnow: the engine that would tell does not run.
        """
        found: list[str] = []
        if engine_state(self._host) is EngineState.ANSWERS:
            with closing(engine_client(self._host)) as there:
                found = present(self._tags, there)
        elif is_installed(self._host, ENGINE):
            raise CannotKnow(f"which images {self._host.name} has is known to its engine, which does not run")
        return [Change(f"send {tag} to the host", self._sender(tag)) for tag in self._tags if tag not in found]

    def _sender(self, tag: str) -> Any:
        return lambda: self._send(tag)

    def _send(self, tag: str) -> None:
        with closing(engine_client(self._host)) as there:
            known = known_chains(there)
        with self._source.saved(tag) as archive:
            left_out = files_not_needed(archive, known)
            try:
                self._load(tag, archive, left_out)
            except CommandFailed:
                if not left_out:
                    raise
                self._report.info("      the engine there wants the whole image; sending it again with every layer")
                self._load(tag, archive, frozenset())
        self._compare(tag)

    def _load(self, tag: str, archive: Archive, left_out: frozenset[str]) -> None:
        sent = f"{len(archive.layers) - len(left_out & set(archive.layers))} of {len(archive.layers)} layers"

        def write(pipe: IO[bytes]) -> None:
            copy_without(archive, left_out, pipe, lambda done: self._tell(tag, sent, done))

        try:
            run_fed(
                self._host, "docker", "load", "--quiet",
                write=write, timeout=LOAD_TIMEOUT, as_root=not self._host.is_local,
            )  # fmt: skip
        except (OSError, tarfile.TarError) as error:
            raise HostError(f"{self._source.name}: sending {tag} broke off: {error}") from error

    def _tell(self, tag: str, sent: str, done: int) -> None:
        self._report.progress(f"sending {tag} ({sent}): {done // MIB} MiB")

    def _compare(self, tag: str) -> None:
        with closing(engine_client(self._host)) as there:
            if not present([tag], there):
                raise HostError(f"{self._host.name}: the engine loaded {tag} and does not have it; repeat the command")
            if (problem := self._source.arrived_as(tag, there)) is not None:
                raise HostError(f"{self._host.name}: {problem}; repeat the command")
