"""`./inv embed`: a project's images or a folder, encoded by the backend of a stack."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import SettingsError
from dataset.embed.embed import cancel_all, embed, project_images
from infra.fleet.session import Session


@dataclass(frozen=True)
class EmbedOptions:
    """The options of the command line.

    Attributes:
        project: its key in `projects.yaml` or its title; None means the default project.
        folder: instead of a project: a connected folder, by its name below `/label-studio/files`.
        stop: end the jobs that run, instead.
    """

    project: str | None = None
    folder: str | None = None
    stop: bool = False

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            SettingsError: both a project and a folder were given.
        """
        if self.project is not None and self.folder is not None:
            raise SettingsError("give either --project or --folder")


def run_embed(session: Session, options: EmbedOptions) -> str:
    """Encode images, or end the jobs that do. Returns what was done, for people.

    Raises:
        LabelrigError: the stack does not run, there is nothing to encode, or images failed.
    """
    exec_in_backend = session.site.exec_in_backend
    if options.stop:
        return f"{cancel_all(exec_in_backend, session.report)} embed jobs ended"
    with session.report.stage("embed"):
        if options.folder is not None:
            request: dict[str, object] = {"key": f"folder {options.folder}", "folder": options.folder}
        else:
            project = session.project(options.project)
            images = project_images(session.access.client(), project, session.report)
            request = {"key": f"project {project.title}", "images": images}
        return embed(exec_in_backend, request, session.report)
