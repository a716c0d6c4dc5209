"""`python ray_nodes.py PORT [head]`: nodes of a Ray cluster on this machine, until a signal comes or stdin ends.

A line of stdin is an order, as JSON: `{"start": HOST, "cpus": 1, "env": {}}` or `{"stop": HOST}`. A process of its own,
as Ray's environment, its token among it, is read once; and one for many nodes, as each `ray start` would import Ray
again.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import ray._private.services as services
from ray._private.node import Node
from ray._private.parameter import RayParams

OBJECT_STORE_BYTES = 80 << 20  # Ray's least is 75 MB
PATIENCE_SECONDS = 300.0
NODE = {
    "num_gpus": 0,
    "object_store_memory": OBJECT_STORE_BYTES,
    "include_log_monitor": False,
    "min_worker_port": 0,
    "max_worker_port": 0,
}


def patient(found: Callable[..., Any]) -> Callable[..., Any]:
    """Ray gives a node 30 s to register, which is little where other tests take the processors."""

    @functools.wraps(found)
    def get(*arguments: Any, **options: Any) -> Any:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return found(*arguments, **options)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    return get


def start_head(port: int) -> Node:
    """No replica has room on it: Ray's own processes alone."""
    about = {**NODE, "num_cpus": 0, "gcs_server_port": port, "include_dashboard": False, "no_monitor": True}
    return Node(RayParams(**about), head=True, shutdown_at_exit=False, spawn_reaper=False)


def start_host(port: int, cpus: int, env: dict[str, str]) -> Node:
    """A host that has room for as many replicas as it has processors."""
    address = f"127.0.0.1:{port}"
    params = RayParams(
        **NODE, num_cpus=cpus, gcs_address=address, redis_address=address, node_manager_port=0, env_vars=env
    )
    params.dashboard_agent_listen_port = None  # any that is free
    return Node(params, head=False, shutdown_at_exit=False, spawn_reaper=False)


def say(text: str) -> None:
    """Tell who waits."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def end(node: Node) -> None:
    """As SIGTERM does it."""
    node.kill_all_processes(check_alive=False, allow_graceful=True, wait=True)


def main(port: int, *, is_head: bool) -> None:
    """Follow the orders."""
    services.get_node = patient(services.get_node)
    head = start_head(port) if is_head else None
    if head is not None:
        say("head started")
    hosts: dict[str, Node] = {}
    for line in sys.stdin:
        order = json.loads(line)
        if "start" in order:
            hosts[order["start"]] = start_host(port, order["cpus"], order["env"])
            say(f"{order['start']} started")
        else:
            end(hosts.pop(order["stop"]))
            say(f"{order['stop']} stopped")
    for node in (*hosts.values(), *([head] if head is not None else [])):
        end(node)


if __name__ == "__main__":
    main(int(sys.argv[1]), is_head="head" in sys.argv[2:])
