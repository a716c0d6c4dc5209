"""A second engine, started by our own code from nothing, in folders of its own beside the machine's."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import HostError
from core.report import Report
from core.waiting import wait_for
from hosts.local import LocalHost
from infra.roles.docker.client import Endpoint, engine_client, engine_state
from infra.roles.docker.service import Daemon, EngineRunning

pytestmark = pytest.mark.docker


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    pidfile = tmp_path / "docker.pid"
    yield Daemon(
        # A network of its own: an engine on the machine's would remove the bridge of the one that is there.
        program=("unshare", "--net", "dockerd"),
        log=str(tmp_path / "dockerd.log"),
        pidfiles=((str(pidfile), "dockerd"),),
        arguments=(
            f"--host=unix://{tmp_path}/d.sock",
            f"--data-root={tmp_path}/data",
            f"--exec-root={tmp_path}/exec",
            f"--pidfile={pidfile}",
        ),
    )
    number = pidfile.read_text().strip() if pidfile.exists() else "none"
    running = Path("/proc", number, "comm")
    if running.exists() and running.read_text() == "dockerd\n":
        os.kill(int(number), signal.SIGTERM)
        wait_for("dockerd to end", lambda: True if not pidfile.exists() else None, timeout=60, pause=0.1)
    # A daemon that could not start leaves its data folder mounted on itself.
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for path in reversed([path for path in mounted if path.startswith(f"{tmp_path}/")]):
        LocalHost().run("umount", path, as_root=True)


def test_dockerd_runs_detached_despite_a_stale_pid_file(daemon: Daemon, tmp_path: Path) -> None:
    """Dockerd runs detached and a leftover of its last life does not stop it."""
    endpoint = Endpoint(f"unix://{tmp_path}/d.sock", "the test")
    (tmp_path / "docker.pid").write_text(str(os.getpid()))  # a number that another program has by now
    service = EngineRunning(LocalHost(), Report(), daemon, ask_engine=lambda: engine_state(LocalHost(), endpoint))
    service.start_by_itself()
    with closing(engine_client(LocalHost(), endpoint=endpoint)) as client:
        assert client.info()["DockerRootDir"] == f"{tmp_path}/data"
        assert client.info()["InitBinary"] == "docker-init"
    number = int((tmp_path / "docker.pid").read_text())
    # A session of its own: it gets neither our Ctrl-C nor our hang-up.
    assert os.getsid(number) == number
    assert "API listen on" in (tmp_path / "dockerd.log").read_text()


def test_a_daemon_that_cannot_start_says_why(daemon: Daemon, tmp_path: Path) -> None:
    broken = replace(daemon, arguments=(*daemon.arguments, "--storage-driver=no-such-driver"))
    endpoint = Endpoint(f"unix://{tmp_path}/d.sock", "the test")
    with pytest.raises(HostError) as caught:
        EngineRunning(
            LocalHost(), Report(), broken, ask_engine=lambda: engine_state(LocalHost(), endpoint)
        ).start_by_itself()
    assert str(caught.value).startswith(f"dockerd ended at once; the last lines of {tmp_path}/dockerd.log:\n")
    assert "failed to start daemon: error initializing graphdriver: driver not supported" in str(caught.value)
