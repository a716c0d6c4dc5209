"""The Label Studio of a lab host, through a tunnel of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from hosts.ssh import SshHost
from hosts.ssh_connect import SshTarget
from labelstudio.client import Client
from labelstudio.session import http_client
from labelstudio.token_auth import TokenAuth
from tests.deploy.command import Lab
from tests.deploy.first import secrets_on

TOKEN = "LABEL_STUDIO_API_KEY"


@contextmanager
def url_of(lab: Lab, name: str = "lab1", port: int = 8080) -> Iterator[str]:
    """The address here that leads to a port of the host."""
    there = lab.hosts[name]
    target = SshTarget(name, there.address, "operator", there.port, there.key, None, there.known_hosts)
    host = SshHost(target, run_id="a test")
    try:
        with host.forwarded(port) as url:
            yield url
    finally:
        host.close()


@contextmanager
def label_studio(lab: Lab, name: str = "lab1", port: int = 8080) -> Iterator[Client]:
    """Our client of the host's Label Studio, with the token that the host keeps."""
    with url_of(lab, name, port) as url:
        client = Client(url, secrets_on(lab.hosts[name])[TOKEN])
        try:
            yield client
        finally:
            client.close()


@contextmanager
def api(lab: Lab) -> Iterator[httpx.Client]:
    """Plain HTTP to the Label Studio of lab1, with the token that the host keeps."""
    with url_of(lab) as url, http_client(url) as http:
        http.auth = TokenAuth(url, secrets_on(lab.hosts["lab1"])[TOKEN])
        yield http
