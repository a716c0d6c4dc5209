"""What a node of Ray is started with, and its health check."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from backend.cluster.node import RAY_ENVIRONMENT, NodeSettings, answers, ray_arguments
from backend.cluster.probing import ROUND_SECONDS, SILENT_ROUNDS
from tests.machine import free_port

HEAD = NodeSettings(
    node_address="10.0.0.11", node_head="10.0.0.11:7000", node_port=7000, node_worker_ports="7100-7200",
    node_replicas=3, node_gpus=2,
)  # fmt: skip


def options(arguments: tuple[str, ...]) -> dict[str, str]:
    return dict(one.removeprefix("--").partition("=")[::2] for one in arguments)


def test_every_port_is_pinned() -> None:
    """Nine from the first on, and a range; no two are the same."""
    given = options(ray_arguments(HEAD, head=True))
    ports = [int(value) for name, value in given.items() if name.endswith("port") and "worker" not in name]
    assert sorted(ports) == list(range(7000, 7009))
    assert (given["min-worker-port"], given["max-worker-port"]) == ("7100", "7200")


def test_head_and_worker_differ_in_who_leads() -> None:
    head, worker = (options(ray_arguments(HEAD, head=lead)) for lead in (True, False))
    assert "head" in head
    assert head["include-dashboard"] == "false"
    assert head["dashboard-host"] == "127.0.0.1"
    assert worker["address"] == "10.0.0.11:7000"
    assert not {"head", "port", "include-dashboard"} & set(worker)
    for given in (head, worker):
        assert (given["node-ip-address"], given["num-cpus"], given["num-gpus"]) == ("10.0.0.11", "3", "2")
        assert {"block", "disable-usage-stats", "no-redirect-output"} <= set(given)


def test_frozen_host_is_dead_after_it_is_silent() -> None:
    """Ray takes it out some time after the ingress gives it no more requests, and within half a minute."""
    period, timeout, misses = (
        int(RAY_ENVIRONMENT[f"RAY_health_check_{name}"]) for name in ("period_ms", "timeout_ms", "failure_threshold")
    )
    shortest = misses * timeout + (misses - 1) * period
    silent_after = 1000 * ROUND_SECONDS * (SILENT_ROUNDS + 1)
    assert silent_after + 2000 <= shortest <= 25_000


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    folder = Path(__file__).parents[3]
    return subprocess.run(
        (sys.executable, "-m", "backend.cluster.node", *arguments), cwd=folder, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], **variables}, timeout=120, check=False,
    )  # fmt: skip


def test_check_asks_the_node() -> None:
    """Its own port of the node manager, the second of the nine."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        there = {"NODE_ADDRESS": "127.0.0.1", "NODE_HEAD": "127.0.0.1:1", "NODE_PORT": str(port - 1)}
        assert run("--check", **there).returncode == 0
    assert run("--check", **there).returncode == 1


def test_wrong_environment_is_named() -> None:
    ended = run(NODE_ADDRESS="127.0.0.1", NODE_HEAD="nowhere")
    assert (ended.returncode, "NODE_HEAD" in ended.stderr) == (2, True)


def test_answers_says_whether_somebody_listens() -> None:
    assert not answers("127.0.0.1", free_port())
