"""The database server of a stack whose own files do not name it, or name another one: started on files of its own."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial

from core.operation import converge
from core.report import Report
from infra.database.containers import Containers
from infra.roles.docker.client import engine_client
from infra.roles.docker.compose import Compose
from infra.roles.images.build import ImageSet
from infra.roles.images.tags import BACKUP
from infra.roles.stack.files import FilesWritten
from infra.roles.stack.network import NetworkPresent
from infra.roles.stack.volumes import VolumesReady, wanted_by
from infra.stack.site import Site, rendered

FOLDER = "restore"  # below the stack's state: these files


def separate_server(site: Site, images: ImageSet, report: Report) -> Containers:
    """Start the database server from these images, on the volumes of the stack, and wait until it is healthy.

    Args:
        site: the stack, with its secrets.
        images: with the database server's.

    Raises:
        LabelrigError: it does not get there; with its last lines.
    """
    aside = replace(site, stack_folder=f"{site.state}/{FOLDER}", gpu=False)
    images = images.only([name for name in images.tags if name != BACKUP])
    converge([FilesWritten(aside.host, rendered(aside, images, "demo", [], report))], report)
    project = aside.settings.project
    compose = Compose(aside.host, project, aside.files.compose, aside.files.env)
    with closing(engine_client(aside.host)) as engine:
        wanted = partial(wanted_by, aside.host, compose, aside.files.env)
        volumes = VolumesReady(aside.host, project, aside.state, wanted, lambda: engine, report)
        converge([NetworkPresent(compose, project, lambda: engine, report), volumes], report)
    containers = Containers(aside.host, compose, project)
    containers.start_db(report)
    return containers
