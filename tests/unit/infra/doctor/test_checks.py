"""Every link of the doctor on a stack in which all holds: what it says, and that it only reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from infra.doctor.backend_checks import check_backend, check_interactive
from infra.doctor.diagnosis import Finding, Verdict
from infra.doctor.gpu_checks import check_gpu
from infra.doctor.host_checks import check_clock, check_engine, check_files, check_secrets, check_ssh
from infra.doctor.inspection import Inspection
from infra.doctor.project_checks import check_image, check_project, check_storage, check_token
from infra.doctor.stack_checks import check_containers, check_ls_to_sam2, check_no_localhost, check_sam2_to_ls
from infra.roles.project.backend_token import ACCOUNT
from tests.unit.infra.doctor.doctor_bench import (
    COMPOSE,
    FILES,
    DoctorBench,
)

Look = Callable[[Inspection], Finding]


@pytest.fixture
def bench() -> DoctorBench:
    return DoctorBench()


@pytest.mark.parametrize(
    ("check", "seen"),
    [
        (check_ssh, "not needed: it is this machine"),
        (check_clock, "not needed: it is this machine"),
        (check_engine, "Docker 28.0.1, compose 2.26.1"),
        (check_gpu, "there is no NVIDIA GPU: SAM2 computes on the CPU"),
        (check_files, "6 files in /stack"),
        (check_containers, "healthy: sam2, label-studio, proxy"),
        (check_ls_to_sam2, "sam2 is 172.31.250.3, port 9090 is open, /health answers 200"),
        (check_sam2_to_ls, "label-studio is 172.31.250.2, port 8080 is open, /health answers 200"),
        (check_no_localhost, "no setting and none of 1 registered backends does"),
        (check_token, f"Label Studio accepts it, and the backend's own, of {ACCOUNT}"),
        (check_project, "project 2 'RGBT-SAR', 1 tasks, rgbt-sar/v2"),
        (check_storage, "/data/set is /label-studio/files/set in every container that reads it, and readable"),
        (check_backend, "http://sam2:9090 is connected, model demo@1"),
        (check_interactive, "interactive; smart tools: KeyPoint, Rectangle; masks go to Brush"),
    ],
)
def test_a_link_that_holds(bench: DoctorBench, check: Look, seen: str) -> None:
    assert bench.ask(check) == Finding(Verdict.OK, seen)


def test_an_image_that_reaches_both(bench: DoctorBench) -> None:
    found = bench.ask(check_image)
    size = len(bench.image)
    assert found.seen == f"a b.png of task 4: served, decodes, and the backend reads the same {size} bytes"


def test_the_settings_are_read_again_with_what_was_made_since(bench: DoctorBench) -> None:
    one = bench.inspection()
    bench.settings = bench.settings.model_copy(update={"api_key": SecretStr("made-since")})
    assert check_secrets(one).result is Verdict.OK
    assert one.site.settings.api_key is not None
    one.close()


def test_nothing_is_written(bench: DoctorBench) -> None:
    before = dict(bench.host.files)
    for check in (check_engine, check_gpu, check_files, check_containers, check_storage, check_image):
        bench.ask(check)
    assert bench.host.files == before
    config = (*COMPOSE, *FILES, "config", "--hash", "*")
    assert {argv for argv in bench.host.commands if argv[:2] == ("docker", "compose")} <= {
        ("docker", "compose", "version", "--short"),
        config,
    }
