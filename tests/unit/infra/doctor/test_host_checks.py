"""The doctor's links of the host, in their states: SSH, clock, engine, GPU, files, disk."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from docker.errors import APIError

from core.errors import HostError
from hosts.base import Result
from infra.doctor.diagnosis import Finding, Verdict, broken
from infra.doctor.gpu_checks import check_gpu
from infra.doctor.host_checks import (
    MISSING,
    check_clock,
    check_daemon,
    check_disk,
    check_engine,
    check_files,
    check_memory,
    check_secrets,
    check_ssh,
)
from infra.roles.docker.daemon_json import DAEMON_FILE, owed_file
from infra.roles.nvidia.container_check import TORCH_CUDA
from infra.roles.nvidia.facts import LIBRARY_SCRIPT
from tests.unit.infra.doctor.doctor_bench import (
    GPU_LINE,
    HEALTH,
    LOOK,
    MEMINFO,
    SMI,
    SMI_INSIDE,
    DoctorBench,
    both,
)

Spoil = Callable[[DoctorBench], object]
UP = "`./inv up`"
OLD_DRIVER = GPU_LINE.replace("580", "470")


@pytest.fixture
def bench() -> DoctorBench:
    return DoctorBench()


def test_a_gpu_that_is_used(bench: DoctorBench) -> None:
    bench.with_gpu()
    seen = "NVIDIA driver 580.65.06, NVIDIA H100; the backend computes on cuda:0"
    assert bench.ask(check_gpu) == Finding(Verdict.OK, seen)


def host_settings(gpu: str) -> Spoil:
    def spoil(bench: DoctorBench) -> None:
        bench.settings = bench.settings.model_copy(update={"gpu": gpu})

    return spoil


def device(name: str) -> Spoil:
    return lambda bench: bench.execs["sam2"].answers.update({"GET /health": HEALTH | {"device": name}})


@pytest.mark.parametrize(
    ("spoil", "result", "seen", "fix"),
    [
        (host_settings("off"), "ok", "the settings say off: SAM2 computes on the CPU", ""),
        (host_settings("require"), "broken", "there is no NVIDIA GPU", "set `gpu: auto`, then `./inv up`"),
        (
            both(DoctorBench.with_gpu, lambda b: b.engine.there["sam2"].__setattr__("gpu", False)),
            "warning",
            "NVIDIA driver 580.65.06, NVIDIA H100; the running stack does not use it: SAM2 computes on the CPU",
            "`./inv deploy --host` uses GPUs, `./inv up` does not",
        ),
        (
            both(DoctorBench.with_gpu, lambda b: b.engine.facts.update(Runtimes={"runc": {}})),
            "broken",
            "NVIDIA driver 580.65.06, NVIDIA H100; the Docker engine has no runtime `nvidia` (it has runc)",
            UP,
        ),
        (
            both(DoctorBench.with_gpu, lambda b: b.execs["sam2"].answers.update({SMI_INSIDE[0]: "no devices\n"})),
            "broken",
            "NVIDIA driver 580.65.06, NVIDIA H100; inside the sam2 container nvidia-smi does not list "
            "GPU 0 (NVIDIA H100) (exit code 0)",
            "restart the container: `docker restart labelrig-sam2-1`",
        ),
        (
            both(DoctorBench.with_gpu, device("cpu")),
            "broken",
            "NVIDIA driver 580.65.06, NVIDIA H100; the backend computes on cpu",
            "`./inv logs` says why; then restart the container: `docker restart labelrig-sam2-1`",
        ),
        (
            both(DoctorBench.with_gpu, lambda b: b.execs["sam2"].answers.update({TORCH_CUDA: "None\n"})),
            "broken",
            "the torch of the image is a build for the CPU, so the GPU would stand idle; let pip find a CUDA build "
            "(the Python index has it) where the image is built, then repeat the command",
            "build the images where pip finds a CUDA build of torch, then `./inv up`",
        ),
        (
            both(
                DoctorBench.with_gpu,
                lambda b: b.host.script("sh", "-c", LIBRARY_SCRIPT, stdout="x86-64|/usr/lib/libnvidia-ml.so.575.1\n"),
                lambda b: b.host.script(*SMI, exit_code=18, stdout="Failed to initialize NVML\n"),
            ),
            "broken",
            "the NVIDIA kernel module is 580.65.06 and the driver's library 575.1: the driver was updated and the "
            "machine not rebooted since; reboot it, then repeat the command",
            "`sudo reboot`, then `./inv up`",
        ),
        (
            both(DoctorBench.with_gpu, lambda b: b.host.script(*SMI, stdout=f"{OLD_DRIVER}, 9.0\n")),
            "broken",
            None,
            "install that driver, then `sudo reboot`, then `./inv up`",
        ),
    ],
)
def test_gpu(bench: DoctorBench, spoil: Spoil, result: str, seen: str | None, fix: str) -> None:
    spoil(bench)
    found = bench.ask(check_gpu)
    assert (found.result, found.fix) == (result, fix)
    assert seen in (None, found.seen)


def test_an_engine_that_stops_answering(bench: DoctorBench) -> None:
    bench.engine.error = APIError("gone")
    found = bench.ask(check_engine)
    assert found.seen == "the docker engine of fake host stopped answering: gone"
    assert found.fix == "`sudo systemctl start docker`; where none is installed `./inv up`"


def test_no_compose(bench: DoctorBench) -> None:
    bench.host.run = without_compose  # type: ignore[method-assign]
    assert bench.ask(check_engine) == Finding(
        Verdict.BROKEN, "Docker 28.0.1, and no compose version 2", "`./inv up` installs it"
    )


def without_compose(*argv: str, **_options: object) -> Result:
    return Result(argv, 127, "", "not found")


def test_files(bench: DoctorBench) -> None:
    bench.host.script("sh", "-c", MISSING, "sh", *LOOK, stdout="/stack/compose.yaml\n")
    assert bench.ask(check_files) == Finding(Verdict.BROKEN, "1 of 6 files are missing: /stack/compose.yaml", UP)


def test_secrets(bench: DoctorBench) -> None:
    assert bench.ask(check_secrets) == Finding(Verdict.OK, "/.env, mode 600")
    bench.host.script("stat", "-L", "-c", "%a", "--", "/.env", stdout="644\n")
    seen = "/.env is open to others (mode 644)"
    assert bench.ask(check_secrets) == Finding(Verdict.WARNING, seen, "`chmod 600 /.env`")
    bench.host.script("stat", "-L", "-c", "%a", "--", "/.env", exit_code=1)
    assert bench.ask(check_secrets) == Finding(Verdict.BROKEN, "/.env is not there", UP)


def test_engine_settings_that_drifted(bench: DoctorBench) -> None:
    """`docker_daemon` of the inventory against daemon.json; whatever else the file holds is the lab's own."""
    assert bench.ask(check_daemon).seen == "not needed: its settings are not ours to keep"
    bench.daemon = {"log-driver": "json-file", "log-opts": {"max-size": "10m"}}
    bench.host.files[DAEMON_FILE] = json.dumps(bench.daemon | {"mtu": 1400}).encode()
    assert bench.ask(check_daemon) == Finding(Verdict.OK, f"{DAEMON_FILE} holds log-driver, log-opts")
    bench.host.files[DAEMON_FILE] = b'{"log-driver": "journald"}'
    found = bench.ask(check_daemon)
    assert (found.result, found.fix) == (Verdict.WARNING, f"{UP} (running containers stop for a moment)")
    first, *diff = found.seen.splitlines()
    assert first == f"{DAEMON_FILE} does not hold what `docker_daemon` of the inventory says"
    assert '-{"log-driver": "journald"}' in diff
    assert '+  "log-driver": "json-file",' in diff
    assert bench.host.modes == {}, "a doctor writes nothing"
    bench.host.files[DAEMON_FILE] = json.dumps(bench.daemon).encode()
    bench.host.files[owed_file()] = b"\n"
    assert bench.ask(check_daemon).seen == "the engine was not restarted since its settings changed"


@pytest.mark.parametrize(("free", "result"), [(100, "broken"), (3000, "warning"), (9000, "ok")])
def test_disk(bench: DoctorBench, free: int, result: str) -> None:
    class Disk:
        def run(self, *argv: str, **_options: object) -> Result:
            assert argv[-1] == "/var/lib/docker"
            return Result(argv, 0, f"/var/lib/docker\nAvail Filesystem Mounted on\n{free * 1024**2} /dev/sda1 /\n", "")

    bench.host.run = Disk().run  # type: ignore[method-assign]
    found = bench.ask(check_disk)
    assert (found.result, found.seen) == (result, f"{free / 1024:.1f} GiB free for Docker in /var/lib/docker")


def test_another_host_s_fixes_name_it(bench: DoctorBench) -> None:
    bench.host.is_local = False
    bench.host.name = "gpu01"
    one = bench.inspection()
    assert one.again == "`./inv deploy --host gpu01`"
    assert one.inv("logs") == "`./inv logs --host gpu01`"
    assert one.by_hand("sudo reboot") == "`sudo reboot` on gpu01"
    one.close()


def test_ssh_and_clock_of_another_host(bench: DoctorBench) -> None:
    bench.host.is_local = False
    bench.host.name = "gpu01"
    bench.host.script("id", "-un", stdout="ana\n")
    bench.host.script("true")
    bench.host.script("date", "+%s", stdout="1000\n")
    assert bench.ask(check_ssh).seen == "logged in as ana, who may become root"
    found = bench.ask(check_clock)
    assert found.result is Verdict.WARNING
    assert found.fix == "`sudo timedatectl set-ntp true` on gpu01"
    bench.host.script("true", exit_code=1)
    assert bench.ask(check_ssh).result is Verdict.BROKEN


def test_an_ssh_server_that_allows_too_little(bench: DoctorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a token that cannot be read, or an image on a network share, would be blamed."""

    def refuse(port: int, address: str = "") -> None:
        raise HostError(f"gpu01: no way to {address} port {port}")

    bench.host.is_local = False
    bench.host.script("id", "-un", stdout="ana\n")
    bench.host.script("true")
    monkeypatch.setattr(bench.host, "check_ways", refuse)
    assert bench.ask(check_ssh) == broken(
        "gpu01: no way to 127.0.0.1 port 8080",
        "let an administrator change /etc/ssh/sshd_config there, then `sudo systemctl reload ssh`",
    )


def test_memory(bench: DoctorBench) -> None:
    assert bench.ask(check_memory) == Finding(Verdict.OK, "8.0 of 16.0 GiB available")
    bench.host.files["/proc/meminfo"] = MEMINFO.format(available=300 * 1024).encode()
    assert bench.ask(check_memory) == Finding(
        Verdict.WARNING,
        "0.3 of 16.0 GiB available: the kernel may kill SAM2",
        "`docker stats --no-stream` shows which container takes it, `top` the other programs",
    )


def test_memory_unknown(bench: DoctorBench) -> None:
    """A kernel that does not report it is no reason to call the stack broken."""
    del bench.host.files["/proc/meminfo"]
    found = bench.ask(check_memory)
    assert (found.result, found.fix) == (Verdict.WARNING, "`free -h`")
