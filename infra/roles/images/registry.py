"""The one question to a registry, asked through the engine, so that its mirrors, proxies and logins count."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import requests
from docker.errors import DockerException, ImageNotFound

from core.errors import HostError
from hosts.base import Host
from infra.roles.docker.client import engine_client

QUESTION_TIMEOUT = 5


def registry_answers(host: Host, references: Sequence[str]) -> bool:
    """Whether each of the images can be pulled. The first "no", or five seconds of silence, ends the asking."""
    with closing(engine_client(host, QUESTION_TIMEOUT)) as client:
        try:
            for reference in references:
                client.images.get_registry_data(reference)
        except (DockerException, requests.RequestException):
            return False
    return True


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
