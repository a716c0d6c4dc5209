"""A restore or an upgrade on this machine: the stages of `up` around it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.config.dotenv import read_env_file
from infra.config.settings import Settings, env_file, load_settings
from infra.database.here import check_stack
from infra.roles.backup.inside.request import BEFORE_UPGRADE
from infra.roles.docker.client import engine_client
from infra.roles.docker.role import docker_role
from infra.roles.images.build import ImageSet
from infra.roles.images.role import images_role, plan_images
from infra.stack.maintenance import MaintenancePass
from infra.stack.site import Site, local_site
from infra.stack.stages import stack_running, volumes_ready
from infra.stack.up import check_here, up

PRIVATE = 0o600


@dataclass
class ThisMachine:
    """This machine's own stack; see `infra.lifecycle.restore.Machine` and `infra.lifecycle.upgrade.UpgradedMachine`."""

    settings: Settings
    report: Report
    host: LocalHost = field(default_factory=LocalHost)
    choices: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    passing: MaintenancePass | None = None

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

    def still_ours(self) -> None:
        """It has no lock."""

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
        self.summary = up(self.site.settings, self.host, self.report, {}, passing=self.passing)

    def use_pass(self, passing: MaintenancePass) -> None:
        """Get through to Label Studio while people see the maintenance page."""
        self.passing = passing

    def keep_version(self) -> str:
        """Copy the rendered files: they name the images, which stay."""
        site = self.site
        new = f"{self._kept}.new"
        self.host.run("rm", "-rf", new, self._kept)
        for path in (site.files.env, *site.files.compose, site.files.folders):
            content = self.host.read(path)
            if content is not None:
                self.host.write(f"{new}/{PurePosixPath(path).name}", content, PRIVATE)
        self.host.run("mv", "-T", new, self._kept)
        return ""

    def version_back(self, name: str) -> None:
        """Put the copied files back, and start what they say."""
        site = self.site
        names = {PurePosixPath(path).name for path in (site.files.env, *site.files.compose, *site.files.unused)}
        for file in sorted({*names, PurePosixPath(site.files.folders).name}):
            content = self.host.read(f"{self._kept}/{file}")
            if content is None:
                self.host.run("rm", "-f", f"{site.stack_folder}/{file}")
            else:
                mode = PRIVATE if file == PurePosixPath(site.files.env).name else 0o644
                self.host.write(f"{site.stack_folder}/{file}", content, mode)
        site = self.site
        with closing(engine_client(self.host)) as engine:
            volumes = volumes_ready(site, lambda: engine, self.report)
            converge([volumes, stack_running(site, lambda: engine, self.report)], self.report)
        check_stack(site)
        self.forget_version()

    def forget_version(self) -> None:
        """Remove the copy."""
        self.host.run("rm", "-rf", self._kept)

    @property
    def _kept(self) -> str:
        return f"{self.site.state}/{BEFORE_UPGRADE}"
