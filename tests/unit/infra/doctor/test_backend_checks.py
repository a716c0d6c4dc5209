"""The doctor's last links, in their states: the backend, its flag, the click."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from infra.doctor.backend_checks import check_backend, check_click, check_interactive
from infra.doctor.diagnosis import Finding, Verdict
from tests.unit.infra.doctor.doctor_bench import (
    DoctorBench,
    project,
)

Spoil = Callable[[DoctorBench], object]


@pytest.fixture
def bench() -> DoctorBench:
    return DoctorBench()


def backend(**changes: object) -> Spoil:
    return lambda bench: bench.server.backends[bench.backend].update(changes)


def another(url: str, **changes: object) -> Spoil:
    def spoil(bench: DoctorBench) -> None:
        row = bench.server.backends.pop(bench.backend)
        bench.server.backends = {1: row | {"id": 1, "url": url, "title": "other", **changes}, bench.backend: row}

    return spoil


@pytest.mark.parametrize(
    ("spoil", "result", "seen", "fix"),
    [
        (
            backend(url="http://sam2:9091"),
            "broken",
            "no ML backend http://sam2:9090 is registered (there are: http://sam2:9091)",
            "`./inv up` registers it",
        ),
        (
            backend(state="ER", error_message="setup says\n the labels are wrong"),
            "broken",
            "Label Studio's state of http://sam2:9090 is ER: setup says the labels are wrong",
            "`./inv logs` shows what the backend answered",
        ),
        (
            backend(state="DI", error_message="URL resolves to a reserved network address (block: 10.0.0.0/8)"),
            "broken",
            "Label Studio's state of http://sam2:9090 is DI: URL resolves to a reserved network address "
            "(block: 10.0.0.0/8)",
            "`./inv up` makes the container anew, with the settings that open the backend's address",
        ),
        (
            backend(state="ER", error_message="401 Client Error: this backend asks for a password"),
            "broken",
            "Label Studio's state of http://sam2:9090 is ER: 401 Client Error: this backend asks for a password",
            "`./inv up` gives the backend and Label Studio the same password",
        ),
        (
            another("http://sam2:9090/"),
            "warning",
            "http://sam2:9090 is registered 2 times",
            "`./inv up` keeps one",
        ),
    ],
)
def test_backend(bench: DoctorBench, spoil: Spoil, result: str, seen: str, fix: str) -> None:
    spoil(bench)
    assert bench.ask(check_backend) == Finding(Verdict(result), seen, fix)


@pytest.mark.parametrize(
    ("spoil", "result", "seen"),
    [
        (
            backend(is_interactive=False),
            "broken",
            "the ML backend is not interactive: the editor never asks it",
        ),
        (
            project(label_config="<View><Image"),
            "broken",
            "the project's labeling configuration: line 1: not well-formed XML: unclosed token",
        ),
        (
            lambda b: b.server.projects[b.project].update(
                label_config=b.spec.labeling.text.replace('smart="true"', 'smart="false"')
            ),
            "broken",
            None,
        ),
        (
            another("http://other:9090"),
            "warning",
            "another interactive ML backend comes first, other at http://other:9090: the editor asks that one",
        ),
        (another("http://other:9090", is_interactive=False), "ok", None),
    ],
)
def test_interactive(bench: DoctorBench, spoil: Spoil, result: str, seen: str | None) -> None:
    spoil(bench)
    found = bench.ask(check_interactive)
    assert found.result == result
    assert seen in (None, found.seen)


def test_a_click_that_fails_says_why(bench: DoctorBench) -> None:
    call = f"POST /api/ml/{bench.backend}/interactive-annotating"
    bench.server.overrides[call] = lambda _: httpx.Response(200, json={"errors": ["the model is on fire"]})
    found = bench.ask(check_click)
    assert found.result is Verdict.BROKEN
    assert "Label Studio says: the model is on fire" in found.seen
    assert found.fix == "`./inv logs` shows what the backend did"


def test_a_click_that_finds_nothing_is_a_warning(bench: DoctorBench) -> None:
    call = f"POST /api/ml/{bench.backend}/interactive-annotating"
    data = {"model_version": "sam2.1-tiny@1", "result": []}
    bench.server.overrides[call] = lambda _: httpx.Response(200, json={"data": data})
    found = bench.ask(check_click)
    assert found.result is Verdict.WARNING
    assert "the model found no object there" in found.seen
    data["model_version"] = "demo@1"  # of which nobody can expect more: no warning that never goes away
    found = bench.ask(check_click)
    assert found.result is Verdict.OK
    assert "the model found no object there" in found.seen
