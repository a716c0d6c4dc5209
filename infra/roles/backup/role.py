"""The role "backup": the files of a stack's backup beside the stack, and on a server the timer that uses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import HostError
from core.operation import Operation
from core.report import Report
from hosts.base import Host
from infra.config.settings import Settings
from infra.config.value_types import NO_SCHEDULE
from infra.roles.backup.files import FOLDER, PASSWORD, BackupPlace, backup_files
from infra.roles.backup.timer import BackupTimer
from infra.roles.docker.compose import find_compose
from infra.roles.stack.files import FilesWritten
from infra.roles.stack.image_folders import ImageFolder

KEEP_IT = (
    "the backups of this stack are encrypted with LABELRIG_BACKUP_PASSWORD, which was made and stands in {file}: "
    "copy it to another machine now. Without it no backup can be read, by anybody, ever"
)


class BackupFiles(FilesWritten):
    """The script of the backup and what it reads."""

    name = "backup files written"


def backup_place(
    host: Host, *, state: str, stack: str, secrets: str, project: str | None = None, name: str = FOLDER
) -> BackupPlace:
    """Where the backup of a stack lies on its machine; see `BackupPlace` for the arguments.

    Raises:
        HostError: compose is not installed.
    """
    words = find_compose(host)
    if words is None:
        task = "up" if host.is_local else "deploy"
        raise HostError(f"{host.name}: no docker command knows `compose` version 2; `./inv {task}` installs it")
    ssh = str(Path.home() / ".ssh") if host.is_local else "/root/.ssh"
    return BackupPlace(state, stack, secrets, ssh, words, project, name)


def backup_role(
    host: Host,
    place: BackupPlace,
    settings: Settings,
    images: Mapping[str, str],
    folders: Sequence[ImageFolder],
    report: Report,
) -> list[Operation]:
    """Return the operations after which a stack can back itself up; see `backup_files` for the arguments.

    Without a repository they take the timer away, and leave the rest: backups of before can still be restored.
    """
    schedule = settings.backup_schedule if settings.backup_repository else NO_SCHEDULE
    timer: list[Operation] = [] if host.is_local else [BackupTimer(host, settings.project, place.script, schedule)]
    if not settings.backup_repository:
        return timer
    files = backup_files(place, settings, images, folders)
    password = f"{place.folder}/{PASSWORD}"
    own = place.name == FOLDER and any(file.path == password for file in files)
    if own and place.project in (None, settings.project) and host.read(password, as_root=not host.is_local) is None:
        report.notice(KEEP_IT.format(file=place.secrets if host.is_local else f"{host.name}:{place.secrets}"))
    return [BackupFiles(host, files), *timer]
