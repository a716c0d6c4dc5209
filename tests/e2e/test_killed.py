"""Containers whose processes are killed. After the doctor's tests: it warns of a recent restart, as it should."""

from __future__ import annotations

import os
import signal

from core.waiting import wait_for
from infra.roles.stack.containers import health_of
from tests.e2e.clicks import Round
from tests.e2e.conftest import Stack
from tests.e2e.test_containers import SERVICES, container_of, main_processes


def test_killed_processes_come_back_without_loss(stack: Stack, round_: Round) -> None:
    """All services at once, as where the machine's memory ran out: each container restarts by itself."""
    image = round_.spec.labeling.images[0]
    tasks = len(list(round_.client.tasks(round_.project_id, image)))
    before = {service: container_of(stack, service) for service in SERVICES}
    for pid in [pid for container in before.values() for pid in main_processes(container)]:
        os.kill(pid, signal.SIGKILL)

    def still_gone() -> list[str]:
        now = {service: container_of(stack, service) for service in SERVICES}
        started = {service: one.attrs["State"]["StartedAt"] for service, one in before.items()}
        return [
            service
            for service, one in now.items()
            if one.attrs["State"]["StartedAt"] == started[service] or health_of(one) != "healthy"
        ]

    wait_for("all services to come back", lambda: None if still_gone() else True, timeout=240)
    assert len(list(round_.client.tasks(round_.project_id, image))) == tasks
