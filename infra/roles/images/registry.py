"""What an engine has, and the one question to a registry, asked through the engine, so that its mirrors count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import requests
from docker.errors import DockerException, ImageNotFound

from core.errors import HostError
from hosts.base import Host
from infra.roles.docker.client import engine_client
from infra.roles.images.packages import PACKAGES_LABEL, from_text, recipe_of

QUESTION_TIMEOUT = 5


def registry_answers(host: Host, references: Sequence[str]) -> bool:
    """Whether each of the images can be pulled, for the engine's processor.

    A digest may be that of one processor's image alone. The first "no", or five seconds of silence, ends the asking.
    """
    with closing(engine_client(host, QUESTION_TIMEOUT)) as client:
        try:
            architecture = client.version()["Arch"]
            return all(architecture in _architectures(client, reference) for reference in references)
        except (DockerException, requests.RequestException):
            return False


def _architectures(client: Any, reference: str) -> set[str]:
    platforms = client.images.get_registry_data(reference).attrs["Platforms"]
    return {str(one["architecture"]) for one in platforms if one["os"] == "linux"}


def present(references: Sequence[str], client: Any) -> list[str]:
    """Those of the images that the engine has.

    Raises:
        HostError: the engine does not say.
    """
    found: list[str] = []
    for reference in references:
        try:
            client.images.get(reference)
        except ImageNotFound:
            continue
        except (DockerException, requests.RequestException) as error:
            raise HostError(f"the docker engine does not say whether it has {reference}: {error}") from error
        found.append(reference)
    return found


def builds_of_recipe(tags: Mapping[str, str], client: Any) -> dict[str, str]:
    """For each service whose image has builds with other versions of Debian packages: the newest of them.

    Args:
        tags: service -> the image as it is wanted.

    Raises:
        HostError: the engine does not say.
    """
    wanted = {recipe_of(tag): (service, tag) for service, tag in tags.items() if recipe_of(tag)}
    newest: dict[str, tuple[str, str]] = {}
    try:
        for image in client.images.list() if wanted else ():
            for name in image.tags:
                service, tag = wanted.get(recipe_of(name), ("", name))
                if name != tag:
                    newest[service] = max(newest.get(service, ("", "")), (str(image.attrs.get("Created", "")), name))
    except (DockerException, requests.RequestException) as error:
        raise HostError(f"the docker engine does not list its images: {error}") from error
    return {service: name for service, (_, name) in newest.items()}


def packages_of(reference: str, client: Any) -> dict[str, str]:
    """The versions that the suites offered when an image was built; empty where it does not say."""
    try:
        return from_text(str(client.images.get(reference).labels.get(PACKAGES_LABEL) or ""))
    except ImageNotFound:
        return {}
    except (DockerException, requests.RequestException) as error:
        raise HostError(f"the docker engine does not say what is in {reference}: {error}") from error
