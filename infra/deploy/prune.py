"""Old releases go, and with them the images that no release of any stack on the host needs."""

from __future__ import annotations

import json
from contextlib import closing

import requests
from docker.errors import DockerException

from core.errors import HostError
from core.report import Report
from infra.deploy.deployment import Deployment
from infra.roles.docker.client import engine_client

OURS = "labelrig/"
BASE = "labelrig/base:"
MANIFESTS = (
    'for file in "$1"/*/releases/*/release.json; do [ -f "$file" ] && cat -- "$file" && printf "\\0"; done; true'
)


def prune(deployment: Deployment, keep: int, report: Report) -> None:
    """Remove all but the last releases, and the images of this project that are left without one."""
    with report.stage("old releases"):
        gone = deployment.releases.prune(keep)
        removed: list[str] = []
        try:
            removed = _remove_images(deployment) if gone else []
        except HostError as error:  # the release serves: room on the disk is no reason to call it failed
            report.notice(str(error))
        changes = [f"remove release {one}" for one in gone] + [f"remove image {tag}" for tag in removed]
        report.ok(f"the last {keep} releases kept", changes)


def _remove_images(deployment: Deployment) -> list[str]:
    needed = _needed(deployment)
    removed = []
    with closing(engine_client(deployment.host)) as engine:
        try:
            used = {container["ImageID"] for container in engine.api.containers(all=True)}
            for image in engine.images.list():
                for tag in image.tags:
                    if tag.startswith(OURS) and not tag.startswith(BASE) and tag not in needed and image.id not in used:
                        engine.images.remove(tag)
                        removed.append(tag)
        except (DockerException, requests.RequestException) as error:
            raise HostError(f"{deployment.host.name}: old images cannot be removed: {error}") from error
    return removed


def _needed(deployment: Deployment) -> set[str]:
    """The tags that the releases of any stack on the host name: a rollback needs them."""
    shown = deployment.host.run("sh", "-c", MANIFESTS, "sh", deployment.host_settings.root, as_root=True)
    needed: set[str] = set()
    for text in filter(str.strip, shown.stdout.split("\0")):
        try:
            needed.update(image["tag"] for image in json.loads(text)["images"].values())
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # a release that cannot be read cannot be gone back to
    return needed
