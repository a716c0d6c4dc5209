"""Images for tests that are made from those which a lab host runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.config.settings import load_settings
from infra.roles.docker.role import docker_role
from infra.roles.images.role import images_role, plan_images
from tests.labhost.host import LabHost, docker


def made_here(folder: Path, services: Sequence[str], root: Path = REPOSITORY) -> None:
    """Build images of a clone on this machine, so that a deploy sends them: a bare host would build all anew.

    Args:
        folder: of the test, where there is no `.env`.
    """
    host, report = LocalHost(), Report()
    converge(docker_role(host, report), report)
    settings = load_settings(folder / ".env", {}, {})
    images = plan_images(host, root, settings, report, services=services)
    converge(images_role(host, images, report), report)


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
