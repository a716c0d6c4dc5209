"""A Ray cluster of processes on this machine, and the ingress in front of it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from infra.dev.environment import cluster_folder
from infra.roles.images.tags import BACKEND
from tests.machine import free_port

REPOSITORY = Path(__file__).parents[3]
NODES = Path(__file__).with_name("ray_nodes.py")
START_SECONDS = 400.0
STOP_SECONDS = 60.0
ADDRESS = "127.0.0.1"
PART = "LABELRIG_TEST_PART"  # in the environment of each process: a host, the head, the ingress


@dataclass
class Cluster:
    """What runs. `folder` holds the code as the image has it, the hosts' caches, and logs."""

    folder: Path
    environment: Mapping[str, str]
    address: str
    temporary: Path
    url: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

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
        self.until(lambda found: found["ready"] == wanted)

    def until(self, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for a state of `/hosts`."""
        deadline = time.monotonic() + START_SECONDS
        with self.client() as client:
            while True:
                found: dict[str, Any] = {"ready": 0, "hosts": []}
                try:
                    found = client.get("/hosts").json()
                except httpx.HTTPError as error:
                    found["error"] = repr(error)
                if reached(found):
                    return found
                assert time.monotonic() < deadline, f"{found}\n{self.logs()}"
                time.sleep(0.3)

    def start(self, name: str, *command: str, **more: str) -> subprocess.Popen[bytes]:
        """A Python process of the cluster."""
        with (self.folder / f"{name}.log").open("ab") as log:
            started = self.processes[name] = subprocess.Popen(
                (sys.executable, *command), cwd=self.folder, env={**self.environment, PART: name, **more},
                stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        return started

    def start_ingress(self, *command: str) -> None:
        """As it is started by hand."""
        self.start("ingress", *(command or ("-m", "backend.cluster")), EMBEDDING_CACHE_DIR=str(self._cache("ingress")))

    def start_host(self, host: str, replicas: int, **more: str) -> None:
        """A host with a cache folder of its own, which is the same when it comes back."""
        env = {PART: host, "CLUSTER_HOST": host, "EMBEDDING_CACHE_DIR": str(self._cache(host)), **more}
        self._order({"start": host, "cpus": replicas, "env": env}, f"{host} started")

    def stop_host(self, host: str) -> None:
        """As its container is stopped."""
        self._order({"stop": host}, f"{host} stopped")

    def kill(self, part: str, sent: signal.Signals = signal.SIGKILL) -> int:
        """A signal to all processes of a host, of the head or of the ingress; how many there were."""
        marks = (f"LABELRIG_TEST_CLUSTER={self.address}".encode(), f"{PART}={part}".encode())
        return signal_marked(sent, *marks)

    def end(self, name: str) -> None:
        """SIGTERM, and SIGKILL to what does not end."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()

    def until_logged(self, name: str, pattern: str, times: int = 1) -> None:
        """Wait for a line in a log."""
        deadline = time.monotonic() + START_SECONDS
        while len(re.findall(pattern, (self.folder / f"{name}.log").read_text(errors="replace"))) < times:
            ended = [name for name, one in self.processes.items() if one.poll() is not None]
            assert not ended, f"{ended}\n{self.logs()}"
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)

    def _cache(self, host: str) -> Path:
        folder = self.folder / "caches" / host
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _order(self, order: dict[str, Any], answer: str) -> None:
        nodes = self.processes["nodes"]
        before = len(re.findall(answer, (self.folder / "nodes.log").read_text(errors="replace")))
        assert nodes.stdin is not None
        nodes.stdin.write(json.dumps(order).encode() + b"\n")
        nodes.stdin.flush()
        self.until_logged("nodes", answer, before + 1)


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
        "RAY_worker_niceness": "0",
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
def running(
    folder: Path,
    *,
    hosts: Mapping[str, int],
    replicas: int | None = None,
    apart: bool = False,
    ingress: Sequence[str] = (),
    **settings: str,
) -> Iterator[Cluster]:
    """A head, hosts and the ingress; all of them end with the context, whatever happens in it.

    Args:
        hosts: how many replicas each has room for.
        replicas: how many there are to be; default: as many as there is room for.
        apart: the head is a process of its own, which can be killed.
        ingress: another program that serves.
    """
    for name in BACKEND:
        shutil.copytree(REPOSITORY / name, folder / name, dirs_exist_ok=True)
    port, wanted = free_port(), replicas or sum(hosts.values())
    with ExitStack() as stack:
        # Ray's sockets lie there, and their paths may not be long.
        temporary = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="lr-", dir="/tmp", ignore_cleanup_errors=True))
        )
        environment = environment_of(
            folder, port, secrets.token_hex(32), RAY_TMPDIR=str(temporary), PORT=str(free_port()),
            CLUSTER_REPLICAS=str(wanted), **settings,
        )  # fmt: skip
        (temporary / "ray").mkdir()
        cluster = Cluster(folder, environment, f"{ADDRESS}:{port}", temporary)
        cluster.url = f"http://{ADDRESS}:{environment['PORT']}"
        stack.callback(_end, cluster)
        start_nodes(cluster, hosts, apart=apart)
        cluster.start_ingress(*ingress)
        cluster.until_ready(wanted)
        yield cluster


def start_nodes(cluster: Cluster, hosts: Mapping[str, int], *, apart: bool) -> None:
    """The head, then the hosts."""
    port = cluster.address.rpartition(":")[2]
    if apart:
        cluster.start("head", str(NODES), port, "head")
        cluster.until_logged("head", "head started")
    cluster.start("nodes", str(NODES), port, *(() if apart else ("head",)))
    if not apart:
        cluster.until_logged("nodes", "head started")
    for host, replicas in hosts.items():
        cluster.start_host(host, replicas)


def signal_marked(sent: signal.Signals, *marks: bytes) -> int:
    """A signal to all processes whose environment has these variables; how many there were."""
    count = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if set(marks) <= set((path / "environ").read_bytes().split(b"\0")):
                os.kill(int(path.name), sent)
                count += 1
        except OSError:
            continue
    return count


def _end(cluster: Cluster) -> None:
    """The ingress first, then the nodes; and what is left of them."""
    for name in reversed(list(cluster.processes)):
        cluster.end(name)
    signal_marked(signal.SIGKILL, f"LABELRIG_TEST_CLUSTER={cluster.address}".encode())
