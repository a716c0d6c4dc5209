"""The images of a bundle, as archives for `docker load`. One that was written by an earlier run is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import requests
from docker.errors import DockerException

from core.errors import FileAccessError, HostError
from core.report import Report
from hosts.base import Host
from infra.bundle.manifest import IMAGES, BundledImage
from infra.roles.docker.client import engine_client
from infra.roles.images.archive import tags_in
from infra.roles.images.build import ImageSet
from infra.roles.images.ship import EngineImages

UNFINISHED = ".part"


def image_sizes(here: Host, images: ImageSet) -> dict[str, int]:
    """The bytes of each service's image as the engine counts them; its archive is about as large.

    Raises:
        HostError: the engine does not say.
    """
    with closing(engine_client(here)) as engine:
        try:
            return {service: int(engine.images.get(tag).attrs["Size"]) for service, tag in images.tags.items()}
        except (DockerException, requests.RequestException, KeyError) as error:
            raise HostError(f"the docker engine does not say how large the images are: {error}") from error


def file_names(here: Host, images: ImageSet) -> dict[str, str]:
    """The file of each service's image in a bundle: another image, or the same under another tag, is another file.

    An archive holds both, so the name has a part of the image's id and of its tag's digest.
    """
    with closing(engine_client(here)) as engine:
        ids = {service: str(engine.images.get(tag).id) for service, tag in images.tags.items()}
    return {
        service: f"{IMAGES}/{service}-{found.removeprefix('sha256:')[:12]}-{_digest(images.tags[service])}.tar"
        for service, found in ids.items()
    }


def save_images(here: Host, images: ImageSet, folder: Path, report: Report) -> Mapping[str, BundledImage]:
    """Write the archives into `images/` of a folder, and remove those of other images.

    Raises:
        HostError: an image cannot be read, or the engine saved it under another tag.
        FileAccessError: an archive cannot be written; those that are whole are kept.
    """
    names = file_names(here, images)
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    for path in (folder / IMAGES).iterdir():
        if f"{IMAGES}/{path.name}" not in names.values():
            path.unlink()
    source = EngineImages(here, report)
    for service, name in names.items():
        path, tag = folder / name, images.tags[service]
        if path.exists() and _holds(path, tag):
            continue
        unfinished = path.with_name(path.name + UNFINISHED)
        try:
            with unfinished.open("wb") as into:
                source.write(tag, into)
            if not _holds(unfinished, tag):
                raise HostError(f"{here.name}: the engine saved {tag} without this tag; repeat the command")
            unfinished.replace(path)
        except OSError as error:
            raise FileAccessError(f"{path} cannot be written: {error.strerror}; free space, then repeat") from error
        finally:
            unfinished.unlink(missing_ok=True)
    return {service: BundledImage(tag=images.tags[service], file=name) for service, name in names.items()}


def _digest(tag: str) -> str:
    return hashlib.sha256(tag.encode()).hexdigest()[:8]


def _holds(path: Path, tag: str) -> bool:
    with path.open("rb") as file:
        return tag in tags_in(file)
