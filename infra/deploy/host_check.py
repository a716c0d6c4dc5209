"""What a host must have before the first step of a deploy; nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import SudoRefused
from core.operation import Runner
from core.repository import REPOSITORY
from hosts.base import Host
from hosts.local import LocalHost
from infra.bundle.reading import Bundle
from infra.config.host_settings import HostSettings
from infra.config.settings import UID, Settings
from infra.fleet.target import own_images, part_of, settings_of
from infra.roles.images.bundled import bundled_tags
from infra.roles.images.role import possible_images, sendable_images
from infra.roles.nvidia.choice import gpu_problems
from infra.roles.nvidia.facts import read_gpu
from infra.roles.preflight.bundle import BundleUse
from infra.roles.preflight.role import RayPorts, check_machine
from infra.roles.stack.certificate import certificate_problems
from infra.stack.site import SECRETS_FILE, images_wanted, read_secrets
from infra.stack.stages import newest_torch_cuda
from labelstudio.config import ProjectSpec


@dataclass(frozen=True)
class HostCheck:
    """The stage "preflight" of one host.

    Attributes:
        host: the machine.
        host_settings: what the inventory and the command line want of it.
        here: this machine.
        bundle: everything that the host lacks comes from there; None: from the network.
        base: the folder of the stack on the host.
    """

    host: Host
    host_settings: HostSettings
    here: LocalHost
    bundle: Bundle | None
    base: str

    def run(self, run: Runner, spec: ProjectSpec) -> None:
        """Check everything; without the right to become root, that is one problem among the others.

        Raises:
            PreflightError: lists every problem.
        """
        settings = settings_of(self.host_settings)
        services = tuple(one for one in self._images(settings) if one not in own_images(self.host_settings))
        with run.stage("preflight"):
            machine = self.host.run("uname", "-m").stdout.strip()
            if self.bundle is None:
                images = possible_images(self.here, REPOSITORY, settings, run.report, services, machine)
                sent = sendable_images(self.here, machine, self.host_settings.images, images)
            else:
                sent = bundled_tags(self.bundle, services)
                images = [sent]
            check_machine(
                self.host,
                settings,
                folder=settings.data,
                pattern=spec.images_filter,
                state=self.host_settings.root,
                images=images,
                sent=sent,
                stack_there=self._was_deployed(),
                uid=self._user_so_far(),
                bundle=self._bundle_use(settings),
                also=[*self._gpu_problems(), *self._certificate_problems(settings)],
                publishes=not self.host_settings.is_worker,
                ray=self._ray(),
            )
            run.report.ok("this machine has what is needed", [])

    def _images(self, settings: Settings) -> tuple[str, ...]:
        return images_wanted(settings, part_of(self.host_settings))

    def _ray(self) -> RayPorts | None:
        serving = self.host_settings.serving
        if serving is None:
            return None
        return RayPorts(serving.addresses[self.host_settings.name], serving.ports)

    def _bundle_use(self, settings: Settings) -> BundleUse | None:
        if self.bundle is None:
            return None
        own, cuda = own_images(self.host_settings), newest_torch_cuda()
        return BundleUse(self.bundle, self._images(settings), settings.model, self.host_settings.gpu, cuda, own)

    def _gpu_problems(self) -> list[str]:
        if self.host_settings.sam2_image:
            return []  # what a lab's own image is built for is known when it is there: the stage "gpu" asks it
        return gpu_problems(read_gpu(self.host), self.host_settings.gpu, newest_torch_cuda())

    def _certificate_problems(self, settings: Settings) -> list[str]:
        try:
            return certificate_problems(self.host, settings)
        except SudoRefused:
            return []  # which is a problem of its own, reported with the others

    def _was_deployed(self) -> bool:
        try:
            return self.host.run("test", "-e", f"{self.base}/current", ok=(0, 1), as_root=True).ok
        except SudoRefused:
            return False  # which is a problem of its own, reported with the others

    def _user_so_far(self) -> int | None:
        try:
            text = read_secrets(self.host, f"{self.base}/{SECRETS_FILE}").get(UID, "")
        except SudoRefused:
            return None
        return int(text) if text.isdigit() else None
