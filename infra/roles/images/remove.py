"""Removing the images that a project built, and no others."""

from __future__ import annotations

from contextlib import closing, suppress

import requests
from docker.errors import DockerException

from core.errors import HostError
from hosts.base import Host
from infra.roles.docker.client import engine_client
from infra.roles.images.build import ImageSet
from infra.roles.images.packages import recipe_of

LABEL = "org.labelrig.project"


def removable_images(host: Host, project: str) -> list[str]:
    """The images that `project` built and that no container uses, of this and of earlier versions, by tag or id."""
    with closing(engine_client(host)) as client:
        try:
            mine = client.images.list(filters={"label": f"{LABEL}={project}"})
            used = {container["ImageID"] for container in client.api.containers(all=True)}
        except (DockerException, requests.RequestException) as error:
            raise HostError(f"the docker engine does not list its images: {error}") from error
    # Children before what they are built on: the engine refuses the other order.
    mine.sort(key=lambda image: image.attrs["Created"], reverse=True)
    return [tag for image in mine if image.id not in used for tag in (image.tags or [image.id])]


def remove_images(host: Host, project: str) -> list[str]:
    """Remove what `removable_images` lists; an image that a container uses, also a stopped one, stays.

    Returns:
        What was removed, by tag or id.

    Raises:
        HostError: the engine refuses to remove one; those before it are gone.
    """
    removed: list[str] = []
    names = removable_images(host, project)
    with closing(engine_client(host)) as client:
        for name in names:
            try:
                client.images.remove(name)
            except (DockerException, requests.RequestException) as error:
                raise HostError(f"the image {name} cannot be removed: {error}") from error
            removed.append(name)
    return removed


def remove_replaced(host: Host, images: ImageSet) -> list[str]:
    """Remove the builds of these images that a newer one of the same files replaced, and that no container uses.

    An update of Debian's packages makes all images anew, which is gigabytes each time. What the engine does not let go
    stays, and harms nothing.

    Returns:
        What was removed, by tag.
    """
    current = {*images.tags.values(), *(images.base.of(service) for service in images.tags)}
    recipes = set(filter(None, map(recipe_of, current)))
    found = [tag for tag in removable_images(host, images.project) if recipe_of(tag) in recipes and tag not in current]
    removed: list[str] = []
    with closing(engine_client(host)) as client:
        for tag in found:
            with suppress(DockerException, requests.RequestException):
                client.images.remove(tag)
                removed.append(tag)
    return removed
