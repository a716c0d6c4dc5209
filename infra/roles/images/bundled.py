"""The images of a bundle, and whether it is one of this tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from docker.errors import DockerException

from core.errors import SettingsError
from core.operation import Operation
from core.report import Report
from core.repository import own_version
from core.text import some
from hosts.base import Host
from infra.bundle.manifest import Manifest
from infra.bundle.reading import Bundle, open_bundle
from infra.config.settings import Settings
from infra.roles.images.archive import Archive, chain_ids, read_archive, tags_in
from infra.roles.images.build import ImageSet
from infra.roles.images.packages import recipe_of
from infra.roles.images.role import ImageOrigin
from infra.roles.images.ship import ImageSource, ImagesShipped
from infra.roles.images.tags import FOLDERS, Base, OfficialImages, debootstrap_base, image_tags, official_base
from infra.roles.images.work_folder import WorkFoldersGone


class BundleImages(ImageSource):
    """The images of a bundle, as a source to send from."""

    def __init__(self, bundle: Bundle) -> None:
        self.name = str(bundle.path)
        self._bundle = bundle
        self._chains: dict[str, tuple[str, ...]] = {}

    @contextmanager
    def saved(self, tag: str) -> Iterator[Archive]:
        name = next(one.file for one in self._bundle.manifest.images.values() if one.tag == tag)
        with self._bundle.opened(name) as file:
            archive = read_archive(file, self._bundle.sizes[name])
            self._chains[tag] = archive.chains
            yield archive

    def arrived_as(self, tag: str, there: Any) -> str | None:
        # An image's id differs between kinds of stores; what its layers hold does not.
        try:
            layers = there.api.inspect_image(there.images.get(tag).id).get("RootFS", {}).get("Layers") or []
        except (DockerException, requests.RequestException) as error:
            return f"the engine does not say what it loaded as {tag}: {error}"
        if chain_ids(layers)[-1:] == self._chains[tag][-1:]:
            return None
        return f"{tag} arrived with other layers than the bundle has"


def usable_bundle(path: Path, repository: Path, report: Report) -> Bundle:
    """Open a bundle, make sure that it is one of this tree, and verify every byte of it.

    Raises:
        SettingsError: it is damaged, cut off, no bundle, or of another version of labelrig.
    """
    with report.stage("bundle"):
        bundle = open_bundle(path)
        refuse_other_version(bundle, repository)
        bundle.verify(report.progress)
        refuse_other_tags(bundle)
        report.ok(f"{path} verified", [])
    return bundle


def refuse_other_version(bundle: Bundle, repository: Path) -> None:
    """Images are looked for by names that follow from this tree's files: those of another tree would not be found.

    Raises:
        SettingsError: the bundle's images are not those of this tree.
    """
    manifest, ours = bundle.manifest, own_version(repository)
    again = "take the tree that it was made with, or make it again with `./inv bundle.create`"
    if manifest.labelrig != ours:
        raise SettingsError(f"{bundle.path} was made with labelrig {manifest.labelrig}, and this is {ours}; {again}")
    known = [name for name in manifest.images if name in FOLDERS]
    expected = image_tags(repository, base_of(manifest, repository), known)
    others = [one for one in manifest.images if recipe_of(expected.get(one, "")) != recipe_of(manifest.images[one].tag)]
    if others:
        raise SettingsError(
            f"{bundle.path} was made at commit {manifest.commit[:7]}{', with changes' if manifest.dirty else ''}: its "
            f"images {', '.join(others)} are not those of this tree; {again}"
        )


def refuse_other_tags(bundle: Bundle) -> None:
    """An engine names an image as its archive does: under another name than the manifest's it would not be found.

    Raises:
        SettingsError: an archive is not that of the image that the manifest says.
    """
    for image in bundle.manifest.images.values():
        with bundle.opened(image.file) as file:
            found = tags_in(file)
        if image.tag not in found:
            raise SettingsError(
                f"{bundle.path}: {image.file} holds {some(found) or 'no image'}, and its manifest says {image.tag}; "
                "make it again with `./inv bundle.create`"
            )


def base_of(manifest: Manifest, repository: Path) -> Base:
    """What the images of a bundle are built on; the versions of their packages are in the tags of the bundle."""
    if manifest.base == "official":
        return official_base(OfficialImages())
    return debootstrap_base(repository, manifest.machine)


def bundled_tags(bundle: Bundle, services: Sequence[str]) -> frozenset[str]:
    """The tags of those of the services that a bundle has."""
    return frozenset(one.tag for name, one in bundle.manifest.images.items() if name in services)


def bundled_images(
    bundle: Bundle, repository: Path, settings: Settings, services: Sequence[str], own: Mapping[str, str]
) -> ImageOrigin:
    """The images of a stack, all of them from a bundle but the lab's own, which are on the host: see preflight."""
    tags = {service: own.get(service) or bundle.manifest.images[service].tag for service in services}
    images = ImageSet(tags, base_of(bundle.manifest, repository), repository, settings.project, frozenset(own))
    return ImageOrigin(images, frozenset(tags) - images.own)


def bundled_images_role(host: Host, origin: ImageOrigin, bundle: Bundle, report: Report) -> list[Operation]:
    """Return the operations after which a machine has the images of a bundle."""
    images = origin.images
    travel = [tag for service, tag in images.tags.items() if service in origin.sent]
    return [
        WorkFoldersGone(host, images.project, report),
        ImagesShipped(host, host, travel, report, BundleImages(bundle)),
    ]
