"""Moving the work of this machine's own stack."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from core.errors import ProofFailed, SettingsError
from core.operation import Operation, converge
from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.config.settings import Settings
from infra.config.stack_settings import Database
from infra.database.command import MoveContext, move_work
from infra.database.move import Moved
from infra.roles.images.build import ImageSet
from infra.roles.images.role import images_role, plan_images
from infra.roles.images.tags import DB, SERVICES
from infra.roles.project.gate import backend_facts
from infra.roles.stack.container_user import ContainerUserChosen
from infra.roles.stack.env_choices import SettingsRemembered
from infra.roles.stack.files import FilesWritten
from infra.roles.stack.image_folders import read_folders
from infra.roles.stack.render import RenderedFile
from infra.roles.stack.secrets import SecretsMade
from infra.stack.database_choice import database_of
from infra.stack.kept_secrets import kept_secrets
from infra.stack.site import Site, local_site, with_backup
from infra.stack.unfinished import refuse_unfinished
from labelstudio.session import token_works


def move_here(settings: Settings, to: Database, report: Report, *, replace_target: bool) -> Moved:
    """Move the work of this machine's stack to the other kind of database, and remember the choice in `.env`.

    Raises:
        SettingsError: it works on that kind already, or was last started by a version without the proxy.
        RolledBack, LabelrigError: see `infra.database.move.move_database`.
    """
    host = LocalHost()
    site = local_site(host, settings)
    env_path = Path(site.env_file)
    now = database_of(site)
    if now == to:
        raise SettingsError(f"the stack of this machine works on {to} already; nothing was changed")
    if not site.proxy:
        raise SettingsError("the stack of this machine is of a version without the proxy; run `./inv up` first")
    refuse_unfinished(site)
    with report.stage("prepare"):
        wanted = settings.model_copy(update={"database": "postgres"})
        operations: list[Operation] = [
            SecretsMade(host, env_path, wanted, kept_secrets(site)),
            ContainerUserChosen(host, env_path, settings, site.files.env),
        ]
        converge(operations, report)
        services = with_backup((DB, *SERVICES), settings)
        images = plan_images(host, REPOSITORY, settings, report, services=services)
        converge(images_role(host, images, report), report)
    site = replace(site, settings=site.reload().model_copy(update={"database": now or "sqlite"}))

    def save_choice(on: Site, files: list[RenderedFile], _images: ImageSet, _model: str) -> None:
        chosen = {"LABELRIG_DATABASE": on.settings.database}
        chosen_files: list[Operation] = [
            SettingsRemembered(host, env_path, chosen),
            FilesWritten(host, files, on.files.unused),
        ]
        converge(chosen_files, report)

    return move_work(
        MoveContext(site, images, read_folders(host, site.files.folders), save_choice, check_stack), to, report,
        replace_target=replace_target,
    )  # fmt: skip


def check_stack(site: Site) -> None:
    """The gate of a move: the token is accepted, and the backend answers.

    Raises:
        ProofFailed: Label Studio does not take the token that it took before.
    """
    key = site.settings.api_key
    with site.host.forwarded(site.settings.port, site.settings.own_address) as url:
        if key is None or not token_works(url, key.get_secret_value()):
            raise ProofFailed("Label Studio does not take the personal access token that it took before")
    backend_facts(site.exec_in_backend)
