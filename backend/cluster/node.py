"""`python -m backend.cluster.node`: a node of Ray, until a signal comes or a process of it ends. A container's program.

`--head` starts Ray's head, and beside it the ingress: where one of the two ends, so does the other, and the container's
engine starts both. Without it the node joins the head, once that is there. `--check` is the container's health check.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

logger = logging.getLogger("backend.cluster")
RAY = (sys.executable, "-m", "ray.scripts.scripts", "start")
# Where the environment does not say otherwise.
RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # else replicas run behind all that runs on the host besides
    "RAY_prestart_worker_first_driver": "0",
    "RAY_BACKEND_LOG_LEVEL": "warning",
    # Ray's patience at a start, for machines whose processors have other work.
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_agent_register_timeout_ms": "300000",
    # The head asks each node how it is two seconds after its last sign of life. Four answers in a row that do not come
    # in four seconds each, and it is dead: after 22 to 24 s. Ray's own values take 62 to 65 s.
    "RAY_health_check_period_ms": "2000",
    "RAY_health_check_timeout_ms": "4000",
    "RAY_health_check_failure_threshold": "4",
}
OBJECT_STORE_BYTES = 256 << 20  # requests and answers on their way; it lies in /dev/shm
HEAD_SECONDS, SHOWN_SECONDS = 600.0, 10.0
STARTED_SECONDS = 180.0
POLL_SECONDS = 0.5
STOP_SECONDS = 20.0
CONNECT_SECONDS = 3.0


class NodeSettings(BaseSettings):
    """A field's upper-case name is the variable."""

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True, env_ignore_empty=True, extra="ignore")

    node_address: Annotated[str, Field(description="of this host, at which the others reach it")]
    node_head: Annotated[str, Field(pattern=r"^[^:]+:\d+$", description="where Ray's head is reached")]
    node_port: Annotated[int, Field(ge=1024, le=65527, description="the first of nine ports of Ray")] = 6379
    node_worker_ports: Annotated[
        str, Field(pattern=r"^\d+-\d+$", description="ports of Ray's processes, first and last")
    ] = "10100-10163"
    node_replicas: Annotated[int, Field(ge=0, le=64, description="that this host holds")] = 1
    node_gpus: Annotated[int, Field(ge=0, le=64, description="that Ray may give to replicas")] = 0


def main() -> int:
    """Run until it ends; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m backend.cluster.node", description="A node of Ray.")
    parser.add_argument("--head", action="store_true", help="start Ray's head and the ingress")
    parser.add_argument("--check", action="store_true", help="exit with 0 where the node takes part")
    options = parser.parse_args()
    try:
        settings = NodeSettings()  # type: ignore[call-arg]  # from the environment
    except ValidationError as error:
        lines = error.errors(include_input=False, include_url=False)
        sys.stderr.write("".join(f"{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}\n" for one in lines))
        return 2
    if options.check:
        return 0 if answers(settings.node_address, settings.node_port + 1) else 1
    from backend.__main__ import configure_logging  # imports much, and the check is made every few seconds

    configure_logging(os.environ.get("LOG_LEVEL") or "INFO")
    os.environ.update({name: value for name, value in RAY_ENVIRONMENT.items() if name not in os.environ})
    signal.signal(signal.SIGTERM, _stop)
    try:
        return run_head(settings) if options.head else run_worker(settings)
    except KeyboardInterrupt:
        return 0


def ray_arguments(settings: NodeSettings, *, head: bool) -> tuple[str, ...]:
    """What `ray start` gets: every port is pinned, and no page of Ray's is served to others."""
    port, (first, last) = settings.node_port, settings.node_worker_ports.split("-")
    own = (
        ("--head", f"--port={port}", "--include-dashboard=false", "--dashboard-host=127.0.0.1",
         f"--dashboard-port={port + 8}", f"--ray-client-server-port={port + 7}", "--no-monitor")
        if head else (f"--address={settings.node_head}",)
    )  # fmt: skip
    return (
        *own,
        f"--node-ip-address={settings.node_address}",
        f"--node-manager-port={port + 1}",
        f"--object-manager-port={port + 2}",
        f"--runtime-env-agent-port={port + 3}",
        f"--dashboard-agent-listen-port={port + 4}",
        f"--dashboard-agent-grpc-port={port + 5}",
        f"--metrics-export-port={port + 6}",
        f"--min-worker-port={first}",
        f"--max-worker-port={last}",
        # A replica takes one, of a GPU as well: so there are as many on a host as it has room for.
        f"--num-cpus={settings.node_replicas}",
        f"--num-gpus={settings.node_gpus}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        "--disable-usage-stats",
        "--include-log-monitor=false",
        "--no-redirect-output",  # the container's log has it all
        "--block",
    )


def run_worker(settings: NodeSettings) -> int:
    """Wait for the head, then become the node. Returns where the head does not come."""
    address, _, port = settings.node_head.rpartition(":")
    if _until(lambda: answers(address, int(port)), f"Ray's head at {settings.node_head}", HEAD_SECONDS):
        os.execv(RAY[0], (*RAY, *ray_arguments(settings, head=False)))  # noqa: S606 - no shell is wanted
    return 1


def run_head(settings: NodeSettings) -> int:
    """Run Ray's head and the ingress until one of them ends."""
    processes = [subprocess.Popen((*RAY, *ray_arguments(settings, head=True)))]
    try:
        ready = _until(
            lambda: all(answers(settings.node_address, port) for port in (settings.node_port, settings.node_port + 1)),
            "Ray's head here", STARTED_SECONDS, lambda: processes[0].poll() is not None,
        )  # fmt: skip
        if not ready:
            return 1
        processes.append(subprocess.Popen((sys.executable, "-m", "backend.cluster")))
        while all(one.poll() is None for one in processes):
            time.sleep(POLL_SECONDS)
        ended = next(
            name for name, one in zip(("Ray", "the ingress"), processes, strict=True) if one.poll() is not None
        )
        logger.error("%s ended; the container ends with it", ended)
        return 1
    finally:
        for one in reversed(processes):  # the ingress first: what it asks for is still there
            _end(one)


def answers(address: str, port: int) -> bool:
    """Whether a connection can be made."""
    try:
        with socket.create_connection((address, port), timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False


def _until(check: Callable[[], bool], what: str, seconds: float, gone: Callable[[], bool] = lambda: False) -> bool:
    """Wait for something; False where it does not come in time, or is gone for good."""
    began, shown = time.monotonic(), 0.0
    while not check():
        waited = time.monotonic() - began
        if gone() or waited > seconds:
            logger.error("%s does not answer after %.0f s", what, waited)
            return False
        if waited - shown >= SHOWN_SECONDS:
            shown = waited
            logger.info("waiting for %s: %.0f s", what, waited)
        time.sleep(POLL_SECONDS)
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
