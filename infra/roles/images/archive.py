"""The archive of one image, as `docker save` writes it: what is in it, and which of it another engine needs."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import requests
from docker.errors import DockerException

from core.errors import HostError

MIB = 1024**2
CHUNK = MIB
DEFAULT_REGISTRY = "docker.io/"  # part of a name, or left out, as the store likes it


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


def tags_in(file: IO[bytes]) -> frozenset[str]:
    """The tags that an archive gives its image, none where it is no archive of one image: `docker load` uses these.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            (image,) = json.loads(_content(tar, "manifest.json"))
            return frozenset(str(tag).removeprefix(DEFAULT_REGISTRY) for tag in image["RepoTags"] or ())
    except (tarfile.TarError, HostError, ValueError, TypeError, KeyError):
        return frozenset()


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
