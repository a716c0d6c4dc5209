"""A restore or an upgrade on a host: the stages of `deploy` around it. The host's lock is held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.errors import LabelrigError, SettingsError
from core.operation import Applier, converge
from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.deploy.deployment import BASE_MODE, OPEN_MODE, Deployment
from infra.deploy.recovery import serve
from infra.fleet.session import Session
from infra.fleet.target import own_images, refuse_alone, site_of, site_of_release
from infra.roles.images.build import ImageSet
from infra.roles.images.role import resolve_images, shipped_images_role
from infra.roles.stack.folders_on_host import FolderThere
from infra.stack.maintenance import MaintenancePass
from infra.stack.site import Site
from infra.stack.stages import stack_project


class OneHost:
    """The stack of one host; see `infra.lifecycle.restore.Machine` and `infra.lifecycle.upgrade.UpgradedMachine`."""

    def __init__(self, session: Session, report: Report) -> None:
        self._session = session
        self._report = report
        self._here = LocalHost()
        self.deployment = Deployment.of(session)
        refuse_alone(session.host_settings)
        self.deployment.still_ours = session.lock.ensure

    @property
    def site(self) -> Site:
        """The stack as it serves, with what was written since; before the first deploy as the inventory has it."""
        one = self._session
        current = one.releases.current()
        if current is None:
            return site_of(one.host, one.host_settings)
        return site_of_release(one.host, one.host_settings, current)

    @property
    def snapshots_of(self) -> str:
        """Its own name."""
        return self._session.host_settings.project

    @property
    def throw_away(self) -> bool:
        """It stays."""
        return False

    @property
    def keeps_choices(self) -> bool:
        """They stand elsewhere."""
        return False

    def still_ours(self) -> None:
        """See that this run still holds the lock of the host."""
        self._session.lock.ensure()

    def prepare(self) -> None:
        """Preflight, Docker, and the stack's folder."""
        one, run = self._session, Applier(self._report)
        self.deployment.check(run, stack_project(self.site.settings))
        self.deployment.bring_docker(run)
        folders = [
            FolderThere(one.host, one.host_settings.root, OPEN_MODE),
            FolderThere(one.host, one.base, BASE_MODE),
        ]
        converge(folders, self._report)

    def images(self, services: Sequence[str]) -> ImageSet:
        """Sent, or built there where they are missing."""
        one = self._session
        origin = resolve_images(
            self._here, one.host, REPOSITORY, self.site.settings, self._report,
            way=one.host_settings.images, services=services, own=own_images(one.host_settings),
        )  # fmt: skip
        converge(shipped_images_role(self._here, one.host, origin, self._report), self._report)
        return origin.images

    def choose(self, choices: Mapping[str, str]) -> None:
        """Nothing: what a host's stack is to be stands in the inventory."""

    def bring_up(self) -> None:
        """The stages of `deploy`, with its gate. No other release is put back: the one before served other data."""
        self.deployment.run(Applier(self._report))

    def use_pass(self, passing: MaintenancePass) -> None:
        """Get through to Label Studio while people see the maintenance page."""
        self.deployment.passing = passing

    def keep_version(self) -> str:
        """The release that serves: its files stay on the host, and so do its images."""
        one = self._session
        current = one.releases.current()
        if current is None or current.gate != "passed":
            raise SettingsError(
                f"{one.host.name}: what serves never passed its gate, so there is nothing to go back to; "
                f"`./inv deploy --host {one.host.name}` first"
            )
        return str(current.id)

    def version_back(self, name: str) -> None:
        """Make that release the current one, and start it."""
        releases = self._session.releases
        found = releases.read()
        failed, target = found.current, found.get(name)
        if target is None:
            raise LabelrigError(f"{self._session.host.name}: release {name} is not there any more")
        if failed is not None and failed.id != target.id and failed.gate != "failed":
            releases.mark(failed.id, "failed")
        serve(self.deployment, releases, target, self._report, upgrading=True)
        self.deployment.release = target

    def forget_version(self) -> None:
        """Nothing: releases go with the deploys to come."""
