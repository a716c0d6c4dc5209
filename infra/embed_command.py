"""What `./inv embed` needs from the running stack: the project's images, and a way into the backend's container."""

from __future__ import annotations

from infra.embed import cancel_all, embed, project_images
from infra.hosts.base import Host
from infra.labelstudio.access import Access
from infra.labelstudio.config import load_project
from infra.operations.compose_cli import Compose
from infra.rendering import StackFiles
from infra.report import Report
from infra.roles.project import DEFAULT_PROJECT
from infra.settings import REPOSITORY, Settings
from infra.up import demo_spec, exec_in, state_folder


def run_embed(
    settings: Settings, host: Host, report: Report, *, project: str | None, folder: str | None, stop: bool
) -> str:
    """Encode images, or end the jobs that do. Returns what was done, for people.

    Raises:
        LabelrigError: the stack does not run, there is nothing to encode, or images failed.
    """
    files = StackFiles(str(state_folder(settings)))
    exec_in_backend = exec_in(host, Compose(host, settings.project, files.compose, files.env), "sam2")
    if stop:
        return f"{cancel_all(exec_in_backend)} embed jobs ended"
    with report.stage("embed"):
        if folder is not None:
            return embed(exec_in_backend, {"key": f"folder {folder}", "folder": folder}, report)
        access = Access.of(settings)
        try:
            title = project or _default_title(settings)
            images = project_images(access, title)
        finally:
            access.close()
        return embed(exec_in_backend, {"key": f"project {title}", "images": images}, report)


def _default_title(settings: Settings) -> str:
    spec = load_project(REPOSITORY, DEFAULT_PROJECT)
    return (demo_spec(spec) if settings.data is None else spec).title
