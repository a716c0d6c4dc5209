"""What `./inv status` makes of what engine, backend, host and Label Studio say."""

from __future__ import annotations

import io
import json
from contextlib import nullcontext
from dataclasses import replace

import httpx
import pytest
from docker.errors import APIError

from core.errors import HostError
from core.report import Report
from infra.doctor.status import GPU_FIELDS, how_to_open, read_backend, read_container, read_gpus, status
from infra.doctor.status_model import (
    BackendStatus,
    CacheStatus,
    ContainerStatus,
    DiskStatus,
    GpuStatus,
    StackStatus,
    Unknown,
)
from infra.roles.nvidia.facts import smi_query
from infra.roles.preflight.checks import Disk
from infra.roles.project.ask_backend import ASK_BACKEND
from labelstudio.session import http_client
from tests.fakes import FakeHost
from tests.unit.infra.doctor.doctor_bench import HEALTH, DoctorBench, FakeContainer, FakeExec

METRICS = """\
# HELP labelrig_clicks_total Clicks answered with a mask.
# TYPE labelrig_clicks_total counter
labelrig_clicks_total{prompt="point"} 3.0
labelrig_clicks_total{prompt="box"} 1.0
labelrig_stage_seconds_bucket{le="0.5",stage="total"} 4.0
labelrig_stage_seconds_count{stage="encode"} 0.0
labelrig_stage_seconds_sum{stage="encode"} 0.0
labelrig_stage_seconds_count{stage="total"} 4.0
labelrig_stage_seconds_sum{stage="total"} 0.5
labelrig_model_info{device="cpu",engine="torch-bfloat16",model="demo",version="demo@1"} 1.0
labelrig_cache_hits_total{cache="memory"} 3.0
labelrig_cache_misses_total{cache="memory"} 1.0
labelrig_cache_entries{cache="memory"} 1.0
labelrig_cache_bytes{cache="memory"} 1.048576e+06
labelrig_cache_limit_bytes{cache="memory"} 1.073741824e+09
labelrig_cache_bytes{cache="disk"} 0.0
labelrig_model_busy_seconds 0.0
"""
BACKEND = BackendStatus(
    "ready", "demo", "demo@1", "cpu", "torch-bfloat16", None, 4, 125.0, None,
    (CacheStatus("disk", None, 0, None, 0, 0), CacheStatus("memory", 1, 1 << 20, 1 << 30, 3, 1)),
)  # fmt: skip
RUNNING = ContainerStatus("sam2", "running", "healthy", "2026-11-26 06:00:00 UTC", 0, "labelrig/sam2:1", "sha256:sam2")
WHOLE = StackStatus(
    host="gpu01",
    project="labelrig",
    release="20261126T060000Z-abc1234",
    url="http://127.0.0.1:8080",
    how_to_open="./inv tunnel --host gpu01",
    containers=(RUNNING,),
    backend=BACKEND,
    label_studio="1.23.2",
    gpus=(GpuStatus(0, "NVIDIA H100", 1200, 81559), GpuStatus(1, "NVIDIA GB10", None, None)),
    disks=(DiskStatus("Docker", "/var/lib/docker", 12 << 30), Unknown("no such share")),
)


def test_the_backend_and_its_figures() -> None:
    run = FakeExec("sam2")
    run.answers |= {"GET /health": HEALTH, "GET /metrics": METRICS}
    assert read_backend(run) == BACKEND


def test_a_backend_whose_model_did_not_load() -> None:
    run = FakeExec("sam2")
    failed = HEALTH | {"state": "failed", "device": None, "engine": None, "detail": "the model could not be loaded"}
    run.answers |= {"GET /health": failed, "GET /metrics": ""}
    run.exit_codes["GET /health"] = 1
    found = read_backend(run)
    assert (found.ok, found.reason, found.clicks) == (False, "the model could not be loaded", 0)


def test_containers_of_each_kind() -> None:
    assert read_container("sam2", FakeContainer("sam2")) == RUNNING
    ended = read_container("sam2", FakeContainer("sam2", status="exited", health="unhealthy", restarts=2))
    assert (ended.state, ended.since, ended.restarts) == ("exited", "2026-11-26 07:00:00 UTC", 2)
    assert not read_container("sam2", None).ok


def test_gpus() -> None:
    host = FakeHost()
    query = smi_query(GPU_FIELDS)
    host.script(*query, exit_code=127)
    assert read_gpus(host) == ()
    host.script(*query, stdout="0, NVIDIA H100, 1200, 81559\n1, NVIDIA GB10, [N/A], [N/A]\n")
    assert read_gpus(host) == WHOLE.gpus
    host.script(*query, exit_code=9, stderr="NVIDIA-SMI has failed\n")
    with pytest.raises(HostError, match=r"^nvidia-smi ended with exit code 9: NVIDIA-SMI has failed$"):
        read_gpus(host)


def test_a_line_for_each_part() -> None:
    assert WHOLE.text().splitlines() == [
        "gpu01: labelrig, release 20261126T060000Z-abc1234",
        "  sam2          running since 2026-11-26 06:00:00 UTC, healthy, labelrig/sam2:1",
        "  model         demo (demo@1), ready, torch-bfloat16 on cpu",
        "  clicks        4 answered, on average click 125 ms",
        "  disk cache    0.0 MiB, 0 of 0 found",
        "  memory cache  1 entries, 1.0 of 1024 MiB, 3 of 4 found",
        "  GPU 0         NVIDIA H100, 1200 of 81559 MiB used",
        "  GPU 1         NVIDIA GB10, memory unknown",
        "  disk          12.0 GiB free for Docker (/var/lib/docker)",
        "  disk          unknown: no such share",
        "  Label Studio  1.23.2 answers",
        "  open          ./inv tunnel --host gpu01",
    ]
    assert WHOLE.ok


def test_a_container_that_ended_is_not_called_healthy() -> None:
    ended = replace(WHOLE, containers=(replace(RUNNING, state="exited"), replace(RUNNING, health="running")))
    assert ended.text().splitlines()[1:3] == [
        "  sam2          exited since 2026-11-26 06:00:00 UTC, labelrig/sam2:1",
        "  sam2          running since 2026-11-26 06:00:00 UTC, labelrig/sam2:1",
    ]


def test_what_cannot_be_read_is_said_in_its_place() -> None:
    dark = Unknown("no way there")
    part = replace(WHOLE, containers=dark, backend=dark, label_studio=dark, gpus=dark, disks=(dark,), release=None)
    assert not part.ok
    assert part.text().count("unknown: no way there") == 5
    shown = json.loads(json.dumps(part.as_dict()))
    assert shown["ok"] is False
    assert shown["containers"] == shown["backend"] == shown["disks"][0] == {"unknown": "no way there"}


@pytest.mark.parametrize(
    "broken",
    [
        {"containers": (replace(RUNNING, health="unhealthy"),)},
        {"backend": replace(BACKEND, state="loading")},
        {"label_studio": Unknown("nothing answers")},
    ],
)
def test_not_ok_when_people_cannot_work(broken: dict[str, object]) -> None:
    assert not replace(WHOLE, **broken).ok  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("local", "listen", "shown"),
    [
        (True, "127.0.0.1", "http://127.0.0.1:8080"),
        (False, "127.0.0.1", "./inv tunnel --host gpu01"),
        (False, "0.0.0.0", "http://gpu01:8080"),
        (False, "10.1.2.3", "http://10.1.2.3:8080"),
    ],
)
def test_how_to_open_it(local: bool, listen: str, shown: str) -> None:
    bench = DoctorBench()
    bench.settings = bench.settings.model_copy(update={"listen": listen})
    bench.host.is_local = local
    bench.host.name = "gpu01"
    assert how_to_open(bench.site()) == shown


def test_public_address_is_how_to_open_it() -> None:
    """Here and on a host, whatever `listen` says: the way may lead over another proxy."""
    for local in (True, False):
        bench = DoctorBench()
        bench.settings = bench.settings.model_copy(update={"public_url": "https://label.lab.example", "tls": "proxy"})
        bench.host.is_local = local
        assert how_to_open(bench.site()) == "https://label.lab.example"


def status_of(bench: DoctorBench, monkeypatch: pytest.MonkeyPatch) -> StackStatus:
    answer = httpx.MockTransport(lambda _request: httpx.Response(200, json={"release": "1.23.2"}))
    monkeypatch.setattr("infra.doctor.status.engine_client", lambda _host, _timeout: bench.engine)
    monkeypatch.setattr("infra.doctor.status.reached", lambda _site: nullcontext("http://ls.test"))
    monkeypatch.setattr("infra.doctor.status.http_client", lambda url: http_client(url, answer))
    monkeypatch.setattr("infra.doctor.status.read_disk", lambda _host, path, **_as: Disk(path, "/dev/sda1", 5 << 30))
    bench.host.script(*smi_query(GPU_FIELDS), exit_code=127)
    return status(bench.site(), None, Report(io.StringIO()))


def test_a_backend_that_cannot_be_asked_is_one_short_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it said last, and no command line of a screen's length."""
    bench = DoctorBench()
    ask = ("docker", "exec", "labelrig-sam2-1", *ASK_BACKEND, "GET", "/health")
    bench.host.script(*ask, exit_code=2, stderr="Traceback\nModuleNotFoundError: no module named backend\n")
    assert status_of(bench, monkeypatch).backend == Unknown(
        "ModuleNotFoundError: no module named backend; does the stack run?"
    )
    bench.engine.there["sam2"].status = "exited"
    part = status_of(bench, monkeypatch)
    assert part.backend == Unknown("sam2 is exited")
    assert max(map(len, part.text().splitlines())) < 100


def test_a_dead_engine_hides_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = DoctorBench()
    bench.engine.error = APIError("gone")
    part = status_of(bench, monkeypatch)

    dead = Unknown("the docker engine stopped answering while sam2 was looked at: gone")
    assert part.containers == dead
    assert part.backend == dead
    assert part.label_studio == "1.23.2"
    assert part.gpus == ()
    assert part.disks == (dead, DiskStatus("images", "/data/set", 5 << 30))
    assert not part.ok
    assert bench.engine.closed
