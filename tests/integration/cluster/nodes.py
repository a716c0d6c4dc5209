"""A Ray cluster of processes on this machine, and the ingress in front of it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from infra.dev.environment import cluster_folder
from infra.roles.images.tags import BACKEND
from tests.machine import free_port

REPOSITORY = Path(__file__).parents[3]
NODES = Path(__file__).with_name("ray_nodes.py")
START_SECONDS = 400.0
STOP_SECONDS = 60.0
ADDRESS = "127.0.0.1"


@dataclass
class Cluster:
    """What runs. `folder` holds the code as the image has it, and logs."""

    folder: Path
    environment: Mapping[str, str]
    address: str
    temporary: Path
    url: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def client(self) -> httpx.Client:
        """Of the ingress."""
        return httpx.Client(base_url=self.url, timeout=120, trust_env=False)

    def logs(self) -> str:
        """The ends of all logs, for a failure."""
        ends = []
        for path in sorted((*self.folder.glob("*.log"), *self.temporary.glob("ray/session_*/logs/**/*sam2*"))):
            ends.append(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}")
        return "\n".join(ends)

    def until_ready(self, wanted: int) -> None:
        """Wait for that many replicas."""
        deadline = time.monotonic() + START_SECONDS
        with self.client() as client:
            while True:
                try:
                    figures = client.get("/metrics").text
                except httpx.HTTPError as error:
                    figures = f"no answer: {error!r}"
                if f"labelrig_replicas_ready {wanted:.1f}" in figures:
                    return
                assert time.monotonic() < deadline, f"{figures[:2000]}\n{self.logs()}"
                time.sleep(0.5)


def environment_of(folder: Path, port: int, token: str, **settings: str) -> dict[str, str]:
    """Of all processes of a cluster."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": f"{folder}:{cluster_folder()}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LABELRIG_TEST_CLUSTER": f"{ADDRESS}:{port}",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_DISABLE_DOCKER_CPU_WARNING": "1",
        "RAY_prestart_worker_first_driver": "0",
        # Ray's own patience, for a machine whose processors other tests take.
        "RAY_health_check_timeout_ms": "60000",
        "RAY_agent_register_timeout_ms": "300000",
        "RAY_worker_register_timeout_seconds": "300",
        "RAY_gcs_server_request_timeout_seconds": "300",
        "OMP_NUM_THREADS": "1",
        "SAM2_MODEL": "demo",
        "SAM2_ENGINE": "torch",
        "CLUSTER_ADDRESS": f"{ADDRESS}:{port}",
        **settings,
    }


@contextmanager
def running(folder: Path, *, nodes: int, replicas: int, **settings: str) -> Iterator[Cluster]:
    """Nodes and the ingress; all of them end with the context, whatever happens in it."""
    for name in BACKEND:
        shutil.copytree(REPOSITORY / name, folder / name, dirs_exist_ok=True)
    port = free_port()
    with ExitStack() as stack:
        # Ray's sockets lie there, and their paths may not be long.
        temporary = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="lr-", dir="/tmp", ignore_cleanup_errors=True))
        )
        environment = environment_of(
            folder, port, secrets.token_hex(32), RAY_TMPDIR=str(temporary), CLUSTER_REPLICAS=str(replicas),
            PORT=str(free_port()), **settings,
        )  # fmt: skip
        (temporary / "ray").mkdir()
        cluster = Cluster(folder, environment, f"{ADDRESS}:{port}", temporary)
        cluster.url = f"http://{ADDRESS}:{environment['PORT']}"
        stack.callback(_end, cluster)
        with (folder / "nodes.log").open("wb") as log:
            started = subprocess.Popen(
                (sys.executable, str(NODES), str(port), str(nodes)),
                cwd=folder, env=dict(environment), stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        cluster.processes.append(started)
        _until(cluster, "nodes.log", "nodes ready")
        with (folder / "ingress.log").open("wb") as log:
            ingress = subprocess.Popen(
                (sys.executable, "-m", "backend.cluster"),
                cwd=folder, env=dict(environment), stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        cluster.processes.append(ingress)
        cluster.until_ready(replicas)
        yield cluster


def _until(cluster: Cluster, name: str, pattern: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not re.search(pattern, (cluster.folder / name).read_text(errors="replace")):
        ended = [one.returncode for one in cluster.processes if one.poll() is not None]
        assert not ended, cluster.logs()
        assert time.monotonic() < deadline, cluster.logs()
        time.sleep(0.2)


def _end(cluster: Cluster) -> None:
    """The ingress first, then the nodes; and what is left of them."""
    for process in reversed(cluster.processes):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()
    marked = f"LABELRIG_TEST_CLUSTER={cluster.address}".encode()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if marked in (path / "environ").read_bytes():
                os.kill(int(path.name), signal.SIGKILL)
        except OSError:
            continue
