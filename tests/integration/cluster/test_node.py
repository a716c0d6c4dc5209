"""What the containers of several hosts run, as processes of one machine: a head and a worker, the ingress."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.images import draw_demo_images
from infra.dev.environment import cluster_folder
from infra.roles.images.tags import BACKEND
from tests.integration.cluster.nodes import REPOSITORY
from tests.machine import free_port

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not (cluster_folder() / "ray").is_dir(), reason="Ray is not installed; `./inv test` installs it"
    ),
]
PASSWORD = "a-password-of-the-backend"
READY_SECONDS = 600.0
SIZE_WH = (480, 270)
CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image"><Label value="a"/></BrushLabels>
<KeyPointLabels name="point" toName="image" smart="true"><Label value="a"/></KeyPointLabels></View>"""


@dataclass(frozen=True)
class Machine:
    """Processes, each with its environment and a log."""

    folder: Path
    stack: ExitStack

    def start(self, name: str, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                (sys.executable, "-m", *arguments), cwd=self.folder, env=self.environment(**variables), stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.stack.callback(_end, process)
        return process

    def environment(self, **variables: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        return {**kept, "PYTHONPATH": f"{self.folder}:{cluster_folder()}", **variables}

    def ask(self, variables: Mapping[str, str], *arguments: str, body: bytes = b"") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            (sys.executable, "-m", "backend.ask", *arguments), cwd=self.folder, env=self.environment(**variables),
            input=body, capture_output=True, timeout=300, check=False,
        )  # fmt: skip
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-4000:]}" for path in self.folder.glob("*.log")
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(60)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # Ray's own processes, where it did not end them
    process.wait()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("node")
    for name in BACKEND:
        shutil.copytree(REPOSITORY / name, folder / name)
    with ExitStack() as stack:
        yield Machine(folder, stack)


def test_head_worker_and_ingress_on_a_socket(machine: Machine) -> None:
    """Two nodes on two addresses; a click at the ingress is answered by whichever replica it is for."""
    folder = machine.folder
    draw_demo_images(folder / "scenes", count=1, size_wh=SIZE_WH)
    (folder / "token").write_text(secrets.token_urlsafe(32))
    (folder / "password").write_text(PASSWORD)
    temporary = [
        # Ray's sockets lie there, and their paths may not be long.
        Path(
            machine.stack.enter_context(
                tempfile.TemporaryDirectory(prefix="lr-", dir="/tmp", ignore_cleanup_errors=True)
            )
        )
        for _ in range(2)
    ]
    common = {
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token"), "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DISABLE_DOCKER_CPU_WARNING": "1", "RAY_prestart_worker_first_driver": "0",
        "RAY_worker_register_timeout_seconds": "300", "RAY_agent_register_timeout_ms": "300000",
        "OMP_NUM_THREADS": "1", "SAM2_MODEL": "demo", "SAM2_ENGINE": "torch",
        "LOCAL_FILES_DOCUMENT_ROOT": str(folder / "scenes"),
    }  # fmt: skip
    ports = [first := free_port() % 20000 + 12000, first + 200]  # below those that the kernel gives out
    nodes = [
        {
            **common,
            "NODE_ADDRESS": f"127.0.0.{number + 2}",
            "NODE_HEAD": f"127.0.0.2:{ports[0]}",
            "NODE_PORT": str(port),
            "NODE_WORKER_PORTS": f"{port + 20}-{port + 80}",
            "RAY_TMPDIR": str(temporary[number]),
            "EMBEDDING_CACHE_DIR": str(folder / f"cache{number}"),
            "CLUSTER_HOST": f"gpu0{number + 1}",
        }
        for number, port in enumerate(ports)
    ]
    ingress = {
        "SOCKET": str(temporary[0] / "ingress.sock"),
        "BACKEND_PASSWORD_FILE": str(folder / "password"),
    }
    head = {
        **nodes[0],
        **ingress,
        "CLUSTER_ADDRESS": nodes[0]["NODE_HEAD"],
        "CLUSTER_REPLICAS": "2",
        "CLUSTER_REPLICA_GPUS": "0",
    }
    machine.start("head", "backend.cluster.node", "--head", **head)
    machine.start("worker", "backend.cluster.node", **nodes[1])
    deadline = time.monotonic() + READY_SECONDS
    body = json.dumps(_click(folder)).encode()
    seen: set[str] = set()
    while len(seen) < 2:
        assert time.monotonic() < deadline, machine.logs()
        hosts = machine.ask(ingress, "GET", "/hosts")
        found = json.loads(hosts.stdout)["hosts"] if hosts.returncode == 0 else []
        for name in {one["replica"] for host in found for one in host["replicas"] if one["state"] == "ready"} - seen:
            answered = machine.ask(ingress, "--replica", name, "POST", "/predict", body=body)
            answer = json.loads(answered.stdout)
            assert answer["status"] == 200, answer
            assert answer["replica"].startswith(f"{name} "), answer
            assert answer["body"]["results"][0]["result"], answer
            seen.add(name)
        time.sleep(1)
    assert seen == {"gpu01/0", "gpu02/0"}
    for node in nodes:
        check = subprocess.run(
            (sys.executable, "-m", "backend.cluster.node", "--check"), cwd=folder, env=machine.environment(**node),
            timeout=60, check=False,
        )  # fmt: skip
        assert check.returncode == 0


def _click(folder: Path) -> dict[str, object]:
    image = next((folder / "scenes" / "images").glob("*.png"))
    value = {"x": 50.0, "y": 50.0, "width": 0.3, "keypointlabels": ["a"]}
    region = {
        "id": "p", "type": "keypointlabels", "from_name": "point", "to_name": "image", "value": value,
        "original_width": SIZE_WH[0], "original_height": SIZE_WH[1], "is_positive": True,
    }  # fmt: skip
    task = {"id": 1, "data": {"image": f"/data/local-files/?d=images/{image.name}"}}
    return {"tasks": [task], "project": "1.1", "label_config": CONFIG, "params": {"context": {"result": [region]}}}
