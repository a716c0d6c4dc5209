"""Images for tests that are made from those which a lab host runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.labhost.host import LabHost, docker


@contextmanager
def image_from(host: LabHost, service: str, name: str, *steps: str) -> Iterator[str]:
    """In this machine's engine, the image of a service of the host with further steps of a Dockerfile; its tag."""
    tag = f"labelrig-test/{name}:1"
    ours = host.inside_engine("inspect", "--format", "{{.Config.Image}}", f"labelrig-{service}-1").stdout.strip()
    docker("build", "--quiet", "--tag", tag, "-", stdin="\n".join((f"FROM {ours}", *steps, "")))
    try:
        yield tag
    finally:
        docker("image", "rm", "--force", tag)


@contextmanager
def broken_image(host: LabHost, service: str) -> Iterator[str]:
    """An image that looks like a service's and ends at once."""
    ends = 'CMD ["sh", "-c", "echo the disk of wonders is missing; exit 3"]'
    with image_from(host, service, f"broken-{service}", ends) as tag:
        yield tag
