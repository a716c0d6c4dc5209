"""`./inv database.move`: what moving the work needs of a stack, here or on a host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from core.errors import LabelrigError
from core.operation import converge
from core.report import Report
from infra.config.stack_settings import Database
from infra.database.move import Moved, move_database
from infra.roles.docker.client import engine_client
from infra.roles.docker.compose import Compose
from infra.roles.images.build import ImageSet
from infra.roles.stack.files import FilesWritten
from infra.roles.stack.image_folders import ImageFolder
from infra.roles.stack.render import POSTGRES, RenderedFile, StackFiles, render_stack, stack_values
from infra.roles.stack.sizes import machine_size
from infra.stack.site import Site, rendered
from infra.stack.stages import stack_operations

MODEL = "LABELRIG_SAM2_MODEL"
BOTH = "move"


@dataclass(frozen=True)
class MoveContext:
    """A stack whose work is to move.

    Attributes:
        site: with every secret, also the database server's.
        images: of every service, the database server's too.
        folders: the image folders that are mounted.
        save_choice: records the chosen database, with the files, images and model of the stack on it, for the next run.
        gate: raises where the stack does not do its work.
    """

    site: Site
    images: ImageSet
    folders: Sequence[ImageFolder]
    save_choice: Callable[[Site, list[RenderedFile], ImageSet, str], None]
    gate: Callable[[Site], None]


def move_work(context: MoveContext, to: Database, report: Report, *, replace_target: bool) -> Moved:
    """Move the work of a stack; see `infra.database.move.move_database`."""
    site = context.site
    model = model_of(site)
    both = _both(site, context, model)
    converge([FilesWritten(site.host, both[1])], report)

    def switch(kind: Database) -> None:
        on = on_database(site, kind)
        services = context.images.tags
        images = replace(context.images, tags={name: tag for name, tag in services.items() if name in on.services})
        context.save_choice(on, rendered(on, images, model, context.folders, report), images, model)
        with closing(engine_client(site.host)) as engine:
            converge(stack_operations(on, lambda: engine, report), report)

    return move_database(
        site.host,
        Compose(site.host, site.settings.project, both[0].compose, both[0].env),
        site.settings.project,
        to,
        report,
        switch=switch,
        gate=lambda: context.gate(on_database(site, to)),
        replace=replace_target,
    )


def on_database(site: Site, kind: Database) -> Site:
    """The same stack on a kind of database."""
    return replace(site, settings=site.settings.model_copy(update={"database": kind}))


def model_of(site: Site) -> str:
    """The model that the stack runs, by its files.

    Raises:
        LabelrigError: there is no stack.
    """
    content = site.host.read(site.files.env, as_root=not site.host.is_local)
    for line in (content or b"").decode("utf-8", "replace").splitlines():
        name, _, value = line.partition("=")
        if name == MODEL:
            return value.strip("'")
    task = "up" if site.host.is_local else "deploy"
    raise LabelrigError(f"{site.host.name}: there is no stack {site.settings.project} here; `./inv {task}` makes it")


def _both(site: Site, context: MoveContext, model: str) -> tuple[StackFiles, list[RenderedFile]]:
    """Files of a stack with both databases, for as long as the work moves. Never what the next run starts from."""
    files = StackFiles(f"{site.state}/{BOTH}", (POSTGRES,))
    settings = site.settings.model_copy(update={"database": "postgres"})
    values = stack_values(settings, context.images.tags, model, machine_size(site.host))
    return files, render_stack(files, values, context.folders, context.folders, [], settings.backend)
