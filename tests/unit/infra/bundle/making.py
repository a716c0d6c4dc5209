"""Small bundles of made-up parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.repository import REPOSITORY, own_version
from infra.bundle.manifest import BundledImage, Manifest
from infra.bundle.reading import Bundle, open_bundle
from infra.bundle.writing import write_bundle
from infra.roles.images.tags import FOLDERS, debootstrap_base, image_tags

PARTS: Mapping[str, bytes] = {
    "images/sam2-1.tar": b"an archive of an image" * 400,
    "models/tiny.pt": b"weights" * 900,
    "packages/docker.io_1.0_amd64.deb": b"a package",
    "packages/Packages": b"Package: docker.io\n",
    "wheels/thing-1.0-py3-none-any.whl": b"a wheel",
}


def our_tags() -> dict[str, str]:
    """The tags of this tree, on our own base for x86_64."""
    return image_tags(REPOSITORY, debootstrap_base(REPOSITORY, "x86_64"), tuple(FOLDERS))


def manifest(**changes: Any) -> Manifest:
    """Of a bundle of this tree for Debian 12, with an image for each service."""
    values: dict[str, Any] = {
        "labelrig": own_version(),
        "commit": "a" * 40,
        "dirty": False,
        "made": "2026-11-30T04:00:00Z",
        "system": "debian12",
        "machine": "x86_64",
        "base": "debootstrap",
        "images": {name: BundledImage(tag=tag, file="images/sam2-1.tar") for name, tag in our_tags().items()},
        "packages": {"docker.io": "1.0", "docker-compose": "2.26"},
        "models": {"tiny": "models/tiny.pt"},
        "pythons": ("3.11",),
        **changes,
    }
    return Manifest(**values)


def make(folder: Path, parts: Mapping[str, bytes] = PARTS, **changes: Any) -> Path:
    """Write a bundle; its path."""
    parts_folder = folder / "parts"
    for name, content in parts.items():
        path = parts_folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    out = folder / "bundle.tar"
    write_bundle(out, parts_folder, manifest(**changes), lambda _text: None)
    return out


def made(folder: Path, parts: Mapping[str, bytes] = PARTS, **changes: Any) -> Bundle:
    """The same, opened."""
    return open_bundle(make(folder, parts, **changes))
