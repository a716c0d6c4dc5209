"""The doctor's links of the containers, in their states."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.errors import CommandFailed, HostError, LabelrigError
from infra.doctor import inside
from infra.doctor.diagnosis import Finding, Verdict
from infra.doctor.stack_checks import check_containers, check_images, check_ls_to_sam2, check_no_localhost
from tests.unit.infra.doctor.doctor_bench import (
    DoctorBench,
    container,
)

Spoil = Callable[[DoctorBench], object]
UP = "`./inv up`"


@pytest.fixture
def bench() -> DoctorBench:
    return DoctorBench()


def test_an_image_that_was_removed(bench: DoctorBench) -> None:
    """Its container runs on, so nothing else tells until it must be made anew."""
    assert bench.ask(check_images) == Finding(Verdict.OK, "3 images")
    bench.engine.tags.remove("labelrig/sam2:1")
    assert bench.ask(check_images) == Finding(
        Verdict.WARNING,
        "the image labelrig/sam2:1 of sam2 cannot be found in the engine: a container of it cannot be made anew",
        f"{UP} builds or sends what lacks",
    )
    del bench.engine.there["sam2"]
    assert bench.ask(check_images).result is Verdict.WARNING, "the files name it too"


def test_looks_into_containers_without_the_stack_s_files(bench: DoctorBench) -> None:
    """An edited compose file is a trouble of its own and hides none of the links inside."""
    look = bench.inspection()
    look._execs.clear()
    bench.host.script("docker", "exec", "labelrig-sam2-1", "true")
    assert look.exec_in("sam2")("true").ok
    bench.engine.there.pop("label-studio")
    with pytest.raises(HostError, match=r"^label-studio has no container$"):
        look.exec_in("label-studio")
    look.close()


@pytest.mark.parametrize(
    ("spoil", "result", "seen", "fix"),
    [
        (lambda b: b.engine.there.pop("sam2"), "broken", "sam2 has no container", UP),
        (
            container("sam2", status="exited", exit_code=137),
            "broken",
            "sam2 is exited (exit code 137, it was killed)\nits last lines:\n    one\n    boom",
            UP,
        ),
        (
            container("sam2", health="unhealthy", log=b""),
            "broken",
            "sam2 is unhealthy; its health check says: 503 still loading\nit wrote nothing",
            "`./inv up` restarts it; `./inv logs` shows more",
        ),
        (
            container("label-studio", health="starting"),
            "broken",
            "label-studio is still starting",
            "wait a minute; `./inv logs` shows how far it is",
        ),
        (container("sam2", restarts=3), "ok", "healthy: sam2, label-studio, proxy", ""),
        (
            container("sam2", restarts=3, started="2026-11-26T07:01:00Z"),
            "warning",
            "sam2 was restarted 4 min ago, 3 times since it was made",
            "`./inv logs` says why it restarts; `./inv up` applies new settings",
        ),
        (
            container("sam2", hash="old"),
            "warning",
            "sam2 runs an older configuration than the files say",
            "`./inv logs` says why it restarts; `./inv up` applies new settings",
        ),
    ],
)
def test_containers(bench: DoctorBench, spoil: Spoil, result: str, seen: str, fix: str) -> None:
    spoil(bench)
    assert bench.ask(check_containers) == Finding(Verdict(result), seen, fix)


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (
            {"step": "resolve", "said": "Name or service not known", "status": None},
            "inside label-studio the name sam2 does not resolve (Name or service not known): the containers are not "
            "on one network",
        ),
        (
            {"step": "connect", "said": "172.31.250.3: Connection refused", "status": None},
            "inside label-studio nothing listens at sam2:9090 (172.31.250.3: Connection refused)",
        ),
        (
            {"step": "http", "said": "loading", "status": 503},
            "inside label-studio sam2:9090 gives HTTP 503: loading",
        ),
        (
            {"step": "http", "said": "timed out", "status": None},
            "inside label-studio sam2:9090 gives no answer: timed out",
        ),
    ],
)
def test_a_way_that_ends_early(bench: DoctorBench, answer: dict[str, object], seen: str) -> None:
    bench.execs["label-studio"].answers[inside.REACH] = answer
    found = bench.ask(check_ls_to_sam2)
    assert (found.result, found.seen) == (Verdict.BROKEN, seen)
    assert found.fix


@pytest.mark.parametrize(
    ("variable", "host"),
    [
        ("LABEL_STUDIO_URL=http://localhost:8080", "localhost"),
        ("LABEL_STUDIO_URL=https://user:word@127.0.0.1:8080/a", "127.0.0.1"),
        ("HTTP_PROXY=http://[::1]:3128", "[::1]"),
        ("POSTGRES_HOST=LocalHost", "LocalHost"),
        ("LABEL_STUDIO_PUBLIC_URL=http://localhost:8080", None),
        ("LABELRIG_PUBLIC_URL=https://localhost:8443", None),
        ("LABEL_STUDIO_ALLOWED_HOSTS=localhost,127.0.0.1,[::1],label-studio", None),
        ("HOST=0.0.0.0", None),
        ("LABEL_STUDIO_URL=http://localhost.lab.example:8080", None),
        ("LABEL_STUDIO_USERNAME=me@localhost.example", None),
    ],
)
def test_settings_that_point_to_localhost(bench: DoctorBench, variable: str, host: str | None) -> None:
    bench.engine.there["sam2"].env.append(variable)
    found = bench.ask(check_no_localhost)
    if host is None:
        assert found.result is Verdict.OK
    else:
        name = variable.split("=")[0]
        assert found.seen == f"sam2: {name} points to {host}: inside a container that is the container itself"
        assert "word" not in found.seen


def test_a_backend_registered_at_localhost(bench: DoctorBench) -> None:
    bench.server.backends[bench.backend]["url"] = "http://localhost:9090"
    found = bench.ask(check_no_localhost)
    assert found.seen.startswith("ML backend 5 of the project is registered at http://localhost:9090: ")
    assert found.fix == "delete it in the project's settings (Model), then `./inv up` registers http://sam2:9090"


def test_without_a_token_only_the_settings_are_looked_at(bench: DoctorBench) -> None:
    bench.token = None
    found = bench.ask(check_no_localhost)
    assert found.result is Verdict.OK
    assert found.seen.startswith("no setting does; the registered backends were not looked at (there is no ")


def test_a_container_that_cannot_be_asked(bench: DoctorBench) -> None:
    bench.execs["label-studio"].answers[inside.REACH] = CommandFailed("fake host: no python3")
    with pytest.raises(CommandFailed):
        bench.ask(check_ls_to_sam2)
    bench.execs["label-studio"].answers[inside.REACH] = "Traceback\n"
    with pytest.raises(LabelrigError, match=r"something else than JSON: 'Traceback\\n'$"):
        bench.ask(check_ls_to_sam2)
