"""How the containers are shut in, and that they come back."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest
from docker.models.containers import Container

from core.errors import LabelStudioError
from core.waiting import wait_for
from hosts.local import LocalHost
from infra.roles.stack.addresses import gateway_of
from infra.roles.stack.containers import health_of
from infra.roles.stack.sizes import container_limits, machine_size
from labelstudio.prompts import click_regions
from tests.e2e.clicks import Round, click, scenes
from tests.e2e.conftest import Stack
from tests.integration.backend.test_budgets import watched

SERVICES = ("label-studio", "sam2", "proxy")


def container_of(stack: Stack, service: str) -> Container:
    container = stack.running.container(service)
    assert container is not None
    return container


@pytest.mark.parametrize("service", SERVICES)
def test_nobody_is_root_and_the_images_cannot_be_written(stack: Stack, service: str) -> None:
    container = container_of(stack, service)
    assert container.exec_run(["id", "-u"]).output == b"1001\n"
    folder = "/label-studio/files/demo"
    assert b"scene-01.png" in container.exec_run(["ls", folder]).output
    written = container.exec_run(["touch", f"{folder}/x"])
    assert written.exit_code != 0
    assert b"Read-only file system" in written.output
    config = container.attrs["HostConfig"]
    assert config["CapDrop"] == ["ALL"]
    assert config["RestartPolicy"]["Name"] == "unless-stopped"
    assert config["Init"] is True
    machine = machine_size(LocalHost())
    limits = container_limits(machine)[service]
    assert (config["Memory"], config["PidsLimit"]) == (limits.memory_mb << 20, limits.pids)
    assert config["NanoCpus"] == limits.cpus * 10**9 <= machine.cores * 10**9


def test_only_the_proxy_is_published_and_only_on_loopback(stack: Stack) -> None:
    for service in ("sam2", "label-studio"):
        assert set(container_of(stack, service).ports.values()) <= {None}
    ports = container_of(stack, "proxy").ports
    published = {port: bindings for port, bindings in ports.items() if bindings}
    assert published == {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(stack.settings.port)}]}


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_process_restarts_its_container_without_loss(stack: Stack, round_: Round, service: str) -> None:
    """A killed process brings its container back and nothing is lost."""
    tasks = len(list(round_.client.tasks(round_.project_id, round_.spec.labeling.images[0])))
    container = container_of(stack, service)
    started = container.attrs["State"]["StartedAt"]
    for pid in main_processes(container):
        os.kill(pid, signal.SIGKILL)

    def back() -> bool | None:
        now = container_of(stack, service)
        restarted = now.attrs["State"]["StartedAt"] != started
        return True if restarted and health_of(now) == "healthy" else None

    wait_for(f"{service} to come back", back, timeout=240)
    assert len(list(round_.client.tasks(round_.project_id, round_.spec.labeling.images[0]))) == tasks


def main_processes(container: Container) -> list[int]:
    """The pids, as this machine sees them, of what `init` started."""
    top = container.top(ps_args="-o pid,ppid,comm")
    rows = [dict(zip(top["Titles"], row, strict=True)) for row in top["Processes"]]
    init = container.attrs["State"]["Pid"]
    pids = [int(row["PID"]) for row in rows if int(row["PPID"]) == init]
    assert pids, rows
    return pids


def test_strangers_cannot_sign_up(stack: Stack) -> None:
    form = {"email": "stranger@example.org", "password": "long-enough-1"}
    with closing(httpx.Client(base_url=stack.settings.url, timeout=30, trust_env=False)) as client:
        client.get("/user/signup/")
        token = client.cookies.get("csrftoken") or ""
        answer = client.post("/user/signup/", data=form | {"csrfmiddlewaretoken": token})
    assert answer.status_code == 403


def test_the_guard_on_backends_is_open_for_ours_only(stack: Stack, round_: Round) -> None:
    """Label Studio still refuses the metadata address, the server, the lab's network and our other containers."""
    others = ("169.254.169.254", gateway_of(stack.settings.subnet), "10.0.0.1", "127.0.0.1", "label-studio")
    for address in others:
        with pytest.raises(LabelStudioError, match="reserved network address"):
            round_.client.add_backend(round_.project_id, f"http://{address}:9090", "elsewhere")
    for backend in round_.client.backends(round_.project_id):
        if backend.id != round_.backend_id:  # the refused rows stay behind: a quirk of Label Studio
            round_.client.delete_backend(backend.id)


def test_health_answers_whatever_an_account_sends(stack: Stack, round_: Round) -> None:
    """Key points by the thousand, which any account may send, made `/health` answer after half a minute."""
    (network,) = container_of(stack, "sam2").attrs["NetworkSettings"]["Networks"].values()
    scene = scenes(round_)[0]
    one = scene.objects[0]
    (region, *_) = click_regions(round_.spec.labeling, one.label, one.click_xy, scene.size_wh)

    def send(count: int) -> Sequence[str]:
        return round_.client.click(round_.backend_id, scene.task.id, [region] * count).errors

    with watched(f"http://{network['IPAddress']}:9090") as health, ThreadPoolExecutor(2) as threads:
        refused = list(threads.map(send, (12_000, 1025, 50_000, 12_000)))
    assert all(len(errors) == 1 and "413 Client Error: the request" in errors[0] for errors in refused), refused
    assert health.percentile(90) < 1
    assert click(round_, scene, one).iou > 0.5
