"""`./inv up`: from a bare machine to a proven click, on this machine."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from infra.folders import DEMO, ImageFolder, read_folders, with_folder
from infra.hosts.base import Exec, Host, Result
from infra.labelstudio.access import Access
from infra.labelstudio.config import ProjectSpec, load_project
from infra.operation import Operation, converge
from infra.operations.compose_cli import Compose
from infra.operations.demo_images import DemoImagesDrawn
from infra.operations.engine_client import engine_client
from infra.operations.files import FilesWritten
from infra.operations.image_build import ImageSet
from infra.operations.model_files import ModelChoice, choose_model, demo_notice
from infra.operations.preflight import check_folder
from infra.operations.remembered import SettingsRemembered
from infra.operations.secrets_made import SecretsMade
from infra.operations.stack import StackRunning
from infra.rendering import StackFiles, render_stack, stack_values
from infra.report import Report
from infra.roles.docker import docker_role
from infra.roles.images import images_role, plan_images, possible_images
from infra.roles.preflight import check_machine
from infra.roles.project import DEFAULT_PROJECT, ProjectContext, project_role
from infra.roles.verify import Proof, verify
from infra.settings import REPOSITORY, Settings, env_file, load_settings

if TYPE_CHECKING:
    from docker import DockerClient

EXEC_TIMEOUT = 120.0


def state_folder(settings: Settings) -> Path:
    """Where the rendered files and the demo images of this stack lie."""
    return REPOSITORY / ".labelrig" / settings.project


def demo_spec(spec: ProjectSpec) -> ProjectSpec:
    """Return the project for the demo images: under a title of its own, so that it never mixes with real work."""
    return replace(spec, title=f"{spec.title} {DEMO}")


def up(settings: Settings, host: Host, report: Report, remember: Mapping[str, str]) -> str:
    """Bring everything up, each stage only where something is to do, and prove it.

    Args:
        remember: settings from the command line that `.env` shall keep.

    Returns:
        What a person needs now: URL, login, model, proof, and how long each stage took.

    Raises:
        SettingsError: before anything was changed.
        PreflightError: before anything was changed.
        LabelrigError: a stage failed; what was done stays, and the same command goes on from there.
    """
    spec = load_project(REPOSITORY, DEFAULT_PROJECT)
    env_path = env_file(os.environ)
    files = StackFiles(str(state_folder(settings)))
    demo = state_folder(settings) / "demo"
    folders = read_folders(host, files.folders)
    first_login = settings.password is None
    with report.stage("preflight"):
        check_machine(
            host,
            settings,
            folder=settings.data,
            pattern=spec.images_filter,
            repository=REPOSITORY,
            images=possible_images(REPOSITORY),
        )
        report.settled("this machine has what is needed", [])
    with report.stage("docker"):
        converge(docker_role(host, report), report)
    with closing(engine_client()) as engine:
        with report.stage("images"):
            images = plan_images(host, REPOSITORY, settings, report)
            converge(images_role(host, images, report), report)
        with report.stage("settings and data"):
            operations: list[Operation] = [SecretsMade(host, env_path, settings)]
            if settings.data is None:
                operations.append(DemoImagesDrawn(demo))
                folders, folder = with_folder(folders, demo / "images", DEMO)
                spec = demo_spec(spec)
            else:
                folders, folder = with_folder(folders, settings.data)
            converge(operations, report)
        settings = load_settings(env_path, os.environ, dict(remember))
        with report.stage("model"):
            choice = _model(host, settings, images, files, report)
        with report.stage("stack"):
            compose = Compose(host, settings.project, files.compose, files.env)
            converge(_stack(host, settings, images, files, folders, choice, compose, engine, report), report)
        context = ProjectContext(
            host=host,
            env_file=str(env_path),
            folder=folder,
            access=Access.of(settings),
            exec_in_label_studio=exec_in(host, compose, "label-studio"),
            exec_in_backend=exec_in(host, compose, "sam2"),
            report=report,
            truth=demo / "truth" if settings.data is None else None,
        )
        with report.stage("project"):
            converge(project_role(settings, spec, context), report)
        with report.stage("proof"):
            proof = verify(settings, spec, context, report)
            report.settled(proof.sentence(), [])
            # Only now: a choice that does not work must not become what the next run does by itself.
            converge([SettingsRemembered(host, env_path, remember)], report)
        context.access.close()
    return _summary(settings, context, choice, proof, report, first_login)


def _model(host: Host, settings: Settings, images: ImageSet, files: StackFiles, report: Report) -> ModelChoice:
    choice = choose_model(host, settings, images.sam2, files.folder, report)
    report.settled(f"model {choice.name}", [f"download the {choice.name} checkpoint"] if choice.downloaded else [])
    if choice.name == "demo":
        report.notice(demo_notice(choice))
    return choice


def _stack(
    host: Host,
    settings: Settings,
    images: ImageSet,
    files: StackFiles,
    folders: list[ImageFolder],
    choice: ModelChoice,
    compose: Compose,
    engine: DockerClient,
    report: Report,
) -> list[Operation]:
    mounted = [folder for folder in folders if Path(folder.path).is_dir()]
    for folder in folders:
        if folder not in mounted:
            report.notice(f"the image folder {folder.path} is not there now; its tasks show no image until it is back")
    # A folder open to a group only: the containers' user joins it. Folders that preflight refused never get here.
    groups = sorted({group for one in mounted if (group := check_folder(Path(one.path), "").group) is not None})
    values = stack_values(settings, label_studio_image=images.label_studio, sam2_image=images.sam2, model=choice.name)
    return [
        FilesWritten(host, render_stack(files, values, folders, mounted, groups, settings.backend)),
        StackRunning(compose, settings.project, lambda: engine, report),
    ]


def exec_in(host: Host, compose: Compose, service: str) -> Exec:
    """Return what runs a command inside the running container of a service."""

    def run(
        *argv: str, ok: Collection[int] = (0,), timeout: float = EXEC_TIMEOUT, stdin: bytes | None = None
    ) -> Result:
        command = compose.argv("exec", "--no-TTY", service, *argv)
        return host.run(*command, ok=ok, timeout=timeout, stdin=stdin)

    return run


def _summary(
    settings: Settings, context: ProjectContext, choice: ModelChoice, proof: Proof, report: Report, first: bool
) -> str:
    """What a person needs now. The password is shown on the first run only; after that it is in `.env`."""
    password = settings.password.get_secret_value() if first and settings.password is not None else None
    shown = f"password {password} (kept in {context.env_file}, not shown again)" if password else "password in .env"
    report.facts |= {
        "url": settings.url,
        "username": settings.username,
        "folder": context.folder.path,
        "model": choice.name,
        "model_version": proof.model_version,
        "proof": asdict(proof),
    }
    return "\n".join(
        [
            "",
            f"  open     {settings.url}",
            f"  login    {settings.username}, {shown}",
            f"  images   {context.folder.path}",
            f"  model    {choice.name} ({proof.model_version})",
            f"  proof    {proof.sentence()}",
            "",
            report.recap(),
        ]
    )
