"""The images of a bundle, as archives for `docker load`. One that was written by an earlier run is kept."""

from __future__ import annotations

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
    """The file of each service's image in a bundle: with a part of its id, so that another image is another file."""
    with closing(engine_client(here)) as engine:
        ids = {service: str(engine.images.get(tag).id) for service, tag in images.tags.items()}
    return {service: f"{IMAGES}/{service}-{found.removeprefix('sha256:')[:12]}.tar" for service, found in ids.items()}


def save_images(here: Host, images: ImageSet, folder: Path, report: Report) -> Mapping[str, BundledImage]:
    """Write the archives into `images/` of a folder, and remove those of other images.

    Raises:
        HostError: an image cannot be read.
        FileAccessError: an archive cannot be written; those that are whole are kept.
    """
    names = file_names(here, images)
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    for path in (folder / IMAGES).iterdir():
        if f"{IMAGES}/{path.name}" not in names.values():
            path.unlink()
    source = EngineImages(here, report)
    for service, name in names.items():
        path = folder / name
        if path.exists():
            continue
        unfinished = path.with_name(path.name + UNFINISHED)
        try:
            with unfinished.open("wb") as into:
                source.write(images.tags[service], into)
            unfinished.replace(path)
        except OSError as error:
            raise FileAccessError(f"{path} cannot be written: {error.strerror}; free space, then repeat") from error
        finally:
            unfinished.unlink(missing_ok=True)
    return {service: BundledImage(tag=images.tags[service], file=name) for service, name in names.items()}
