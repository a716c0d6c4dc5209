"""The way in: the proxy answers, and its certificate is good for a while."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from infra.doctor import inside
from infra.doctor.diagnosis import Finding, Verdict
from infra.doctor.proxy_checks import check_certificate, check_proxy
from tests.certificates import authority
from tests.unit.infra.doctor.doctor_bench import DoctorBench

LAB = "https://label.lab.example"
ROOT = authority()
LOGS = "`./inv logs`"


@pytest.fixture
def bench() -> DoctorBench:
    return DoctorBench()


def with_tls(bench: DoctorBench, kind: str, pem: bytes | None) -> None:
    bench.settings = bench.settings.model_copy(update={"public_url": LAB, "tls": kind})
    answer: dict[str, Any] = {"said": "tlsv1 alert internal error"} if pem is None else {"pem": pem.decode()}
    bench.execs["proxy"].answers[inside.CERTIFICATE] = answer


def test_proxy_that_answers(bench: DoctorBench) -> None:
    seen = f"people open {bench.settings.url}; /health answers 200"
    assert bench.ask(check_proxy) == Finding(Verdict.OK, seen)
    with_tls(bench, "proxy", None)
    assert bench.ask(check_proxy).seen == f"people open {LAB}; /health answers 200"


def test_proxy_that_does_not(bench: DoctorBench) -> None:
    bench.server.overrides["GET /health"] = lambda _: httpx.Response(502)
    found = bench.ask(check_proxy)
    assert found.result is Verdict.BROKEN
    assert found.seen.startswith("/health gives HTTP 502 at http://")


def test_stack_from_before_the_proxy(bench: DoctorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    site = replace(bench.site(), proxy=False)
    monkeypatch.setattr(bench, "site", lambda: site)
    assert bench.ask(check_proxy).result is Verdict.WARNING


def test_no_certificate_of_ours(bench: DoctorBench) -> None:
    assert bench.ask(check_certificate) == Finding(Verdict.OK, "not needed: http only")
    with_tls(bench, "proxy", None)
    assert bench.ask(check_certificate) == Finding(Verdict.OK, "not ours: the proxy in front has it")


@pytest.mark.parametrize(
    ("kind", "days", "result", "seen"),
    [
        ("files", 90, Verdict.OK, "for label.lab.example, good until "),
        ("files", 20, Verdict.WARNING, "the certificate of label.lab.example ends "),
        ("acme", 20, Verdict.OK, "for label.lab.example, good until "),
        ("acme", 10, Verdict.WARNING, "the certificate of label.lab.example ends "),
        ("internal", 0.4, Verdict.OK, "for label.lab.example, good until "),
        ("internal", -1, Verdict.BROKEN, "the certificate of label.lab.example ended "),
    ],
)
def test_how_long_it_is_good(bench: DoctorBench, kind: str, days: float, result: Verdict, seen: str) -> None:
    """What is renewed by itself is near its end only where that failed."""
    with_tls(bench, kind, ROOT.sign("label.lab.example", days=days)[0])
    found = bench.ask(check_certificate)
    assert found.result is result
    assert found.seen.startswith(seen)


def test_https_that_is_not_served(bench: DoctorBench) -> None:
    with_tls(bench, "acme", None)
    found = bench.ask(check_certificate)
    assert found.result is Verdict.BROKEN
    assert found.seen == "the proxy serves no https for label.lab.example: tlsv1 alert internal error"
    assert found.fix.startswith(LOGS)
