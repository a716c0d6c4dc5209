"""Old releases go, and with them the images that no release of any stack on the host needs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import requests
from docker.errors import DockerException

from core.errors import HostError
from core.report import Report
from hosts.base import Host
from infra.deploy.deployment import Deployment
from infra.roles.backup.files import BACKUP_IMAGE, FOLDER, VALUES
from infra.roles.docker.client import engine_client
from infra.roles.stack.render import parse_stack_env

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.images import Image

OURS = "labelrig/"
BASE = "labelrig/base:"
MANIFESTS = (
    f'for file in "$1"/*/releases/*/release.json "$1"/*/{FOLDER}/{VALUES}; do '
    '[ -f "$file" ] && printf "%s\\n" "$file" && cat -- "$file" && printf "\\0"; done; true'
)


def prune(deployment: Deployment, keep: int, report: Report) -> None:
    """Remove all but the last releases, and the images of this project that are left without one."""
    with report.stage("old releases"):
        gone = deployment.releases.prune(keep)
        removed: list[str] = []
        try:
            removed = remove_unneeded_images(deployment.host, deployment.host_settings.root) if gone else []
        except HostError as error:  # the release serves: room on the disk is no reason to call it failed
            report.notice(str(error))
        changes = [f"remove release {one}" for one in gone] + [f"remove image {tag}" for tag in removed]
        report.ok(f"the last {keep} releases kept", changes)


def remove_unneeded_images(host: Host, root: str) -> list[str]:
    """Remove our images that no release of any stack below `root` names, and no container uses. Returns their tags.

    Raises:
        HostError: the engine refuses to remove one; those before it are gone.
    """
    needed = needed_images(host, root)
    removed = []
    with closing(engine_client(host)) as engine:
        try:
            for tag, _ in unneeded_images(engine, needed):
                engine.images.remove(tag)
                removed.append(tag)
        except (DockerException, requests.RequestException) as error:
            raise HostError(f"{host.name}: old images cannot be removed: {error}") from error
    return removed


def unneeded_images(engine: DockerClient, needed: Collection[str]) -> Iterator[tuple[str, Image]]:
    """Each tag of ours that is not in `needed`, and whose image no container uses, with the image.

    What images are built on stays: another base image takes minutes to make.
    """
    used = {container["ImageID"] for container in engine.api.containers(all=True)}
    for image in engine.images.list():
        for tag in image.tags:
            if tag.startswith(OURS) and not tag.startswith(BASE) and tag not in needed and image.id not in used:
                yield tag, image


def needed_images(host: Host, root: str, without: Collection[str] = ()) -> set[str]:
    """The tags that the releases of any stack on the host name, as a rollback needs them, and those of its backups.

    Args:
        without: folders of releases that do not count.
    """
    shown = host.run("sh", "-c", MANIFESTS, "sh", root, as_root=True)
    needed: set[str] = set()
    for part in filter(str.strip, shown.stdout.split("\0")):
        path, _, text = part.partition("\n")
        if path.rpartition("/")[0] in without:
            continue
        if path.endswith(VALUES):
            needed.add(parse_stack_env(text.encode()).get(BACKUP_IMAGE, ""))
            continue
        try:
            needed.update(image["tag"] for image in json.loads(text)["images"].values())
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # a release that cannot be read cannot be gone back to
    return needed
