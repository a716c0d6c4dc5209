"""Our own base image, for tests that need a Debian: made once if the engine has not got it."""

from __future__ import annotations

from contextlib import closing

from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.config.settings import Settings
from infra.roles.docker.client import engine_client
from infra.roles.images.debootstrap import BaseBuilder
from infra.roles.images.registry import present
from infra.roles.images.role import plan_images
from infra.roles.images.tags import Base


def own_base(report: Report) -> Base:
    """What the images of this tree are built on where no registry answers. Makes nothing."""
    return plan_images(LocalHost(), REPOSITORY, Settings(), report, choice="debootstrap").base


def base_image(report: Report, project: str = "labelrig") -> str:
    """Its tag, once it is there.

    The role makes it only for an image that is missing, and this tree's own may all be there, so the builder is asked.
    """
    host, base = LocalHost(), own_base(report)
    with closing(engine_client(host)) as client:
        there = present([base.sam2], client)
    if not there:
        BaseBuilder(host, report, REPOSITORY, project, base.offered).build(base.sam2)
    return base.sam2
