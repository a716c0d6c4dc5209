"""The role nvidia on a Debian in a container, with apt, a signed repository and device nodes that are real.

The GPU, its driver and the packages' content are stand-ins; with `--gpu`, on a GPU machine, the GPU and the driver are
real.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest

from core.errors import HostError, PreflightError
from core.operation import Operation, Previewer, converge
from core.report import Report
from infra.roles.docker import apt as engine_apt
from infra.roles.docker.daemon_json import DAEMON_FILE, owed_file
from infra.roles.nvidia.choice import GpuState, judge
from infra.roles.nvidia.devices import RULE_FILE
from infra.roles.nvidia.facts import PROC_VERSION, read_gpu
from infra.roles.nvidia.role import RUNTIME, choose_gpu, nvidia_role
from infra.roles.nvidia.toolkit import KEYRING_FILE, SOURCE_FILE, ToolkitSource
from tests.base_image import base_image
from tests.nvidia_shim.container_host import ContainerHost
from tests.nvidia_shim.programs import SMI_PATH, library, smi, working_smi
from tests.nvidia_shim.repository import Signer, publish

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gpg") is None, reason="the repository is signed with gpg, which is not installed"),
]
DRIVER = "580.65.06"
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch"


@pytest.fixture(scope="module")
def base() -> str:
    return base_image(Report())


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    one = Signer(tmp_path_factory.mktemp("signer") / "gnupg")
    yield one
    one.close()


class Lab:
    """A server with a GPU, an apt repository, and a key server; `restarts` counts the engine's."""

    def __init__(self, host: ContainerHost, repository: Path, signer: Signer, key_url: str) -> None:
        self.host = host
        self.repository = repository
        self.signer = signer
        self.source = ToolkitSource("file:///repository", key_url, signer.fingerprint)
        self.restarts: list[bytes | None] = []

    def publish(self, *versions: str) -> None:
        publish(self.repository, self.signer, list(versions))

    def role(self, source: ToolkitSource | None = None) -> list[Operation]:
        report = Report(io.StringIO())
        choice = choose_gpu(read_gpu(self.host), "require", "13.0", report)
        return nvidia_role(self.host, report, choice, self.restart, source=source or self.source)

    def restart(self) -> None:
        self.restarts.append(self.host.read(DAEMON_FILE))

    def deploy(self) -> int:
        return converge(self.role(), Report(io.StringIO()))

    def toolkit(self) -> str:
        return self.host.run("dpkg-query", "-W", "-f", "${Version}", "nvidia-container-toolkit").stdout


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def lab(base: str, signer: Signer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    real = request.config.getoption("--gpu", default=False)
    repository, sys, keys = (tmp_path / name for name in ("repository", "sys", "keys"))
    device, module = sys / "bus/pci/devices/0000:01:00.0", sys / "module/nvidia"
    for folder in (repository, device, module, keys):
        folder.mkdir(parents=True)
    tmp_path.chmod(0o755)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030200\n")
    (module / "version").write_text(f"{DRIVER}\n")
    (keys / "gpgkey").write_bytes(signer.key)
    # Only folders that every kernel has can be replaced.
    shims = ["--gpus=all"] if real else [f"--volume={sys}/{name}:/sys/{name}:ro" for name in ("bus", "module")]
    name = f"labelrig-test-nvidia-{uuid4().hex[:8]}"
    with served(keys) as address:
        docker(
            "run", "--detach", "--rm", "--init", "--network=none", f"--name={name}", *shims,
            f"--volume={repository}:/repository:ro", base, "sleep", "3600",
        )  # fmt: skip
        try:
            host = ContainerHost(name)
            if not real:
                host.write(SMI_PATH, working_smi().encode(), 0o755)
                host.run(*library(DRIVER))
                host.run("mknod", "/dev/nvidia0", "c", "195", "0")
            one = Lab(host, repository, signer, f"{address}/gpgkey")
            one.publish("1.17.4-1", "1.18.0-1")
            yield one
        finally:
            docker("rm", "--force", name)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A web server for the files of a folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def docker(*args: str) -> str:
    return subprocess.run(["docker", *args], check=True, capture_output=True, text=True, timeout=120).stdout


def shimmed(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--gpu", default=False):
        pytest.skip("a driver that works cannot be made to fail")


def test_a_bare_server_gets_the_toolkit_once(lab: Lab) -> None:
    """From a bare server to the toolkit and then nothing is to do."""
    host = lab.host
    host.run("mkdir", "-p", "/run/systemd/system")
    assert lab.deploy() == 6
    assert lab.toolkit() == "1.18.0-1"
    assert host.run("nvidia-ctk", "--version").stdout == "NVIDIA Container Toolkit CLI version 1.18.0\n"
    assert json.loads(host.read(DAEMON_FILE) or b"") == RUNTIME
    assert lab.restarts == [host.read(DAEMON_FILE)]
    assert host.read(owed_file()) is None
    assert host.read(RULE_FILE) is not None
    assert host.run("readlink", "/dev/char/195:0").stdout == "/dev/nvidia0\n"
    assert host.run("stat", "-c", "%a %U", KEYRING_FILE, SOURCE_FILE, DAEMON_FILE).stdout == "644 root\n" * 3
    assert lab.deploy() == 0
    assert len(lab.restarts) == 1


def test_a_plan_of_a_bare_server_writes_nothing(lab: Lab) -> None:
    look = ("sh", "-c", "find / -xdev -newer /dev/shm/mark -type f ! -path '/proc/*' ! -path '/sys/*' | sort")
    lab.host.run("touch", "/dev/shm/mark")
    preview = Previewer(Report(io.StringIO()))
    preview.run(lab.role())
    assert lab.host.run(*look).stdout == ""
    assert [len(preview.report.stages[0].changed), preview.report.stages[0].unknown] == [4, []]
    assert lab.restarts == []


def test_an_old_toolkit_is_upgraded_and_a_newer_one_stays(lab: Lab) -> None:
    """An old toolkit is upgraded without a restart and a newer one stays."""
    lab.publish("1.17.8-1")
    lab.deploy()
    lab.publish("1.17.8-1", "1.18.0-1")
    lab.host.run("apt-get", "update", timeout=60)
    assert lab.deploy() == 0  # good enough: what somebody holds back is not touched
    assert lab.toolkit() == "1.17.8-1"
    lab.publish("1.16.2-1", "1.18.0-1")
    older = ("nvidia-container-toolkit=1.16.2-1", "nvidia-container-toolkit-base=1.16.2-1")
    lab.host.run("apt-get", "update", timeout=60)
    lab.host.run("apt-get", "install", "-y", "--allow-downgrades", *older, timeout=60)
    assert lab.deploy() == 1
    assert lab.toolkit() == "1.18.0-1"
    assert len(lab.restarts) == 1


def test_lists_that_are_older_than_the_repository_are_refreshed(lab: Lab) -> None:
    lab.publish("1.17.4-1")
    with pytest.raises(HostError, match=r"the lab: apt offers nvidia-container-toolkit 1.17.4-1, and 1.17.8 or newer"):
        lab.deploy()
    lab.publish("1.17.4-1", "1.18.0-1")
    assert lab.deploy() == 2
    assert lab.toolkit() == "1.18.0-1"


def test_the_same_source_under_another_name_and_key_file_is_used(lab: Lab) -> None:
    theirs = "/usr/share/keyrings/theirs.asc"
    lab.host.write(theirs, lab.signer.key)
    lab.host.write("/etc/apt/sources.list.d/theirs.list", f"deb [signed-by={theirs}] file:///repository /\n".encode())
    assert lab.deploy() == 2
    assert lab.host.read(SOURCE_FILE) is None
    assert lab.toolkit() == "1.18.0-1"


def test_packages_that_another_key_signed_are_not_installed(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_apt, "LOCK_SECONDS", 0)
    with closing(Signer(tmp_path / "stranger")) as stranger:
        publish(lab.repository, stranger, ["1.18.0-1"])
    with pytest.raises(HostError, match=r"NO_PUBKEY|is not signed"):
        lab.deploy()
    assert lab.host.run("which", "nvidia-ctk", ok=(0, 1)).exit_code == 1
    assert lab.restarts == []


def test_another_key_than_the_pinned_one_is_not_even_written(lab: Lab) -> None:
    nvidia = ToolkitSource(lab.source.packages, lab.source.key)
    with pytest.raises(HostError, match=f"holds the key {lab.signer.fingerprint}, and C95B321B61E8"):
        converge(lab.role(nvidia), Report(io.StringIO()))
    assert lab.host.read(KEYRING_FILE) is None


def test_a_reinstalled_toolkit_reconfigures_the_engine(lab: Lab) -> None:
    """A toolkit that is installed again makes the engine look again."""
    lab.deploy()
    packages = ("nvidia-container-toolkit", "nvidia-container-toolkit-base")
    lab.host.run("apt-get", "purge", "-y", *packages, timeout=60)
    assert lab.deploy() == 2
    assert len(lab.restarts) == 2
    assert lab.deploy() == 0


def test_what_the_machine_says_is_read(lab: Lab, request: pytest.FixtureRequest) -> None:
    facts = read_gpu(lab.host)
    assert judge(facts, "12.6")[0] is GpuState.READY
    assert facts.library == facts.module == facts.gpus[0].driver
    if not request.config.getoption("--gpu", default=False):
        assert facts.devices == ("0000:01:00.0",)
        assert (facts.module, facts.gpus[0].capability, lab.host.read(PROC_VERSION)) == (DRIVER, (8, 0), None)


def test_an_updated_driver_under_a_running_one_asks_for_a_reboot(lab: Lab, request: pytest.FixtureRequest) -> None:
    shimmed(request)
    lab.host.write(SMI_PATH, smi(MISMATCH, 18).encode(), 0o755)
    lab.host.run("sh", "-c", "rm /usr/lib/*/libnvidia-ml.so.*")
    lab.host.run(*library("580.95.05"))
    with pytest.raises(PreflightError, match=r"module is 580.65.06 and the driver's library 580.95.05: .*reboot it"):
        lab.role()


def test_a_driver_without_its_module_is_no_driver_that_works(lab: Lab, request: pytest.FixtureRequest) -> None:
    shimmed(request)
    lab.host.write(SMI_PATH, smi("NVIDIA-SMI has failed", 9).encode(), 0o755)
    facts = read_gpu(lab.host)
    assert judge(facts, "13.0")[0] is GpuState.BROKEN  # its module is loaded
    assert "the driver is not loaded" in judge(facts, "13.0")[1]
