"""The files of a backup on the stack's machine: script, compose file, values, the program of the dump, definitions."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.repository import REPOSITORY, own_version
from infra.config.settings import UID, Settings
from infra.config.stack_settings import Database
from infra.roles.images.tags import BACKUP, DB, LABEL_STUDIO
from infra.roles.stack.image_folders import ImageFolder
from infra.roles.stack.render import IMAGE_VARIABLES, RenderedFile, render_stack_env
from labelstudio.program import program

HERE = Path(__file__).parent
FOLDER = "backup"  # below the stack's state
SCRIPT, VALUES, PASSWORD, DEFINITIONS = "backup.sh", "backup.env", "password", "definitions/definitions.tar"
COMPOSE = ("backup.yaml", "dump-postgres.yaml")
DUMP_MODULES = ("comparing", "tables", "sqlite_file", "dump")
CONFIGS = "labeling_configs"  # with projects.yaml, and the class numbers of exports
RESTORING = "restoring.json"  # in the state folder, while a restore exchanges what the stack works on
FOLDERS_BROUGHT = "folders.json"  # in the state folder: the image folders of a backup that was restored
UPGRADING = "upgrading.json"  # in the state folder, from an upgrade's begin to its end
NO_FILE = "/dev/null"
BACKUP_IMAGE = "LABELRIG_BACKUP_IMAGE"


@dataclass(frozen=True)
class BackupPlace:
    """Where a stack's backup lies on its machine.

    Attributes:
        state: the folder with everything of the stack that is not in a volume.
        stack: the folder with the rendered files.
        secrets: the file with the secrets.
        ssh: the folder `.ssh` of the user as whom the script runs.
        compose: the words of the compose program there.
        project: the name of the stack in snapshots, where it is not that of its containers (a drill's).
        name: of the folder below `state`; another one than the stack's own for a script beside it.
    """

    state: str
    stack: str
    secrets: str
    ssh: str
    compose: Sequence[str]
    project: str | None = None
    name: str = FOLDER

    @property
    def folder(self) -> str:
        """The folder with the files of the backup."""
        return f"{self.state}/{self.name}"

    @property
    def script(self) -> str:
        """The script that does everything."""
        return f"{self.folder}/{SCRIPT}"


def backup_files(
    place: BackupPlace, settings: Settings, images: Mapping[str, str], folders: Sequence[ImageFolder]
) -> list[RenderedFile]:
    """Return every file of the backup. Nothing is written.

    Args:
        settings: with a repository, the containers' user, and a password or a file with one.
        images: service -> tag, the backup's own among them.
        folders: the image folders that are connected.
    """
    own = place.folder
    kinds: tuple[Database, ...] = ("sqlite", "postgres")
    files = [
        RenderedFile(place.script, (HERE / SCRIPT).read_bytes(), 0o755),
        *(RenderedFile(f"{own}/{name}", (HERE / name).read_bytes(), 0o644) for name in COMPOSE),
        RenderedFile(f"{own}/{VALUES}", render_stack_env(_values(place, settings, images)), 0o600),
        RenderedFile(f"{own}/folders", "".join(f"{one.name}\t{one.path}\n" for one in folders).encode(), 0o600),
        RenderedFile(f"{own}/{DEFINITIONS}", definitions(REPOSITORY / CONFIGS), 0o600),
        RenderedFile(f"{own}/none/README", b"Mounted in place of what a repository does not need.\n", 0o644),
        *(RenderedFile(f"{own}/dump-{kind}.py", program(DUMP_MODULES, kind), 0o644) for kind in kinds),
    ]
    if settings.backup_password is not None and settings.backup_password_file is None:
        text = f"{settings.backup_password.get_secret_value()}\n"
        files.append(RenderedFile(f"{own}/{PASSWORD}", text.encode(), 0o600))
    return files


def definitions(folder: Path) -> bytes:
    """The labeling configurations and `projects.yaml` as one archive: the same folder always gives the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = tarfile.TarInfo(path.relative_to(folder.parent).as_posix())
            content = path.read_bytes()
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _values(place: BackupPlace, settings: Settings, images: Mapping[str, str]) -> dict[str, str]:
    repository = settings.backup_repository or ""
    none = f"{place.folder}/none"
    own_password = settings.backup_password_file or f"{place.folder}/{PASSWORD}"
    values = {
        "LABELRIG_PROJECT": settings.project,
        "LABELRIG_COMPOSE": " ".join(place.compose),
        "LABELRIG_VERSION": own_version(),
        UID: str(settings.uid or 0),
        "LABELRIG_BACKUP_PROJECT": place.project or settings.project,
        "LABELRIG_BACKUP_REPOSITORY": repository,
        "LABELRIG_BACKUP_KEEP": settings.backup_keep,
        "LABELRIG_BACKUP_USERNAME": settings.username,
        "LABELRIG_BACKUP_DATABASE": settings.database,
        "LABELRIG_BACKUP_STATE": place.state,
        "LABELRIG_BACKUP_OWN": place.folder,
        "LABELRIG_BACKUP_STACK": place.stack,
        "LABELRIG_BACKUP_SECRETS": place.secrets,
        "LABELRIG_BACKUP_FOLDER": repository if repository.startswith("/") else none,
        "LABELRIG_BACKUP_PASSWORD_FILE": str(own_password),
        "LABELRIG_BACKUP_ENVIRONMENT_FILE": str(settings.backup_environment_file or NO_FILE),
        "LABELRIG_BACKUP_SSH": place.ssh if repository.startswith("sftp:") else none,
        BACKUP_IMAGE: images[BACKUP],
        IMAGE_VARIABLES[LABEL_STUDIO]: images[LABEL_STUDIO],
    }
    return values | ({IMAGE_VARIABLES[DB]: images[DB]} if DB in images else {})
