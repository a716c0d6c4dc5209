"""The whole stack in a compose project of its own: own port, network and volumes.

pytest-docker brings the containers up and takes them away. It leaves them when `up` itself fails, so the removal is
ours and comes first.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shlex
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from docker import DockerClient

from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.config.backend_login import backend_login
from infra.config.settings import Settings, load_settings
from infra.dev.lanes import LANE_VARIABLE
from infra.roles.docker.client import engine_client
from infra.roles.docker.compose import Compose, find_compose
from infra.roles.docker.role import docker_role
from infra.roles.images.role import images_role, plan_images
from infra.roles.project.role import ProjectContext, project_role
from infra.roles.stack.backend_secrets import BackendPasswordPresent, in_writer, secret_writer
from infra.roles.stack.container_user import ContainerUserChosen
from infra.roles.stack.containers import StackRunning
from infra.roles.stack.demo_images import DemoImagesDrawn
from infra.roles.stack.files import FilesWritten
from infra.roles.stack.image_folders import DEMO, with_folder
from infra.roles.stack.render import PROXY, StackFiles, render_stack, stack_values
from infra.roles.stack.secrets import SecretsMade
from infra.roles.stack.sizes import machine_size
from infra.roles.stack.volumes import VolumesReady, wanted_by
from infra.stack.site import exec_in, state_folder
from labelstudio.access import Access
from labelstudio.config import demo_spec, load_project
from tests.e2e.clicks import Round
from tests.e2e.project_cases import Stage
from tests.machine import free_port, free_subnet

# Carries the clone's path and the lane, so that two of them at once do not take each other's containers away.
OWNER = f"{REPOSITORY}{os.environ.get(LANE_VARIABLE, '')}"
PROJECT = f"labelrig-e2e-{hashlib.sha256(OWNER.encode()).hexdigest()[:6]}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@dataclass(frozen=True)
class Stack:
    """A running stack. `environment` makes `./inv` work on it and on nothing else; `began` is what its start logged."""

    settings: Settings
    files: StackFiles
    compose: Compose
    running: StackRunning
    environment: dict[str, str]
    began: str


@pytest.fixture(scope="session")
def report() -> Report:
    return Report()


@pytest.fixture(scope="session")
def engine(report: Report) -> Iterator[DockerClient]:
    converge(docker_role(LocalHost(), report), report)
    with closing(engine_client(LocalHost())) as client:
        yield client


@pytest.fixture(scope="session")
def env_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e2e") / ".env"


@pytest.fixture(scope="session")
def environment(env_path: Path) -> dict[str, str]:
    """An environment without settings of the person who runs the tests, but with this stack's `.env`."""
    theirs = {name: value for name, value in os.environ.items() if not name.startswith(("LABELRIG_", "LABEL_STUDIO_"))}
    return theirs | {"LABELRIG_ENV_FILE": str(env_path)}


@pytest.fixture(scope="session")
def settings(env_path: Path, environment: dict[str, str], report: Report) -> Settings:
    env_path.write_text(
        f"LABELRIG_PROJECT={PROJECT}\nLABELRIG_MODEL=demo\nLABELRIG_SUBNET={free_subnet()}\n"
        f"LABEL_STUDIO_PORT={free_port()}\nLABELRIG_METRICS_TOKEN={secrets.token_hex(24)}\n"
    )
    env_path.chmod(0o600)
    given = load_settings(env_path, environment, {})
    made = [SecretsMade(LocalHost(), env_path, given), ContainerUserChosen(LocalHost(), env_path, given, "/no/stack")]
    converge(made, report)
    return load_settings(env_path, environment, {})


@pytest.fixture(scope="session")
def demo_folder(settings: Settings, report: Report) -> Path:
    folder = state_folder(settings) / "demo"
    converge([DemoImagesDrawn(folder)], report)
    return folder


@pytest.fixture(scope="session")
def stack_files(settings: Settings, demo_folder: Path, engine: DockerClient, report: Report) -> StackFiles:
    """Images built where missing, and everything rendered that compose needs."""
    host = LocalHost()
    images = plan_images(host, REPOSITORY, settings, report)
    converge(images_role(host, images, report), report)
    values = stack_values(settings, images.tags, "demo", machine_size(host))
    folders, _ = with_folder([], demo_folder / "images", DEMO)
    files = StackFiles(str(state_folder(settings)), (PROXY,))
    converge([FilesWritten(host, render_stack(files, values, folders, folders, [], settings.backend))], report)
    return files


@pytest.fixture(scope="session")
def compose(settings: Settings, stack_files: StackFiles) -> Compose:
    return Compose(LocalHost(), settings.project, stack_files.compose, stack_files.env)


@pytest.fixture(scope="session")
def docker_compose_project_name() -> str:
    return PROJECT


@pytest.fixture(scope="session")
def docker_compose_file(stack_files: StackFiles) -> list[str]:
    return list(stack_files.compose)


@pytest.fixture(scope="session")
def docker_compose_command(stack_files: StackFiles) -> str:
    program = find_compose(LocalHost())
    assert program is not None
    return f"{shlex.join(program)} --env-file {shlex.quote(stack_files.env)}"


@pytest.fixture(scope="session")
def docker_setup() -> list[str]:
    return ["up --detach --no-build"]


@pytest.fixture(scope="session")
def docker_cleanup() -> list[str]:
    return []  # `stack` does it, also when `up` failed


@pytest.fixture(scope="session")
def stack(
    request: pytest.FixtureRequest,
    settings: Settings,
    stack_files: StackFiles,
    compose: Compose,
    engine: DockerClient,
    report: Report,
    environment: dict[str, str],
) -> Iterator[Stack]:
    """The containers, healthy. Their logs are printed when they do not get there, and they are always removed."""
    down = partial(compose.run, "down", "--volumes", "--remove-orphans", "--timeout", "5", timeout=180)
    try:
        down()  # what a run that was killed has left is another stack under this name, with a network of its own
        wanted = partial(wanted_by, LocalHost(), compose, stack_files.env)
        state = str(state_folder(settings))
        converge([VolumesReady(LocalHost(), settings.project, state, wanted, lambda: engine, report)], report)
        password = backend_login(settings).password
        converge([BackendPasswordPresent(password, [in_writer(compose)], secret_writer(compose))], report)
        request.getfixturevalue("docker_services")
        running = StackRunning(compose, settings.project, lambda: engine, report, stack_files.services)
        running.wait_until_healthy()
        container = running.container("label-studio")
        assert container is not None
        began = container.logs().decode("utf-8", "replace")
        yield Stack(settings, stack_files, compose, running, environment, began)
    finally:
        down()
        shutil.rmtree(state_folder(settings), ignore_errors=True)


@pytest.fixture(scope="session")
def stage(stack: Stack, demo_folder: Path, report: Report) -> Iterator[Stage]:
    """The demo project on the running stack, made by the same role that `up` uses."""
    host, env_path = LocalHost(), Path(stack.environment["LABELRIG_ENV_FILE"])
    spec = demo_spec(load_project(REPOSITORY))
    _, folder = with_folder([], demo_folder / "images", DEMO)
    settings = load_settings(env_path, stack.environment, {})
    context = ProjectContext(
        host=host,
        env_file=str(env_path),
        state=str(state_folder(settings)),
        folder=folder,
        access=Access.of(settings),
        exec_in_label_studio=exec_in(stack.compose, "label-studio"),
        exec_in_backend=exec_in(stack.compose, "sam2"),
        write_secret=secret_writer(stack.compose),
        backend_login=backend_login(settings),
        report=report,
        truth=demo_folder / "truth",
    )
    converge(project_role(spec, context), report)
    yield Stage(settings, spec, context)
    context.access.close()


@pytest.fixture(scope="session")
def round_(stage: Stage) -> Round:
    (backend,) = stage.client.backends(stage.project_id)
    assert stage.ctx.truth is not None
    return Round(stage.client, stage.spec, stage.project_id, backend.id, stage.ctx.folder.name, stage.ctx.truth)
