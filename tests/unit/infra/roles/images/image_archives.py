"""Archives of images, made in the two forms that engines write them in, and an engine's way of reading them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Collection, Sequence
from posixpath import dirname, join, normpath

from infra.roles.images.archive import Archive, chain_ids, copy_without, read_archive

TAG = "labelrig/thing:1"
A, B, C = b"layer a", b"layer b", b"layer c"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def chains_of(*layers: bytes) -> tuple[str, ...]:
    return chain_ids([digest_of(layer) for layer in layers])


def packed(entries: Sequence[tuple[str, bytes | str]]) -> bytes:
    """An archive as the engine writes it: bytes are a file, a string is where a link leads."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            elif name.endswith("/"):
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def config_of(layers: Sequence[bytes]) -> bytes:
    return json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]}}).encode()


def saved_before_25(layers: Sequence[bytes], tags: Sequence[str] = (TAG,)) -> bytes:
    """One folder a layer, named after the chain; the same content again is a link to its first file."""
    config = config_of(layers)
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    entries: list[tuple[str, bytes | str]] = [(config_name, config)]
    names: list[str] = []
    first: dict[bytes, str] = {}
    for chain, layer in zip(chains_of(*layers), layers, strict=True):
        folder = hashlib.sha256(f"v1 {chain}".encode()).hexdigest()
        names.append(f"{folder}/layer.tar")
        content = f"../{first[layer]}" if layer in first else layer
        first.setdefault(layer, names[-1])
        entries += [(f"{folder}/", b""), (f"{folder}/VERSION", b"1.0"), (names[-1], content)]
    # By name, as the engine packs them: a link may come before the file it leads to.
    entries.sort(key=lambda entry: entry[0])
    manifest = [{"Config": config_name, "RepoTags": [*tags], "Layers": names}]
    return packed([*entries, ("manifest.json", json.dumps(manifest).encode()), ("repositories", b"{}")])


def saved_since_25(layers: Sequence[bytes], tags: Sequence[str] = (TAG,)) -> bytes:
    """The OCI layout: a file is named after its content, so the same content is one file, named twice."""
    config = config_of(layers)
    blobs = {f"blobs/sha256/{digest_of(one).removeprefix('sha256:')}": one for one in (config, *layers)}
    names = [f"blobs/sha256/{digest_of(layer).removeprefix('sha256:')}" for layer in layers]
    config_name = f"blobs/sha256/{digest_of(config).removeprefix('sha256:')}"
    manifest = [{"Config": config_name, "RepoTags": [*tags], "Layers": names}]
    return packed(
        [
            ("blobs/", b""),
            ("blobs/sha256/", b""),
            *sorted(blobs.items()),
            ("index.json", b"{}"),
            ("manifest.json", json.dumps(manifest).encode()),
            ("oci-layout", b"{}"),
        ]
    )


FORMS: dict[str, Callable[..., bytes]] = {"before-25": saved_before_25, "since-25": saved_since_25}


def opened(content: bytes) -> Archive:
    return read_archive(io.BytesIO(content), len(content))


def entries_of(content: bytes) -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for entry in tar:
            file = tar.extractfile(entry) if entry.isreg() else None
            found[entry.name] = entry.linkname if entry.issym() else file.read() if file is not None else b""
    return found


def filtered(archive: Archive, left_out: frozenset[str]) -> bytes:
    into = io.BytesIO()
    copy_without(archive, left_out, into, lambda _done: None)
    return into.getvalue()


def load(content: bytes, known: Collection[str]) -> tuple[str, ...]:
    """Do what an engine with the layers `known` does with an archive: return the chains it has afterwards.

    Raises:
        FileNotFoundError: a layer that it has not got is not in the archive.
    """
    files = entries_of(content)
    (image,) = json.loads(files["manifest.json"])
    diff_ids = json.loads(files[image["Config"]])["rootfs"]["diff_ids"]
    chains = chain_ids(diff_ids)
    for name, diff_id, chain in zip(image["Layers"], diff_ids, chains, strict=True):
        if chain in known:
            continue
        layer = files.get(name)
        if isinstance(layer, str):
            layer = files.get(normpath(join(dirname(name), layer)))
        if not isinstance(layer, bytes):
            raise FileNotFoundError(name)
        assert digest_of(layer) == diff_id
    return chains
