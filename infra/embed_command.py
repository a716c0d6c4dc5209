"""What `./inv embed` needs from the running stack: the project's images, and a way into the backend's container."""

from __future__ import annotations

import os

from infra.embed import cancel_all, embed, project_images
from infra.hosts.base import Host
from infra.labelstudio.access import Access
from infra.labelstudio.config import load_project
from infra.report import Report
from infra.roles.project import DEFAULT_PROJECT
from infra.settings import REPOSITORY, Settings, env_file
from infra.site import local_site
from infra.stages import demo_spec


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
