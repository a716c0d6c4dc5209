"""`./inv up`: from a bare machine to a proven click, on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from core.operation import Applier, Operation, converge
from core.report import Report
from core.repository import REPOSITORY
from hosts.base import Host
from infra.bundle.reading import Bundle
from infra.config.settings import Settings
from infra.roles.docker.client import engine_client
from infra.roles.docker.role import docker_role
from infra.roles.images.bundle_apt import BundleApt
from infra.roles.images.bundled import bundled_images, bundled_images_role, bundled_tags
from infra.roles.images.remove import remove_replaced
from infra.roles.images.role import images_role, plan_images, possible_images
from infra.roles.nvidia.choice import gpu_problems
from infra.roles.nvidia.facts import read_gpu
from infra.roles.preflight.bundle import BundleUse
from infra.roles.preflight.role import check_machine
from infra.roles.project.role import project_role
from infra.roles.project.verify import verify
from infra.roles.stack.certificate import certificate_problems
from infra.roles.stack.container_user import ContainerUserChosen
from infra.roles.stack.demo_images import DemoImagesDrawn
from infra.roles.stack.env_choices import SettingsRemembered
from infra.roles.stack.files import FilesWritten
from infra.roles.stack.image_folders import DEMO, read_folders, with_folder
from infra.roles.stack.secrets import SecretsMade
from infra.stack.database_choice import database_of, refuse_other_database
from infra.stack.kept_secrets import kept_secrets, notice_of_another_key
from infra.stack.maintenance import MaintenancePass, access_of
from infra.stack.site import Site, local_site, rendered, state_folder
from infra.stack.stages import (
    Summary,
    backup_operations,
    newest_torch_cuda,
    project_context,
    project_folder,
    resolve_gpu,
    resolve_model,
    root_certificate,
    stack_operations,
    stack_project,
)
from infra.stack.unfinished import refuse_unfinished

STAGES = 9


def up(
    settings: Settings,
    host: Host,
    report: Report,
    remember: Mapping[str, str],
    *,
    show_password: bool = False,
    bundle: Bundle | None = None,
    passing: MaintenancePass | None = None,
) -> str:
    """Bring everything up, each stage only where something is to do, and prove it.

    Args:
        remember: settings from the command line that `.env` will keep.
        show_password: the password of a first login may stand in the returned text: a person reads it on a terminal.
        bundle: everything that is missing comes from this file, which was verified; None: from the network.
        passing: of an upgrade, which this is a part of.

    Returns:
        What a person needs now: URL, login, model, proof, and how long each stage took.

    Raises:
        SettingsError: before anything was changed.
        PreflightError: before anything was changed.
        LabelrigError: a stage failed; what was done stays, and the same command goes on from there.
    """
    spec = stack_project(settings)
    site = replace(local_site(host, settings, remember), proxy=True)
    demo = state_folder(settings) / "demo"
    folders = read_folders(host, site.files.folders)
    if settings.data is not None:
        project_folder(spec, *with_folder(folders, settings.data))
    first_login = settings.password is None
    upgrading = passing is not None
    refuse_unfinished(site, upgrading=upgrading)
    refuse_other_database(database_of(site), settings.database, None)
    cuda = newest_torch_cuda()
    use = None if bundle is None else BundleUse(bundle, site.image_services, settings.model, settings.gpu, cuda)
    apt = None if bundle is None else BundleApt(host, report, bundle, settings.project)
    with report.stage("preflight"):
        check_here(site, report, bundle, use)
        report.ok("this machine has what is needed", [])
    with report.stage("docker"):
        converge(docker_role(host, report, apt), report)
    with closing(engine_client(host)) as engine:
        with report.stage("images"):
            if bundle is None:
                images = plan_images(host, REPOSITORY, settings, report, services=site.image_services)
                converge(images_role(host, images, report), report)
            else:
                origin = bundled_images(bundle, REPOSITORY, settings, site.image_services, {})
                images = origin.images
                converge(bundled_images_role(host, origin, bundle, report), report)
        with report.stage("gpu"):
            gpu = resolve_gpu(Applier(report), host, settings.gpu, images.sam2, {}, manage=True, apt=apt)
        with report.stage("settings and data"):
            operations: list[Operation] = [
                SecretsMade(host, Path(site.env_file), settings, kept_secrets(site)),
                ContainerUserChosen(host, site.env_file, settings, site.files.env),
            ]
            notice_of_another_key(site, report)
            if settings.data is None:
                operations.append(DemoImagesDrawn(demo))
                folders, folder = with_folder(folders, demo / "images", DEMO)
            else:
                folders, folder = with_folder(folders, settings.data)
            converge(operations, report)
        site = replace(site, settings=site.reload(), gpu=gpu, proxy=True)
        with report.stage("model"):
            choice = resolve_model(site, images.sam2, report, bundle)
        with report.stage("stack"):
            files = rendered(site, images, choice.name, folders, report)
            written = FilesWritten(host, files, site.files.unused)
            converge([written, *stack_operations(site, lambda: engine, report, upgrading=upgrading)], report)
            if settings.backup_repository:
                converge(backup_operations(site, images.tags, folders, report), report)
            root = root_certificate(site)
            converge([root] if root is not None else [], report)
        truth = demo / "truth" if settings.data is None else None
        folder = project_folder(spec, folders, folder)
        context = project_context(site, folder, access_of(site.settings, passing), truth, report)
        with report.stage("project"):
            converge(project_role(spec, context), report)
        with report.stage("proof"):
            proof = verify(spec, context, report)
            report.ok(proof.sentence(), [])
            # Only now: a choice that does not work must not become what the next run does by itself.
            converge([SettingsRemembered(host, Path(site.env_file), remember)], report)
            # An upgrade goes back to them where what comes after this fails.
            if passing is None and (replaced := remove_replaced(host, images)):
                report.ok("replaced images removed", [f"removed {tag}" for tag in replaced])
        context.access.close()
    summary = Summary(site, folder, choice.name, proof, first_login, site.settings.address_for_people, root)
    report.facts |= summary.facts()
    return summary.text(report, show_password=show_password)


def check_here(site: Site, report: Report, bundle: Bundle | None = None, use: BundleUse | None = None) -> None:
    """Check everything that `up` needs of this machine, before anything is changed.

    Args:
        bundle: what comes from a file and not from the network.
        use: what of it is used.

    Raises:
        PreflightError: lists every problem.
    """
    host, settings, spec = site.host, site.settings, stack_project(site.settings)
    if bundle is None:
        wanted = possible_images(host, REPOSITORY, settings, report, site.image_services)
    else:
        wanted = [bundled_tags(bundle, site.image_services)]
    check_machine(
        host,
        settings,
        folder=settings.data,
        pattern=spec.images_filter,
        state=str(REPOSITORY),
        images=wanted,
        bundle=use,
        stack_there=host.read(site.files.env) is not None,
        uid=settings.uid,
        also=[
            *gpu_problems(read_gpu(host), settings.gpu, newest_torch_cuda()),
            *certificate_problems(host, settings),
        ],
    )
