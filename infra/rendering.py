"""What the stack is started from: stack.env, compose.yaml and machine.yaml in one state folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.backend_settings import backend_environment
from infra.folders import ImageFolder, render_compose, render_folders
from infra.network_guard import banned_subnets
from infra.settings import REPOSITORY, Settings

COMPOSE_SOURCE = REPOSITORY / "infra" / "compose" / "compose.yaml"
SECRET_NAMES = ("LABEL_STUDIO_PASSWORD", "LABEL_STUDIO_SECRET_KEY")


@dataclass(frozen=True)
class StackFiles:
    """Where the rendered files of one stack lie on its host."""

    folder: str

    @property
    def env(self) -> str:
        """Values for compose; holds secrets, mode 0600."""
        return f"{self.folder}/stack.env"

    @property
    def compose(self) -> tuple[str, str]:
        """The compose files, in the order compose merges them."""
        return f"{self.folder}/compose.yaml", f"{self.folder}/machine.yaml"

    @property
    def folders(self) -> str:
        """The image folders connected so far."""
        return f"{self.folder}/folders.json"


@dataclass(frozen=True)
class RenderedFile:
    """A file to be: where, what, and who may read it."""

    path: str
    content: bytes
    mode: int


def stack_values(settings: Settings, *, label_studio_image: str, sam2_image: str, model: str) -> dict[str, str]:
    """Return what compose.yaml asks for, by name.

    Raises:
        ValueError: the secrets were not made yet.
    """
    if settings.password is None or settings.secret_key is None:
        raise ValueError("the secrets must be made before the stack is rendered")
    return {
        "COMPOSE_PROJECT_NAME": settings.project,
        "LABELRIG_LABEL_STUDIO_IMAGE": label_studio_image,
        "LABELRIG_SAM2_IMAGE": sam2_image,
        "LABELRIG_SAM2_MODEL": model,
        "LABELRIG_SUBNET": settings.subnet,
        "LABELRIG_BANNED_SUBNETS": ",".join(banned_subnets(settings.subnet)),
        "LABEL_STUDIO_PORT": str(settings.port),
        "LABEL_STUDIO_USERNAME": settings.username,
        "LABEL_STUDIO_PASSWORD": settings.password.get_secret_value(),
        "LABEL_STUDIO_SECRET_KEY": settings.secret_key.get_secret_value(),
    }


def render_stack(
    files: StackFiles,
    values: dict[str, str],
    folders: Sequence[ImageFolder],
    mounted: Sequence[ImageFolder],
    groups: Sequence[int],
    backend: Mapping[str, str],
) -> list[RenderedFile]:
    """Return every file of the stack. Nothing is written.

    Args:
        folders: every folder that was ever connected; remembered.
        mounted: those of them that are there now.
        groups: see `infra.folders.render_compose`.
        backend: see `infra.backend_settings`.

    Raises:
        ValueError: a value holds a quote or a line break, which compose's env files cannot carry.
    """
    for name, value in values.items():
        if "'" in value or "\n" in value:
            raise ValueError(f"{name}: a quote or a line break cannot stand in an env file")
    env = "".join(f"{name}='{value}'\n" for name, value in values.items())  # '' keeps a `$` as it is
    compose, machine = files.compose
    return [
        RenderedFile(files.env, env.encode(), 0o600),
        RenderedFile(compose, Path(COMPOSE_SOURCE).read_bytes(), 0o644),
        RenderedFile(machine, render_compose(mounted, groups, backend_environment(backend)), 0o644),
        RenderedFile(files.folders, render_folders(folders), 0o644),
    ]
