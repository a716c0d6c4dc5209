"""A restore on this machine: the stages of `up` around it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.config.dotenv import read_env_file
from infra.config.settings import Settings, env_file, load_settings
from infra.roles.docker.role import docker_role
from infra.roles.images.build import ImageSet
from infra.roles.images.role import images_role, plan_images
from infra.stack.site import Site, local_site
from infra.stack.up import check_here, up


@dataclass
class ThisMachine:
    """This machine's own stack; see `infra.lifecycle.restore.Machine`."""

    settings: Settings
    report: Report
    host: LocalHost = field(default_factory=LocalHost)
    choices: dict[str, str] = field(default_factory=dict)
    summary: str = ""

    @property
    def site(self) -> Site:
        """The stack, with what was written since."""
        self.settings = load_settings(env_file(os.environ), os.environ, dict(self.choices))
        return local_site(self.host, self.settings, dict(self.choices))

    @property
    def snapshots_of(self) -> str:
        """Its own name."""
        return self.settings.project

    @property
    def throw_away(self) -> bool:
        """It stays."""
        return False

    @property
    def keeps_choices(self) -> bool:
        """`.env` holds them."""
        return True

    def prepare(self) -> None:
        """Preflight and Docker, as `up` has them."""
        with self.report.stage("preflight"):
            check_here(self.site, self.report)
            self.report.ok("this machine has what is needed", [])
        with self.report.stage("docker"):
            converge(docker_role(self.host, self.report), self.report)

    def images(self, services: Sequence[str]) -> ImageSet:
        """Built here where they are missing."""
        images = plan_images(self.host, REPOSITORY, self.settings, self.report, services=services)
        converge(images_role(self.host, images, self.report), self.report)
        return images

    def choose(self, choices: Mapping[str, str]) -> None:
        """Where neither `.env` nor the environment says something else."""
        there = read_env_file(env_file(os.environ))
        self.choices = {name: value for name, value in choices.items() if not (there.get(name) or os.environ.get(name))}

    def bring_up(self) -> None:
        """`up`, with its click."""
        self.summary = up(self.site.settings, self.host, self.report, {})
