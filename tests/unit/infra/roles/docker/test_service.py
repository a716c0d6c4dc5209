from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import CommandFailed, HostError
from core.report import Report
from hosts.base import Result
from hosts.local import LocalHost
from infra.roles.docker import service as engine_service
from infra.roles.docker.client import (
    DEFAULT_SOCKET,
    EngineState,
    engine_client,
    engine_state,
    find_endpoint,
    unusable,
)
from infra.roles.docker.service import SYSV_SCRIPT, Daemon, EngineRunning
from tests.fakes import FakeHost

STOPPED = ("systemctl", "stop", "docker")
START = (
    "setsid env -u LABELRIG_RUN -u LABELRIG_COMMAND dockerd </dev/null >>/var/log/labelrig-dockerd.log 2>&1 & echo $!"
)
SCRIPT = ("env", "-u", "LABELRIG_RUN", "-u", "LABELRIG_COMMAND", SYSV_SCRIPT, "start")
NO_PIDFILES = Daemon(pidfiles=())


@pytest.fixture(autouse=True)
def nobody_chose_an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("HOME", str(tmp_path))


def answers(*states: EngineState) -> Callable[[], EngineState]:
    """Gives one state after the other, the last one for ever."""
    left = list(states)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def plain_host(*, systemd: bool = False, script: bool = False) -> FakeHost:
    host = FakeHost()
    host.script("test", "-d", "/run/systemd/system", exit_code=0 if systemd else 1)
    host.script("test", "-x", SYSV_SCRIPT, exit_code=0 if script else 1)
    host.script("sh", "-c", START, stdout="4242\n")
    return host


def test_the_default_endpoint_is_the_usual_socket() -> None:
    assert find_endpoint(LocalHost()).url == DEFAULT_SOCKET
    assert find_endpoint(LocalHost()).is_default


def test_the_variable_chooses_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/user/1000/docker.sock")
    endpoint = find_endpoint(LocalHost())
    assert (endpoint.url, endpoint.chosen_by, endpoint.is_default) == (
        "unix:///run/user/1000/docker.sock", "the variable DOCKER_HOST", False,
    )  # fmt: skip


def test_a_rootless_engine_is_found_by_its_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ".docker"
    meta = folder / "contexts" / "meta" / hashlib.sha256(b"rootless").hexdigest()  # docker's own layout
    meta.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"currentContext": "rootless"}))
    described = {
        "Name": "rootless",
        "Metadata": {},
        "Endpoints": {"docker": {"Host": "unix:///run/user/7/docker.sock"}},
    }
    (meta / "meta.json").write_text(json.dumps(described))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    assert find_endpoint(LocalHost()).url == "unix:///run/user/7/docker.sock"


def test_an_engine_that_does_not_answer_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    assert engine_state(LocalHost()) is EngineState.SILENT
    with pytest.raises(HostError) as caught:
        engine_client(LocalHost())
    assert str(caught.value) == (
        f"the docker engine of this machine at unix://{path} (chosen by: the variable DOCKER_HOST) does not answer: "
        "FileNotFoundError: [Errno 2] No such file or directory; "
        "is it running? `./inv up` starts it"
    )


def test_a_socket_without_an_engine_behind_it_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind("d.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/d.sock")
    assert engine_state(LocalHost()) is EngineState.SILENT


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ({"Version": "20.10.24+dfsg1", "Components": [{"Name": "Engine"}]}, None),
        ({"Version": "28.2.2", "Components": None}, None),
        ({"Version": "19.03.13"}, "it is version 19.03.13; 20.10 or newer is needed"),
        ({"Version": "dev"}, None),
    ],
)
def test_which_engines_will_do(version: dict[str, object], problem: str | None) -> None:
    assert unusable(version) == problem


def test_podmans_engine_will_not_do() -> None:
    problem = unusable({"Version": "4.3.1", "Components": [{"Name": "Podman Engine"}]})
    assert problem is not None
    assert problem.startswith("it is Podman's imitation")


def test_an_engine_elsewhere_is_not_started_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.7:2376")
    with pytest.raises(HostError) as caught:
        EngineRunning(FakeHost(), Report(), ask_engine=answers(EngineState.SILENT)).plan()
    assert str(caught.value) == (
        "the docker engine at tcp://10.0.0.7:2376 (chosen by the variable DOCKER_HOST) does not answer, and it is "
        "not this machine's own, so it is not started from here; start it, or stop choosing it"
    )


def test_with_systemd_the_service_is_enabled_and_started() -> None:
    host = plain_host(systemd=True)
    host.script("systemctl", "enable", "--now", "docker")
    service = EngineRunning(host, Report(), ask_engine=answers(EngineState.SILENT, EngineState.ANSWERS))
    (change,) = service.plan()
    assert change.summary == "start the docker engine with systemd"
    change.apply()
    assert ("systemctl", "enable", "--now", "docker") in host.commands


def test_a_service_that_fails_brings_the_end_of_its_journal() -> None:
    host = plain_host(systemd=True)
    host.script("systemctl", "enable", "--now", "docker", exit_code=1, stderr="Job for docker.service failed.\n")
    host.script(
        "journalctl", "--unit=docker", "--no-pager", "--lines=10",
        stdout="dockerd: failed to start daemon: no space left on device\n",
    )  # fmt: skip
    with pytest.raises(HostError) as caught:
        EngineRunning(host, Report(), ask_engine=answers(EngineState.SILENT)).start()
    assert str(caught.value) == (
        "systemd could not start docker: fake host: `systemctl enable --now docker` ended with exit code 1; "
        "its last lines:\n    Job for docker.service failed.\n"
        "    dockerd: failed to start daemon: no space left on device"
    )


def test_starts_dockerd_itself_after_a_failed_script() -> None:
    """A service script that fails is followed by dockerd itself."""
    host = plain_host(script=True)
    host.script(*SCRIPT, exit_code=2, stderr="ulimit: error setting limit (Operation not permitted)\n")
    EngineRunning(host, Report(), NO_PIDFILES, ask_engine=answers(EngineState.ANSWERS)).start()
    assert host.commands[-1] == ("sh", "-c", START)


def test_a_service_script_that_works_is_enough() -> None:
    host = plain_host(script=True)
    host.script(*SCRIPT)
    EngineRunning(host, Report(), NO_PIDFILES, ask_engine=answers(EngineState.ANSWERS)).start()
    assert ("sh", "-c", START) not in host.commands


def test_a_daemon_that_ends_at_once_brings_the_end_of_its_log() -> None:
    host = plain_host()
    host.script("tail", "-n", "10", "/var/log/labelrig-dockerd.log", stdout="failed to start daemon: no iptables\n")
    with pytest.raises(HostError) as caught:
        EngineRunning(host, Report(), NO_PIDFILES, ask_engine=answers(EngineState.SILENT)).start_by_itself()
    assert str(caught.value) == (
        "dockerd ended at once; the last lines of /var/log/labelrig-dockerd.log:\n"
        "    failed to start daemon: no iptables"
    )


@pytest.mark.parametrize(("program", "removed"), [("dockerd", False), ("sshd", True), (None, True)])
def test_a_number_that_another_program_has_by_now_is_forgotten(program: str | None, removed: bool) -> None:
    host = plain_host()
    host.files["/run/d.pid"] = b"77\n"
    if program is not None:
        host.files["/proc/77/comm"] = program.encode() + b"\n"
    host.script("rm", "-f", "/run/d.pid")
    daemon = Daemon(pidfiles=(("/run/d.pid", "dockerd"), ("/run/none.pid", "containerd")))
    EngineRunning(host, Report(), daemon, ask_engine=answers(EngineState.ANSWERS)).start_by_itself()
    assert (("rm", "-f", "/run/d.pid") in host.commands) is removed


class DyingHost(FakeHost):
    """A machine whose engine ends when it is told to, unless it hangs; `zombie`: nobody asks how it ended."""

    def __init__(self, *, zombie: bool = False, hangs: bool = False) -> None:
        super().__init__()
        self.zombie, self.hangs = zombie, hangs
        self.script("test", "-d", "/run/systemd/system", exit_code=1)
        self.script("test", "-x", SYSV_SCRIPT, exit_code=1)
        self.script("kill", "-TERM", "77")
        self.script("sh", "-c", START, stdout="4242\n")
        self.script("rm", "-f", "/run/d.pid")
        self.files |= {"/run/d.pid": b"77\n", "/proc/77/comm": b"dockerd\n", "/proc/77/cmdline": b"dockerd\0"}

    def run(self, *argv: str, **how: Any) -> Result:
        if argv[0] == "kill" and not self.hangs:
            self.files["/proc/77/cmdline"] = b""
            if not self.zombie:
                del self.files["/proc/77/cmdline"], self.files["/proc/77/comm"]
        return super().run(*argv, **how)


PIDFILE = Daemon(pidfiles=(("/run/d.pid", "dockerd"),))


@pytest.mark.parametrize("zombie", [False, True])
def test_restart_waits_for_the_end_of_the_engine(zombie: bool) -> None:
    """A restart waits for the end of the engine and starts it again."""
    host = DyingHost(zombie=zombie)
    EngineRunning(host, Report(), PIDFILE, ask_engine=answers(EngineState.ANSWERS)).restart()
    done = [command for command in host.commands if command[0] in ("kill", "sh")]
    assert done == [("kill", "-TERM", "77"), ("sh", "-c", START)]


def test_engine_that_does_not_end_is_an_error_with_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that does not end is an error with the end of its log."""
    monkeypatch.setattr(engine_service, "SERVICE_TIMEOUT", 0.0)
    host = DyingHost(hangs=True)
    host.script("tail", "-n", "10", "/var/log/labelrig-dockerd.log", stdout="a container does not stop\n")
    with pytest.raises(HostError) as caught:
        EngineRunning(host, Report(), PIDFILE, ask_engine=answers(EngineState.ANSWERS)).restart()
    assert str(caught.value) == (
        "waited 0 s for dockerd to end; the last lines of /var/log/labelrig-dockerd.log:\n    a container does not stop"
    )
    assert ("sh", "-c", START) not in host.commands


@pytest.mark.parametrize("pidfile", [b"77\n", b"", None])
def test_a_process_that_is_not_the_engine_is_never_ended(pidfile: bytes | None) -> None:
    host = DyingHost()
    host.files["/proc/77/comm"] = b"sshd\n"
    if pidfile is None:
        del host.files["/run/d.pid"]
    else:
        host.files["/run/d.pid"] = pidfile
    EngineRunning(host, Report(), PIDFILE, ask_engine=answers(EngineState.SILENT, EngineState.ANSWERS)).restart()
    assert not any(command[0] == "kill" for command in host.commands)
    assert ("sh", "-c", START) in host.commands


def test_engine_of_unknown_process_is_not_restarted() -> None:
    """An engine whose process is not known is not said to be restarted."""
    host = DyingHost()
    del host.files["/run/d.pid"]
    with pytest.raises(HostError) as caught:
        EngineRunning(host, Report(), PIDFILE, ask_engine=answers(EngineState.ANSWERS)).restart()
    assert str(caught.value) == (
        "fake host: the docker engine runs, and /run/d.pid does not say as which process, so it cannot be restarted "
        "from here; restart it by hand, then repeat the command"
    )


def test_with_systemd_a_restart_forgets_earlier_failures_first() -> None:
    host = plain_host(systemd=True)
    forget, start = ("systemctl", "reset-failed", "docker"), ("systemctl", "enable", "--now", "docker")
    host.script(*forget, exit_code=1)  # it had not failed
    host.script(*STOPPED)
    host.script(*start)
    EngineRunning(host, Report(), ask_engine=answers(EngineState.SILENT, EngineState.ANSWERS)).restart()
    assert [command for command in host.commands if command[0] == "systemctl"] == [forget, STOPPED, start]


def test_with_systemd_a_stop_that_fails_is_an_error() -> None:
    host = plain_host(systemd=True)
    host.script("systemctl", "reset-failed", "docker")
    host.script(*STOPPED, exit_code=1, stderr="Access denied\n")
    with pytest.raises(CommandFailed, match="Access denied"):
        EngineRunning(host, Report(), ask_engine=answers(EngineState.ANSWERS)).restart()
