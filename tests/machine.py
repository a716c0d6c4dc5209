"""What is free on the machine that runs the tests: other stacks may be running on it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from infra.roles.preflight.checks import subnet_problems

SUBNETS = range(200, 240)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_subnet() -> str:
    """A private network that overlaps no route of this machine.

    Each process begins elsewhere: another one may have chosen a network that it has not made yet.
    """
    routes = Path("/proc/net/route").read_text()
    first = os.getpid() % len(SUBNETS)
    candidates = (f"172.31.{number}.0/24" for number in (*SUBNETS[first:], *SUBNETS[:first]))
    return next(one for one in candidates if not subnet_problems(one, routes, ours=False))
