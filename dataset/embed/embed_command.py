"""What `./inv embed` needs from the running stack: the project's images, and a way into the backend's container."""

from __future__ import annotations

import os

from core.report import Report
from core.repository import REPOSITORY
from dataset.embed.embed import cancel_all, embed, project_images
from hosts.base import Host
from infra.config.settings import Settings, env_file
from infra.roles.project.role import DEFAULT_PROJECT
from infra.stack.site import local_site
from infra.stack.stages import demo_spec
from labelstudio.access import Access
from labelstudio.config import load_project


def run_embed(
    settings: Settings, host: Host, report: Report, *, project: str | None, folder: str | None, stop: bool
) -> str:
    """Encode images, or end the jobs that do. Returns what was done, for people.

    Raises:
        LabelrigError: the stack does not run, there is nothing to encode, or images failed.
    """
    exec_in_backend = local_site(host, settings, env_file(os.environ), lambda: settings).exec_in("sam2")
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
