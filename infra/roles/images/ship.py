"""The state "images on the host": images of this machine's engine travel over SSH, only the layers the host lacks.

No registry is needed. `docker save` writes every layer of an image; `docker load` reads a layer's file only when it
has no layer of that chain (moby, `image/tarexport/load.go`), so the files of those that the host has are left out. An
engine whose store wants every file (containerd's) refuses such an archive, and gets the whole one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import IO, Any

import requests
from docker.errors import DockerException, ImageNotFound

from core.errors import CannotKnow, CommandFailed, FileAccessError, HostError
from core.operation import Change
from core.report import Report
from hosts.base import Host
from infra.roles.docker.client import EngineState, engine_client, engine_state
from infra.roles.docker.packages import ENGINE, is_installed
from infra.roles.images.registry import present

MIB = 1024**2
LOAD_TIMEOUT = 7200.0
SAVE_TIMEOUT = 600  # seconds between two pieces of the archive
CHUNK = MIB


@dataclass(frozen=True)
class Archive:
    """What `docker save` wrote for one image.

    Attributes:
        layers: the files of the layers in the archive, lowest first.
        chains: the chain id of each layer: which layers lie below it, and itself (OCI image specification).
        size: of the archive, in bytes.
    """

    file: IO[bytes]
    layers: tuple[str, ...]
    chains: tuple[str, ...]
    size: int


class ImagesShipped:
    """Images that this machine's engine has are on the host, with the same ids."""

    name = "images on the host"

    def __init__(self, here: Host, host: Host, tags: Sequence[str], report: Report) -> None:
        self._here = here
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
        with self._saved(tag) as archive:
            left_out = files_not_needed(archive, known)
            try:
                self._load(tag, archive, left_out)
            except CommandFailed:
                if not left_out:
                    raise
                self._report.info("      the engine there wants the whole image; sending it again with every layer")
                self._load(tag, archive, frozenset())
        self._compare(tag)

    @contextlib.contextmanager
    def _saved(self, tag: str) -> Iterator[Archive]:
        try:
            with closing(engine_client(self._here, SAVE_TIMEOUT)) as engine, tempfile.TemporaryFile() as spool:
                size = 0
                for piece in engine.images.get(tag).save(chunk_size=CHUNK, named=tag):
                    size += spool.write(piece)
                    self._report.progress(f"reading {tag}: {size // MIB} MiB")
                spool.seek(0)
                yield read_archive(spool, size)
        except ImageNotFound:
            raise HostError(
                f"{self._here.name} has no image {tag} to send; `images: host` in the inventory builds it on the host"
            ) from None
        except (DockerException, requests.RequestException) as error:
            raise HostError(f"{self._here.name}: the image {tag} cannot be read: {error}") from error
        except OSError as error:
            raise FileAccessError(
                f"{self._here.name}: no room for the image {tag} in {tempfile.gettempdir()}: {error.strerror}; "
                "free space there, or name another folder in TMPDIR"
            ) from error

    def _load(self, tag: str, archive: Archive, left_out: frozenset[str]) -> None:
        sent = f"{len(archive.layers) - len(left_out & set(archive.layers))} of {len(archive.layers)} layers"
        reader, writer = os.pipe()
        failed: list[Exception] = []

        def write() -> None:
            try:
                with os.fdopen(writer, "wb") as pipe:
                    copy_without(archive, left_out, pipe, lambda done: self._tell(tag, sent, done))
            except BrokenPipeError:
                pass  # the other side ended; how, its exit code says
            except (OSError, tarfile.TarError) as error:
                failed.append(error)

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        try:
            with os.fdopen(reader, "rb") as pipe:
                self._host.run(
                    *("docker", "load", "--quiet"), stdin=pipe, timeout=LOAD_TIMEOUT, as_root=not self._host.is_local
                )
        finally:
            thread.join()
        if failed:
            raise HostError(f"{self._here.name}: sending {tag} broke off: {failed[0]}") from failed[0]

    def _tell(self, tag: str, sent: str, done: int) -> None:
        self._report.progress(f"sending {tag} ({sent}): {done // MIB} MiB")

    def _compare(self, tag: str) -> None:
        with closing(engine_client(self._here)) as here, closing(engine_client(self._host)) as there:
            if not present([tag], there):
                raise HostError(f"{self._host.name}: the engine loaded {tag} and does not have it; repeat the command")
            ours, theirs = here.images.get(tag).id, there.images.get(tag).id
        if ours != theirs:
            raise HostError(f"{self._host.name}: {tag} arrived as {theirs}, sent was {ours}; repeat the command")


def chain_ids(diff_ids: Sequence[str]) -> tuple[str, ...]:
    """The chain id of each layer, lowest first: `sha256(chain below + " " + diff id)`; OCI image specification."""
    chains: list[str] = []
    for diff_id in diff_ids:
        below = f"{chains[-1]} {diff_id}" if chains else ""
        chains.append(f"sha256:{hashlib.sha256(below.encode()).hexdigest()}" if below else diff_id)
    return tuple(chains)


def known_chains(engine: Any) -> frozenset[str]:
    """The chain ids of every layer that an engine has, by its images."""
    try:
        known: set[str] = set()
        for image in engine.images.list():
            layers = engine.api.inspect_image(image.id).get("RootFS", {}).get("Layers") or []
            known.update(chain_ids(layers))
        return frozenset(known)
    except (DockerException, requests.RequestException) as error:
        raise HostError(f"the docker engine does not list its layers: {error}") from error


def read_archive(file: IO[bytes], size: int) -> Archive:
    """Read what an archive of one image holds, in the form before Docker 25 and after it."""
    with tarfile.open(fileobj=file, mode="r:") as tar:
        (image,) = json.loads(_content(tar, "manifest.json"))
        config = json.loads(_content(tar, image["Config"]))
    file.seek(0)
    return Archive(file, tuple(image["Layers"]), chain_ids(config["rootfs"]["diff_ids"]), size)


def files_not_needed(archive: Archive, known: frozenset[str]) -> frozenset[str]:
    """The layer files that an engine with these chains does not read."""
    needed = {file for file, chain in zip(archive.layers, archive.chains, strict=True) if chain not in known}
    not_needed = frozenset(archive.layers) - needed
    if not not_needed:
        return not_needed
    # The same content in two places of the chain is a link to the first file.
    with tarfile.open(fileobj=archive.file, mode="r:") as tar:
        links = {entry.name: _target(entry) for entry in tar if entry.issym() or entry.islnk()}
    archive.file.seek(0)
    return not_needed - {links[name] for name in needed if name in links}


def copy_without(archive: Archive, left_out: frozenset[str], into: IO[bytes], tell: Any) -> None:
    """Copy an archive as a stream, without some of its files.

    Args:
        tell: called with the number of bytes copied so far.
    """
    done = 0
    archive.file.seek(0)
    with (
        tarfile.open(fileobj=archive.file, mode="r:") as source,
        tarfile.open(fileobj=into, mode="w|", bufsize=CHUNK, format=tarfile.PAX_FORMAT) as target,
    ):
        for entry in source:
            if entry.name in left_out:
                continue
            content = source.extractfile(entry) if entry.isreg() else None
            target.addfile(entry, content)
            done += entry.size
            tell(done)
    archive.file.seek(0)


def _content(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise HostError(f"`docker save` wrote no {name}: this version of Docker is not known here")
    return file.read()


def _target(entry: tarfile.TarInfo) -> str:
    if entry.islnk():
        return entry.linkname
    return os.path.normpath(os.path.join(os.path.dirname(entry.name), entry.linkname))
