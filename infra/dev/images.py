"""`python -m infra.dev.images`: starts the Docker engine and builds the images of this tree, for the tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from core.errors import LabelrigError
from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.config.settings import load_settings
from infra.roles.docker.role import docker_role
from infra.roles.images.role import images_role, plan_images
from infra.roles.images.tags import DB, SERVICES


def main() -> int:
    """Returns: the exit code."""
    host, report = LocalHost(), Report()
    try:
        with report.stage("docker engine"):
            converge(docker_role(host, report), report)
        with report.stage("images"):
            # The defaults, whatever the `.env` of this clone says.
            images = plan_images(
                host, REPOSITORY, load_settings(Path(os.devnull), {}, {}), report, services=(DB, *SERVICES)
            )
            converge(images_role(host, images, report), report)
    except LabelrigError as error:
        report.info(f"error: {error}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
