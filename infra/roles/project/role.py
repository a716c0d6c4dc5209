"""From a running Label Studio to a project that is ready to annotate: steps 5 and 6 of `./inv up`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.operation import Operation
from core.report import Report
from core.repository import REPOSITORY
from hosts.base import Exec, Host
from infra.roles.project.backend_logins import BackendLoginsKnown
from infra.roles.project.backend_token import BackendTokenPresent
from infra.roles.project.labeling import Migration
from infra.roles.project.ml_backend import BackendRegistered
from infra.roles.project.password import PasswordSet
from infra.roles.project.project import MembersKnown, ProjectPresent
from infra.roles.project.storage import ImagesSynced, StorageConnected
from infra.roles.project.token import ApiKeyPresent
from infra.roles.stack.backend_secrets import SecretWriter
from infra.roles.stack.image_folders import FILES_ROOT, ImageFolder
from labelstudio.access import Access
from labelstudio.config import ProjectSpec
from labelstudio.models import BasicAuth
from labelstudio.password_record import PasswordRecord

BACKEND_URL = "http://sam2:9090"
REPLACED = REPOSITORY / ".labelrig" / "replaced"
NO_MIGRATION = Migration()


@dataclass(frozen=True)
class ProjectContext:
    """What the project stage needs beyond settings and spec.

    Attributes:
        host: the machine with `.env` and the image folder.
        env_file: path of `.env` there.
        state: the folder there with what labelrig keeps of the stack.
        folder: the image folder there, and the name under which both containers have it mounted.
        access: the login; the role puts the token in, and the proof uses it.
        exec_in_label_studio: runs a command in the label-studio container.
        exec_in_backend: runs a command beside the backend.
        write_secret: writes a file that the backend reads.
        backend_login: with what Label Studio opens the ML backend.
        report: gets progress and notices.
        truth: the folder with the demo images' truth, None for a person's own images.
        files_root: Label Studio's document root for local files.
        backend_url: the ML backend as the label-studio container reaches it.
    """

    host: Host
    env_file: str
    state: str
    folder: ImageFolder
    access: Access
    exec_in_label_studio: Exec
    exec_in_backend: Exec
    write_secret: SecretWriter
    backend_login: BasicAuth
    report: Report
    truth: Path | None = None
    files_root: str = FILES_ROOT
    backend_url: str = BACKEND_URL


def project_role(spec: ProjectSpec, ctx: ProjectContext, migration: Migration = NO_MIGRATION) -> list[Operation]:
    """The operations, in order: password, tokens, project, storage, images, ML backend, members."""
    storage = StorageConnected(ctx.access, spec, ctx.host, ctx.folder.path, ctx.files_root, ctx.folder.name)
    record = PasswordRecord.of(ctx.host, ctx.state)
    return [
        PasswordSet(ctx.access, ctx.env_file, ctx.exec_in_label_studio, record, ctx.report),
        ApiKeyPresent(ctx.access, ctx.host, ctx.env_file, ctx.exec_in_label_studio, record, ctx.report),
        BackendTokenPresent(
            ctx.access, ctx.host, ctx.env_file, ctx.exec_in_label_studio, ctx.exec_in_backend, ctx.write_secret
        ),
        ProjectPresent(ctx.access, spec, ctx.exec_in_label_studio, ctx.report, migration, REPLACED),
        storage,
        ImagesSynced(ctx.access, spec, ctx.host, ctx.folder.path, storage, ctx.exec_in_label_studio, ctx.report),
        BackendLoginsKnown(ctx.access, ctx.backend_url, ctx.backend_login),
        BackendRegistered(ctx.access, spec, ctx.backend_url, ctx.report, ctx.backend_login),
        *([MembersKnown(ctx.access, spec, ctx.report)] if spec.members else []),
    ]
