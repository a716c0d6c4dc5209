"""An engine of our own beside the machine's, with a stand-in for the toolkit: daemon.json and `--gpus` are real.

With `--gpu` the check inside a container is made on the machine's own engine and GPU as well.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import HostError
from core.operation import converge
from core.report import Report
from core.waiting import wait_for
from hosts.local import LocalHost
from infra.config.settings import Settings
from infra.roles.docker.client import EngineState, engine_state
from infra.roles.docker.compose import Compose
from infra.roles.docker.daemon_json import DaemonConfigured
from infra.roles.docker.service import Daemon, EngineRunning
from infra.roles.nvidia.choice import GpuState, judge
from infra.roles.nvidia.container_check import GpuSeenInContainer
from infra.roles.nvidia.facts import parse_gpus, read_gpu
from infra.roles.nvidia.role import RUNTIME
from infra.roles.stack.image_folders import ImageFolder
from infra.roles.stack.render import GPU as GPU_OVERRIDE
from infra.roles.stack.render import StackFiles, render_stack, stack_values
from tests.base_image import base_image
from tests.nvidia_shim.programs import GPU, hook, install, runtime, working_smi

pytestmark = [pytest.mark.docker, pytest.mark.slow]
IMAGE = "labelrig-test/bare:1"
GPUS = parse_gpus(GPU)


class Engine:
    """A dockerd with folders, a socket, a network and a daemon.json of its own; stand-ins come first on its PATH."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "daemon.json"
        self.record = folder / "record"
        self._pidfile = folder / "docker.pid"
        programs, smi = folder / "programs", folder / "nvidia-smi"
        scripts = {
            "nvidia-container-runtime": runtime(str(self.record)),
            "nvidia-container-runtime-hook": hook(str(self.record), smi),
        }
        install(programs, scripts)
        install(folder, {smi.name: working_smi()})
        self.socket = folder / "d.sock"
        self._service = EngineRunning(
            LocalHost(),
            Report(),
            Daemon(
                # A network of its own: an engine on the machine's would remove the bridge of the one that is there.
                program=("unshare", "--net", "env", f"PATH={programs}:{os.environ['PATH']}", "dockerd"),
                log=str(folder / "dockerd.log"),
                pidfiles=((str(self._pidfile), "dockerd"),),
                arguments=(
                    f"--config-file={self.file}",
                    f"--host=unix://{self.socket}",
                    f"--data-root={folder}/data",
                    f"--exec-root={folder}/exec",
                    f"--pidfile={self._pidfile}",
                ),
            ),
            ask_engine=lambda: engine_state(LocalHost()),
        )

    def start(self) -> None:
        self._service.start_by_itself()

    def stop(self) -> None:
        number = self._pidfile.read_text().strip() if self._pidfile.exists() else "none"
        running = Path("/proc", number, "comm")
        if running.exists() and running.read_text() == "dockerd\n":
            os.kill(int(number), signal.SIGTERM)
            wait_for("dockerd to end", lambda: True if not running.exists() else None, timeout=60, pause=0.1)

    def restart(self) -> None:
        self.stop()
        self.start()

    def configured(self, wanted: dict[str, object]) -> DaemonConfigured:
        return DaemonConfigured(LocalHost(), Report(), wanted, self.restart, str(self.file))


@pytest.fixture(scope="module")
def base() -> str:
    return base_image(Report())


@pytest.fixture
def engine(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    exported = exported_root(base, tmp_path / "root.tar")
    one = Engine(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{one.socket}")
    one.file.write_text('{"log-level": "warn"}\n')
    try:
        one.start()
        docker("import", str(exported), IMAGE)
        yield one
    finally:
        one.stop()
        # A daemon that could not start leaves its data folder mounted on itself.
        mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for path in reversed([path for path in mounted if path.startswith(f"{tmp_path}/")]):
            LocalHost().run("umount", path, as_root=True)


def exported_root(image: str, file: Path) -> Path:
    container = docker("create", image, "true").strip()
    try:
        docker("export", f"--output={file}", container)
    finally:
        docker("rm", container)
    return file


def docker(*args: str) -> str:
    answer = subprocess.run(["docker", *args], capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_the_engine_gets_the_runtime_and_a_container_the_gpu(engine: Engine) -> None:
    assert converge([engine.configured(dict(RUNTIME))], Report()) == 1
    assert "nvidia" in json.loads(docker("info", "--format={{json .Runtimes}}"))
    assert docker("info", "--format={{.DefaultRuntime}}") == "runc\n"  # never the default
    assert converge([engine.configured(dict(RUNTIME))], Report()) == 0

    assert GpuSeenInContainer(LocalHost(), IMAGE, GPUS, applies=True).plan() == []
    assert engine.record.read_text() == "hook prestart\n"
    engine.record.write_text("")
    docker("run", "--rm", "--network=none", "--runtime=nvidia", IMAGE, "true")
    assert engine.record.read_text().startswith("runtime ")
    engine.record.write_text("")
    docker("run", "--rm", "--network=none", IMAGE, "true")
    assert engine.record.read_text() == ""  # who asks for no GPU gets none
    assert docker("ps", "--all", "--quiet") == ""


def test_a_gpu_that_no_container_gets_is_one_error(engine: Engine) -> None:
    (engine.record.parent / "programs" / "nvidia-container-runtime-hook").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(HostError, match=r"the machine sees 1 GPU\(s\), and a container of .* does not \(exit code 12"):
        GpuSeenInContainer(LocalHost(), IMAGE, GPUS, applies=True).plan()


def test_settings_against_the_command_line_are_undone(engine: Engine) -> None:
    """Settings that contradict the command line are undone and the engine runs."""
    before = engine.file.read_text()
    with pytest.raises(HostError) as caught:
        converge([engine.configured({"hosts": ["unix:///run/somewhere.sock"]})], Report())
    message = str(caught.value)
    assert f"did not come back with the changed {engine.file}; {engine.file}.labelrig-2" in message
    assert "was put back and the engine runs again. What it said: dockerd ended at once" in message
    assert "specified both as a flag and in the configuration file" in message
    assert engine.file.read_text() == before
    assert engine_state(LocalHost()) is EngineState.ANSWERS


def test_gpu_yaml_merges_with_what_is_rendered(tmp_path: Path) -> None:
    chosen = {"LABEL_STUDIO_PASSWORD": "a-password", "LABEL_STUDIO_SECRET_KEY": "a-secret-key", "LABELRIG_UID": 61041}
    images = {"label-studio": "a:1", "sam2": "b:1", "proxy": "c:1"}
    values = stack_values(Settings.model_validate(chosen), images, "demo")
    folders = [ImageFolder("set", str(tmp_path)), ImageFolder("more", str(tmp_path))]

    def sam2(**backend: str) -> dict[str, Any]:
        files = StackFiles(str(tmp_path), (GPU_OVERRIDE,))
        host = LocalHost()
        for file in render_stack(files, values, folders, folders, [4711], backend):
            host.write(file.path, file.content, file.mode)
        config = Compose(host, "x", files.compose, files.env).run("config").stdout
        service: dict[str, Any] = yaml.safe_load(config)["services"]["sam2"]
        return service

    service = sam2(LOG_LEVEL="DEBUG")
    assert service["deploy"]["resources"]["reservations"]["devices"] == [
        {"driver": "nvidia", "count": -1, "capabilities": ["gpu"]}
    ]
    assert int(service["shm_size"]) == 1 << 30
    assert service["group_add"] == ["4711"]
    assert len(service["volumes"]) == 5
    expected = {"SAM2_DEVICE": "cuda", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility", "LOG_LEVEL": "DEBUG"}
    assert service["environment"].items() >= expected.items()
    assert service["environment"]["SAM2_MODEL"] == "demo"
    # What a person says about the backend wins.
    assert sam2(SAM2_DEVICE="cpu")["environment"]["SAM2_DEVICE"] == "cpu"


def test_the_gpu_of_this_machine(request: pytest.FixtureRequest, base: str) -> None:
    if not request.config.getoption("--gpu", default=False):
        pytest.skip("needs --gpu, on a machine with an NVIDIA GPU, its driver and the container toolkit")
    host = LocalHost()
    facts = read_gpu(host)
    assert judge(facts, "12.6")[0] is GpuState.READY
    assert facts.gpus[0].driver == facts.module
    assert facts.library in (None, facts.module)
    assert GpuSeenInContainer(host, base, facts.gpus, applies=True).plan() == []
