"""`./inv down`: stop the stack and keep everything, or with `purge` remove what is this project's own."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from core.errors import LabelrigError
from core.report import Report
from hosts.base import Host
from infra.config.settings import Settings
from infra.roles.docker.client import EngineState, engine_client, engine_state
from infra.roles.docker.compose import Compose
from infra.roles.images.remove import remove_images
from infra.roles.preflight.role import LABEL_PROJECT
from infra.stack.site import local_site

DOWN_TIMEOUT = 180.0


def down(settings: Settings, host: Host, report: Report, *, purge: bool = False) -> None:
    """Stop and remove the containers and the network; volumes, images and `.env` stay.

    Args:
        purge: remove this project's volumes, images and state folder too. There is no way back.

    Raises:
        LabelrigError: the engine does not answer, so nothing can be said about the containers.
    """
    files = local_site(host, settings).files
    with report.stage("down"):
        if engine_state(host) is not EngineState.ANSWERS:
            raise LabelrigError("no Docker engine answers here, so nothing of this project runs or can be removed")
        with contextlib.closing(engine_client(host)) as engine:
            ours = {"label": [f"{LABEL_PROJECT}={settings.project}"]}
            there = engine.containers.list(all=True, filters=ours, ignore_removed=True)
            volumes = engine.volumes.list(filters=ours) if purge else []
            if there or volumes:
                gone = [path for path in (files.env, *files.compose) if host.read(path) is None]
                if gone:
                    raise LabelrigError(
                        f"{gone[0]} is not there, so compose does not know the project {settings.project}; "
                        "run `./inv up` once to have it rendered again, then `./inv down`"
                    )
                report.changing(f"stop {len(there)} containers" + (f", remove {len(volumes)} volumes" if purge else ""))
                compose = Compose(host, settings.project, files.compose, files.env)
                arguments = ("down", "--remove-orphans", *(("--volumes",) if purge else ()))
                compose.run(*arguments, timeout=DOWN_TIMEOUT, on_line=report.progress)
                done = [f"stopped {container.name}" for container in there]
                report.ok("containers stopped", done + [f"removed volume {volume.name}" for volume in volumes])
            else:
                report.ok("nothing of this project runs", [])
            if purge:
                report.ok("images removed", [f"removed {name}" for name in remove_images(host, settings.project)])
        if purge and Path(files.folder).exists():
            shutil.rmtree(files.folder)
            report.ok("state folder removed", [f"removed {files.folder}"])
