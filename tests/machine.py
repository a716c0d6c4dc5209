"""What is free on the machine that runs the tests: other stacks may be running on it."""

from __future__ import annotations

import socket
from pathlib import Path

from infra.roles.preflight.checks import subnet_problems


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_subnet() -> str:
    """A private network that overlaps no route of this machine."""
    routes = Path("/proc/net/route").read_text()
    candidates = (f"172.31.{number}.0/24" for number in range(200, 240))
    return next(one for one in candidates if not subnet_problems(one, routes, ours=False))
