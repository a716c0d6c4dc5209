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
from infra.roles.images.suites import DAY
from infra.roles.images.tags import BACKUP, DB, SERVICES

# Half a day, so that what the suites offer holds for all lanes of a run: in the middle of it nothing is built again.
MAX_AGE = DAY / 2


def main() -> int:
    """Returns: the exit code."""
    host, report = LocalHost(), Report()
    try:
        with report.stage("docker engine"):
            converge(docker_role(host, report), report)
        with report.stage("images"):
            # The defaults, whatever the `.env` of this clone says.
            settings = load_settings(Path(os.devnull), {}, {})
            images = plan_images(host, REPOSITORY, settings, report, services=(DB, *SERVICES, BACKUP), max_age=MAX_AGE)
            converge(images_role(host, images, report), report)
    except LabelrigError as error:
        report.info(f"error: {error}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
