"""How the containers are shut in."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from docker.models.containers import Container

from core.errors import LabelStudioError
from hosts.local import LocalHost
from infra.config.dotenv import read_env_file
from infra.config.settings import settings_secrets
from infra.roles.stack.addresses import gateway_of
from infra.roles.stack.sizes import container_limits, machine_size
from labelstudio.prompts import click_regions
from labelstudio.session import LOADED_PYTHON
from tests.e2e.clicks import Round, click, scenes
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.integration.backend.test_budgets import watched

SERVICES = ("label-studio", "sam2", "proxy")


def container_of(stack: Stack, service: str) -> Container:
    container = stack.running.container(service)
    assert container is not None
    return container


@pytest.mark.parametrize("service", SERVICES)
def test_nobody_is_root_and_the_images_cannot_be_written(stack: Stack, service: str) -> None:
    container = container_of(stack, service)
    uid = stack.settings.uid
    assert container.exec_run(["sh", "-c", "id -u; id -g"]).output == f"{uid}\n{uid}\n".encode()
    folder = "/label-studio/files/demo"
    assert b"scene-01.png" in container.exec_run(["ls", folder]).output
    written = container.exec_run(["touch", f"{folder}/x"])
    assert written.exit_code != 0
    assert b"Read-only file system" in written.output
    config = container.attrs["HostConfig"]
    assert config["ReadonlyRootfs"] is True
    for place in ("/x", "/usr/x", "/var/tmp/x", "/label-studio/x", "/app/x"):
        assert container.exec_run(["touch", place]).exit_code != 0, place
    assert container.exec_run(["touch", "/tmp/x"]).exit_code == 0
    assert config["CapDrop"] == ["ALL"]
    assert config["RestartPolicy"]["Name"] == "unless-stopped"
    assert config["Init"] is True
    machine = machine_size(LocalHost())
    limits = container_limits(machine)[service]
    assert (config["Memory"], config["PidsLimit"]) == (limits.memory_mb << 20, limits.pids)
    assert config["NanoCpus"] == limits.cpus * 10**9 <= machine.cores * 10**9


def as_person(uid: int, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this machine as somebody who may log in and nothing else."""
    who = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs")
    return subprocess.run((*who, *argv), capture_output=True, text=True, timeout=30, check=False)


SECRET_PLACES = {
    "label-studio": ("/label-studio/data/.env", "/label-studio/data/label_studio.sqlite3"),
    "sam2": ("/secrets/label_studio_api_key", "/cache"),
    "proxy": ("/data", "/config"),
}


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user: needs root")
@pytest.mark.parametrize("service", SERVICES)
def test_whoever_logs_in_reads_nothing(stack: Stack, stage: Stage, service: str) -> None:
    """User 1001, which containers ran as, is a person on many servers: her processes were theirs."""
    uid = stack.settings.uid
    assert uid is not None
    for look in (pwd.getpwuid, grp.getgrgid):
        with pytest.raises(KeyError):
            look(uid)
    for pid in main_processes(container_of(stack, service)):
        places = [f"/proc/{pid}/environ", *(f"/proc/{pid}/root{place}" for place in SECRET_PLACES[service])]
        for place in places:
            for person in (1000, 1001, 65534):
                assert as_person(person, "head", "-c", "1", place).returncode != 0, place
                assert as_person(person, "test", "-w", place).returncode != 0, place
            assert as_person(uid, "test", "-r", place).returncode == 0, f"{place} is not what this test looks for"
        assert as_person(1001, "kill", "-0", str(pid)).returncode != 0


def test_no_secret_is_in_a_description_or_environment(stack: Stack, stage: Stage) -> None:
    """`docker inspect` shows the one, `/proc/PID/environ` the other."""
    kept = read_env_file(Path(stack.environment["LABELRIG_ENV_FILE"]))
    secrets = {name: value for name, value in kept.items() if name in settings_secrets()}
    assert {"LABEL_STUDIO_PASSWORD", "LABEL_STUDIO_SECRET_KEY", "LABEL_STUDIO_API_KEY"} <= set(secrets)
    for service in SERVICES:
        container = container_of(stack, service)
        shown = json.dumps(container.attrs) + json.dumps(container.top())
        processes = [int(row[container.top()["Titles"].index("PID")]) for row in container.top()["Processes"]]
        assert processes
        environments = "".join(Path(f"/proc/{pid}/environ").read_text() for pid in processes)
        assert "HOME=/" in environments
        assert [name for name, value in secrets.items() if value in shown + environments] == [], service


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_no_tools_for_whoever_gets_in(stack: Stack, service: str) -> None:
    container = container_of(stack, service)
    look = (
        "find / -xdev -perm /6000 2>/dev/null; for name in pip pip3 apt apt-get aptitude; do command -v $name; done; "
        "for python in python python3; do $python -m pip --version; $python -m ensurepip --version; done 2>/dev/null"
    )
    assert container.exec_run(["sh", "-c", look], user="0:0").output == b""
    assert container.exec_run(["dpkg-query", "--show", "libc6"]).exit_code == 0, "what is in it can be listed"


def test_a_fresh_stack_migrates_nothing(stack: Stack) -> None:
    """Its database came with the image, and Label Studio found nothing that it lacks."""
    assert "The database begins as a copy of " in stack.began
    assert "Initializing database" not in stack.began


def test_only_the_proxy_is_published_and_only_on_loopback(stack: Stack) -> None:
    for service in ("sam2", "label-studio"):
        assert set(container_of(stack, service).ports.values()) <= {None}
    ports = container_of(stack, "proxy").ports
    published = {port: bindings for port, bindings in ports.items() if bindings}
    assert published == {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(stack.settings.port)}]}


def main_processes(container: Container) -> list[int]:
    """The pids, as this machine sees them, of what `init` started."""
    top = container.top(ps_args="-o pid,ppid,comm")
    rows = [dict(zip(top["Titles"], row, strict=True)) for row in top["Processes"]]
    init = container.attrs["State"]["Pid"]
    pids = [int(row["PID"]) for row in rows if int(row["PPID"]) == init]
    assert pids, rows
    return pids


def test_our_programs_find_label_studio_loaded(stage: Stage) -> None:
    """Loading it takes seconds: see docs/decisions/0036-programs-in-a-loaded-label-studio.md."""
    program = b"import os, sys; print('django' in sys.modules, os.getuid())"
    said = stage.ctx.exec_in_label_studio(*LOADED_PYTHON, stdin=program).stdout
    assert said == f"True {stage.settings.uid}\n"


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

    backend = container_of(stack, "sam2")
    address = f"http://{network['IPAddress']}:9090"
    with watched(address, int(backend.attrs["State"]["Pid"])) as health, ThreadPoolExecutor(2) as threads:
        refused = list(threads.map(send, (12_000, 1025, 50_000, 12_000)))
    assert all(len(errors) == 1 and "413 Client Error: the request" in errors[0] for errors in refused), refused
    assert health.percentile(90) < 1
    assert click(round_, scene, one).iou > 0.5
