"""`python ray_nodes.py PORT NODES`: nodes of a Ray cluster on this machine, until a signal comes or stdin ends.

A process of its own, as Ray's environment, its token among it, is read once; and one for all nodes, as each `ray start`
would import Ray again.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import Any

import ray._private.services as services
from ray.cluster_utils import Cluster

OBJECT_STORE_BYTES = 80 << 20  # Ray's least is 75 MB
PATIENCE_SECONDS = 300.0
NODE = {
    "num_cpus": 2,
    "num_gpus": 0,
    "object_store_memory": OBJECT_STORE_BYTES,
    "include_log_monitor": False,
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


def main(port: int, count: int) -> None:
    """Start them, say `nodes ready`, and wait."""
    services.get_node = patient(services.get_node)
    head = {**NODE, "gcs_server_port": port, "include_dashboard": False, "no_monitor": True}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(count - 1):
        cluster.add_node(wait=False, **NODE)
    sys.stdout.write("nodes ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
