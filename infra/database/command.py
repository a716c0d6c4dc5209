"""`./inv database.move`: what moving the work needs of a stack, here or on a host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

from core.errors import LabelrigError
from core.operation import converge
from core.report import Report
from infra.config.settings import UID
from infra.config.stack_settings import Database
from infra.database.move import Moved, move_database
from infra.roles.docker.client import engine_client
from infra.roles.docker.compose import Compose
from infra.roles.images.build import ImageSet
from infra.roles.stack.files import FilesWritten
from infra.roles.stack.image_folders import ImageFolder
from infra.roles.stack.render import (
    POSTGRES,
    RenderedFile,
    StackFiles,
    parse_stack_env,
    render_stack,
    stack_values,
)
from infra.roles.stack.sizes import machine_size
from infra.roles.stack.volumes import BEFORE, VolumesReady, wanted_by
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
    """Move the work of a stack; see `infra.database.move.move_database`.

    Raises:
        LabelrigError: beside those of the move: the stack was made by an earlier version, see `refuse_other_user`.
    """
    site = context.site
    refuse_other_user(site)
    model = model_of(site)
    both = _both(site, context, model)
    converge([FilesWritten(site.host, both[1])], report)
    with closing(engine_client(site.host)) as engine:
        compose = Compose(site.host, site.settings.project, both[0].compose, both[0].env)
        wanted = partial(wanted_by, site.host, compose, both[0].env)
        volumes = VolumesReady(site.host, site.settings.project, site.state, wanted, lambda: engine, report)
        converge([volumes], report)

    def switch(kind: Database) -> None:
        on = on_database(site, kind)
        services = context.images.tags
        images = replace(
            context.images, tags={name: tag for name, tag in services.items() if name in on.image_services}
        )
        context.save_choice(on, rendered(on, images, model, context.folders, report), images, model)
        with closing(engine_client(site.host)) as engine:
            converge(stack_operations(on, lambda: engine, report), report)

    return move_database(
        site.host,
        compose,
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


def refuse_other_user(site: Site) -> None:
    """The volumes change hands in a run that makes the containers anew, and in no other.

    Raises:
        LabelrigError: the containers run as another user than those that a move starts beside them.
    """
    content = site.host.read(site.files.env, as_root=not site.host.is_local)
    now = parse_stack_env(content or b"").get(UID, str(BEFORE))
    if content is not None and now != str(site.settings.uid):
        again = "./inv up" if site.host.is_local else f"./inv deploy --host {site.host.name}"
        raise LabelrigError(
            f"{site.host.name}: the containers run as user {now}, and the settings say {site.settings.uid}: nothing "
            f"was moved; `{again}` hands the volumes over, then repeat the command"
        )


def _both(site: Site, context: MoveContext, model: str) -> tuple[StackFiles, list[RenderedFile]]:
    """Files of a stack with both databases, for as long as the work moves. Never what the next run starts from."""
    files = StackFiles(f"{site.state}/{BOTH}", (POSTGRES,))
    settings = site.settings.model_copy(update={"database": "postgres"})
    values = stack_values(settings, context.images.tags, model, machine_size(site.host))
    return files, render_stack(files, values, context.folders, context.folders, [], settings.backend)
