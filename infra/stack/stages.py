"""The stages that `up` and `deploy` share, from resolved images to a proven click."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import LabelrigError, PreflightError, SettingsError
from core.operation import Operation, Runner, converge
from core.report import Report
from core.repository import REPOSITORY
from hosts.base import Exec, Host
from infra.bundle.reading import Bundle
from infra.config.address import reached_by_itself_only, site_host
from infra.config.backend_login import backend_login
from infra.config.settings import Settings
from infra.config.stack_settings import Gpu
from infra.roles.backup.role import backup_place, backup_role
from infra.roles.docker.apt import Apt
from infra.roles.docker.client import engine_client
from infra.roles.docker.role import restart_engine
from infra.roles.images.tags import pinned_version
from infra.roles.nvidia.choice import TORCH_BUILDS
from infra.roles.nvidia.container_check import GpuSeenInContainer, read_torch_cuda
from infra.roles.nvidia.facts import read_gpu
from infra.roles.nvidia.role import choose_gpu, nvidia_role
from infra.roles.project.role import ProjectContext
from infra.roles.project.verify import SmokeTest
from infra.roles.stack.backend_secrets import BackendPasswordPresent, in_writer, not_in_a_plan, secret_writer
from infra.roles.stack.certificate import CertificateInPlace
from infra.roles.stack.containers import StackRunning
from infra.roles.stack.image_folders import DEMO, ImageFolder, folder_called, not_connected
from infra.roles.stack.model import MODELS, ModelChoice, choose_model, demo_notice
from infra.roles.stack.network import NetworkPresent
from infra.roles.stack.root_certificate import RootCertificateKept
from infra.roles.stack.volumes import VolumesReady, Wanted, wanted_by
from infra.stack.site import Site
from infra.stack.stand_in import HeadRunning, StandIn
from infra.stack.unfinished import refuse_unfinished
from labelstudio.access import Access
from labelstudio.config import ProjectSpec, demo_spec, load_project

if TYPE_CHECKING:
    from docker import DockerClient


def stack_project(settings: Settings) -> ProjectSpec:
    """The project that `up` and `deploy` make: the default one of `projects.yaml`, see `key_of`.

    Raises:
        SettingsError: the file cannot be used, or has several projects and no default.
    """
    spec = load_project(REPOSITORY)
    return demo_spec(spec) if settings.data is None else spec


def project_folder(spec: ProjectSpec, folders: Sequence[ImageFolder], given: ImageFolder) -> ImageFolder:
    """The folder of the project's images: that of `images.folder`, else the one that the run was given.

    Args:
        folders: all that are connected, with the given one.

    Raises:
        SettingsError: `images.folder` names none of them.
    """
    if spec.images_folder is None or given.name == DEMO:
        return given
    found = folder_called(folders, spec.images_folder)
    if found is None:
        problem = not_connected(spec.name, spec.images_folder, folders)
        raise SettingsError(f"{problem}; give its path with --data, or leave `folder` out")
    return found


def newest_torch_cuda() -> str | None:
    """The CUDA version that the pinned torch of the Python index is built for."""
    return TORCH_BUILDS[pinned_version(REPOSITORY / "requirements" / "torch.in", "torch")]


def resolve_gpu(
    run: Runner,
    host: Host,
    setting: Gpu,
    sam2_image: str | None,
    engine_settings: Mapping[str, object],
    *,
    manage: bool,
    apt: Apt | None = None,
) -> bool:
    """Decide whether SAM2 gets the GPU, and prepare the engine for it.

    Args:
        sam2_image: None in a plan that does not know it yet.
        engine_settings: what else `daemon.json` must hold, so that one restart serves for both.
        manage: packages and `daemon.json` may be changed.
        apt: where packages come from; by default the machine's own sources.

    Raises:
        LabelrigError: the GPU is required and cannot be used, or it is set up and does not work.
    """
    facts = read_gpu(host)
    cuda = newest_torch_cuda()
    if facts.gpus and setting != "off" and run.applies and sam2_image is not None:
        cuda = read_torch_cuda(host, sam2_image)
    try:
        choice = choose_gpu(facts, setting, cuda, run.report)
    except PreflightError as error:  # which promises that nothing was changed: not true any more here
        raise LabelrigError(f"{host.name}: {'; '.join(error.problems)}") from None
    if manage:
        restart = partial(restart_engine, host, run.report)
        run.run(nvidia_role(host, run.report, choice, restart, engine_settings=engine_settings, apt=apt))
    if choice.use and sam2_image is not None:
        run.run([GpuSeenInContainer(host, sam2_image, choice.gpus, applies=run.applies)])
    return choice.use


def resolve_model(site: Site, sam2_image: str, report: Report, bundle: Bundle | None = None) -> ModelChoice:
    """Bring the checkpoint where it is needed, and say loudly when it is the demo model.

    Args:
        bundle: where it comes from; None: it is downloaded.

    Raises:
        LabelrigError: the checkpoint cannot be had.
    """
    uid = site.settings.uid
    if site.settings.model != "demo" and uid is not None:
        with closing(engine_client(site.host)) as engine:
            wanted = Wanted(uid, sam2_image, (MODELS,))
            there = VolumesReady(
                site.host, site.settings.project, site.state, lambda: wanted, lambda: engine, report,
                name="volume for checkpoints there",
            )  # fmt: skip
            converge([there], report)
    choice = choose_model(site.host, site.settings, sam2_image, site.state, report, bundle=bundle)
    verb = "download" if bundle is None else "place"
    report.ok(f"model {choice.name}", [f"{verb} the {choice.name} checkpoint"] if choice.downloaded else [])
    if choice.name == "demo":
        report.notice(demo_notice(choice))
    return choice


def stack_running(site: Site, engine: Callable[[], DockerClient], report: Report) -> StackRunning:
    """The operation after which every container of the stack is healthy."""
    return StackRunning(site.compose, site.settings.project, engine, report, site.services)


def stand_in(site: Site, engine: Callable[[], DockerClient], report: Report) -> StandIn:
    """What answers clicks while the head's replicas are replaced."""
    return StandIn(site, stack_running(site, engine, report), report)


def containers_running(site: Site, engine: Callable[[], DockerClient], report: Report) -> Operation:
    """`stack_running`; on the head of several hosts with a stand-in, where clicks would fail meanwhile."""
    running = stack_running(site, engine, report)
    return HeadRunning(running, StandIn(site, running, report)) if site.part == "head" else running


def stack_operations(
    site: Site, engine: Callable[[], DockerClient], report: Report, *, applies: bool = True, upgrading: bool = False
) -> list[Operation]:
    """From rendered files to healthy containers, on the network that the files say, with what they need to know.

    Args:
        applies: False in a plan, which starts no container.
        upgrading: see `refuse_unfinished`.

    Raises:
        Unfinished: a restore or an upgrade was cut off.
    """
    refuse_unfinished(site, upgrading=upgrading)
    project, login = site.settings.project, backend_login(site.settings)
    aside: Exec = in_writer(site.compose) if applies else not_in_a_plan
    return [
        NetworkPresent(site.compose, project, engine, report),
        volumes_ready(site, engine, report, applies=applies),
        *certificate_operations(site, report),
        BackendPasswordPresent(login.password, [site.exec_in_backend, aside], secret_writer(site.compose)),
        containers_running(site, engine, report),
    ]


def certificate_operations(site: Site, report: Report) -> list[Operation]:
    """What must be there before the proxy starts: the lab's certificate, where the lab has one."""
    if reached_by_itself_only(site.settings):
        report.notice(
            f"https://{site_host(site.settings)} is published on {site.settings.listen}, which only this machine "
            "reaches; `listen` 0.0.0.0 opens it to the network"
        )
    if site.settings.tls != "files":
        return []
    return [CertificateInPlace(site.host, site.settings, site.compose)]


def backup_operations(
    site: Site, images: Mapping[str, str], folders: Sequence[ImageFolder], report: Report
) -> list[Operation]:
    """What a stack needs to back itself up; see `infra.roles.backup.role.backup_role`."""
    place = backup_place(site.host, state=site.state, stack=site.stack_folder, secrets=site.env_file)
    return backup_role(site.host, place, site.settings, images, folders, report)


def root_certificate(site: Site) -> RootCertificateKept | None:
    """The root of the proxy's own CA, kept on this machine; None where it has none."""
    if site.settings.tls != "internal":
        return None
    name = site.settings.project if site.host.is_local else f"{site.host.name}-{site.settings.project}"
    return RootCertificateKept(site.exec_in("proxy"), REPOSITORY / ".labelrig" / "roots" / f"{name}.crt")


def volumes_ready(
    site: Site, engine: Callable[[], DockerClient], report: Report, *, may_stop: bool = True, applies: bool = True
) -> VolumesReady:
    """The operation after which the volumes are those of the user that the site's files name.

    Args:
        may_stop: containers that run as another user are taken down; they are made anew by what comes next.
        applies: False in a plan, which starts no container.
    """
    compose = site.compose
    return VolumesReady(
        site.host,
        site.settings.project,
        site.state,
        lambda: wanted_by(site.host, compose, site.files.env),
        engine,
        report,
        compose=compose if may_stop else None,
        applies=applies,
    )


def project_context(
    site: Site, folder: ImageFolder, access: Access, truth: Path | None, report: Report
) -> ProjectContext:
    """What the project stage needs.

    Args:
        folder: the image folder, on the host and in the containers.
        access: the login to Label Studio, as it is reached from here.
        truth: the folder here with the truth of the demo images; None for a person's own.
    """
    return ProjectContext(
        host=site.host,
        env_file=site.env_file,
        state=site.state,
        folder=folder,
        access=access,
        exec_in_label_studio=site.exec_in("label-studio"),
        exec_in_backend=site.exec_in_backend,
        write_secret=secret_writer(site.compose),
        backend_login=backend_login(site.settings),
        report=report,
        truth=truth,
    )


def reached(site: Site) -> AbstractContextManager[str]:
    """Reach the stack's Label Studio from here while the context lasts; yields its base URL."""
    return site.host.forwarded(site.settings.port, site.settings.own_address)


@dataclass(frozen=True)
class Made:
    """A stack as its release has it: settings with secrets, the model, and the image folders."""

    site: Site
    model: str
    folders: Sequence[ImageFolder]


@dataclass(frozen=True)
class Summary:
    """What a person needs after a run."""

    site: Site
    folder: ImageFolder
    model: str
    proof: SmokeTest
    first_login: bool
    how_to_open: str
    root: RootCertificateKept | None = None

    def text(self, report: Report, *, show_password: bool) -> str:
        """The lines for people. The password is shown on the first run only, and on a terminal only: logs are kept."""
        settings = self.site.settings
        shown = f"password in {self.site.env_file}"
        if show_password and self.first_login and settings.password is not None:
            shown = f"password {settings.password.get_secret_value()} (kept in {self.site.env_file}, not shown again)"
        return "\n".join(
            [
                "",
                f"  open     {self.how_to_open}",
                f"  login    {settings.username}, {shown}",
                f"  images   {self.folder.path}",
                f"  model    {self.model} ({self.proof.model_version})",
                f"  proof    {self.proof.sentence()}",
                *(self.root.trust_lines() if self.root is not None else ()),
                "",
                report.recap(),
            ]
        )

    def facts(self) -> dict[str, object]:
        """The same for `--json`."""
        return {
            "url": self.site.settings.address_for_people,
            "username": self.site.settings.username,
            "folder": self.folder.path,
            "model": self.model,
            "model_version": self.proof.model_version,
            "proof": asdict(self.proof),
            "proof_sentence": self.proof.sentence(),
            "how_to_open": self.how_to_open,
            "secrets": self.site.env_file,
            **({"root_certificate": str(self.root.path)} if self.root is not None else {}),
        }
