"""The gate: what stops a release, and what its message says."""

from __future__ import annotations

import json
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import CommandFailed, CommandTimedOut, LabelrigError, LabelStudioError, ProofFailed
from hosts.base import Result
from infra.roles.project import gate as module
from infra.roles.project.gate import LOG_LINES, BackendFacts, backend_facts, pass_gate, tail_of
from labelstudio.proof import SmokeTest
from tests.unit.infra.deploy_bench import quiet

ANSWER = {"state": "ready", "model": "tiny", "model_version": "sam2.1-tiny", "device": "cuda:0", "engine": "torch"}
PROOF = SmokeTest(1, "a.png", (5, 6), "ship", 0.9, 0.8, 0.1, True, "sam2.1-tiny", 0.4)
SERVICES = ("db", "sam2", "label-studio")


class Backend:
    """A container in which the backend is asked."""

    def __init__(self, said: str | LabelrigError) -> None:
        self.said = said
        self.exit_code = 0
        self.asked: list[tuple[tuple[str, ...], float]] = []

    def __call__(
        self,
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = 60.0,
        stdin: bytes | None = None,
        **_options: object,
    ) -> Result:
        self.asked.append((argv, timeout))
        if isinstance(self.said, LabelrigError):
            raise self.said
        return Result(argv, self.exit_code, self.said, "")


def container(service: str, health: str = "healthy", lines: int = 40) -> SimpleNamespace:
    text = "".join(f"{service} says {number}\n" for number in range(lines))
    return SimpleNamespace(
        name=f"labelrig-{service}-1",
        attrs={"State": {"Status": "running", "Health": {"Status": health}}},
        logs=lambda tail: "".join(text.splitlines(keepends=True)[-tail:]).encode() + b"\xff",
    )


class Bench:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.containers: dict[str, Any] = {service: container(service) for service in SERVICES}
        self.backend = Backend(json.dumps(ANSWER))
        self.verified: SmokeTest | LabelrigError = PROOF
        self.report = quiet()
        monkeypatch.setattr(module, "verify", self._verify)

    def passed(self, *, gpu: bool = True) -> SmokeTest:
        running: Any = SimpleNamespace(container=self.containers.get)
        context: Any = SimpleNamespace(exec_in_backend=self.backend)
        nothing: Any = None
        return pass_gate(nothing, context, running, SERVICES, self.report, gpu=gpu)

    def _verify(self, *_arguments: object) -> SmokeTest:
        if isinstance(self.verified, LabelrigError):
            raise self.verified
        return self.verified


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_the_backend_says_what_it_is_from_inside_its_container() -> None:
    backend = Backend(json.dumps({**ANSWER, "more": 1}) + "\n")
    assert backend_facts(backend) == BackendFacts("ready", "tiny", "sam2.1-tiny", "cuda:0", "torch")
    assert backend.asked == [(("python", "-m", "backend.ask", "GET", "/health"), 30)]


def test_a_backend_may_name_no_device() -> None:
    assert backend_facts(Backend(json.dumps({**ANSWER, "device": None, "engine": None}))).device is None


@pytest.mark.parametrize(
    "said",
    [
        "",
        "<html>502</html>",
        "null",
        "[]",
        '"ready"',
        "{}",
        json.dumps({name: value for name, value in ANSWER.items() if name != "device"}),
        json.dumps(ANSWER)[:-1],
        CommandFailed("sam2: `python` ended with exit code 1"),
    ],
)
def test_an_answer_that_is_none_is_told_in_one_sentence(said: str | LabelrigError) -> None:
    with pytest.raises(ProofFailed, match=r"^the state of the SAM2 backend is unknown: .+"):
        backend_facts(Backend(said))


def test_backend_whose_model_did_not_load() -> None:
    """It answers, with HTTP 503 and the reason."""
    backend = Backend(json.dumps({**ANSWER, "state": "failed", "detail": "the model could not be loaded"}))
    backend.exit_code = 1
    with pytest.raises(ProofFailed, match=r"^the state of the SAM2 backend is unknown: the model could not be loaded$"):
        backend_facts(backend)


def test_a_backend_that_hangs_is_another_error() -> None:
    with pytest.raises(CommandTimedOut, match=r"^30 s$"):
        backend_facts(Backend(CommandTimedOut("30 s")))


def test_what_passes_leaves_its_facts_and_its_proof(bench: Bench) -> None:
    assert bench.passed() is PROOF
    assert bench.report.facts == {"device": "cuda:0", "engine": "torch"}
    assert bench.report.stages[0].ok == ["every container healthy", "SAM2 on cuda:0", PROOF.sentence()]
    assert bench.report.changed == 0


@pytest.mark.parametrize("health", ["unhealthy", "starting"])
@pytest.mark.parametrize("service", SERVICES)
def test_an_unhealthy_container_is_named_with_its_own_last_lines(bench: Bench, service: str, health: str) -> None:
    bench.containers[service] = container(service, health)
    with pytest.raises(LabelrigError) as caught:
        bench.passed()
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{service} is not healthy; the last lines of labelrig-{service}-1:"
    assert len(lines) == 1 + LOG_LINES + 1  # the last one is cut off
    assert lines[-2] == f"    {service} says 39"
    assert bench.backend.asked == []


def test_a_container_that_is_gone_is_named(bench: Bench) -> None:
    del bench.containers["db"]
    with pytest.raises(LabelrigError, match=r"^db is not healthy \(it has no container\)$"):
        bench.passed()
    assert tail_of(None) == " (it has no container)"


@pytest.mark.parametrize("device", ["cpu", None, "mps", ""])
def test_a_backend_on_another_device_than_the_gpu_fails(bench: Bench, device: str | None) -> None:
    bench.backend = Backend(json.dumps({**ANSWER, "device": device}))
    with pytest.raises(ProofFailed) as caught:
        bench.passed()
    assert str(caught.value).startswith(f"the SAM2 backend runs on {device} and not on the GPU; the last lines of ")
    assert "sam2 says 39" in str(caught.value)
    assert bench.passed(gpu=False) is PROOF  # without a GPU any device will do


def test_silent_backend_is_shown_with_its_last_lines(bench: Bench) -> None:
    bench.backend = Backend("")
    with pytest.raises(ProofFailed, match=r"^the state of the SAM2 backend is unknown") as caught:
        bench.passed()
    assert "the last lines of labelrig-sam2-1:" in str(caught.value)


def test_failed_click_keeps_its_error_and_shows_the_log(bench: Bench) -> None:
    bench.verified = ProofFailed("IoU 0.10 with the drawn object; 0.5 is needed")
    with pytest.raises(ProofFailed) as caught:
        bench.passed()
    lines = str(caught.value).splitlines()
    assert lines[0] == "IoU 0.10 with the drawn object; 0.5 is needed; the last lines of labelrig-sam2-1:"
    assert not any("label-studio says" in line for line in lines)
    assert bench.report.facts == {}


def test_what_label_studio_cannot_do_shows_both_sides(bench: Bench) -> None:
    bench.verified = LabelStudioError("Label Studio answered 500")
    with pytest.raises(LabelStudioError) as caught:
        bench.passed()
    text = str(caught.value)
    assert text.startswith("Label Studio answered 500; the last lines of labelrig-label-studio-1:\n")
    assert "label-studio says 39" in text
    assert "the last lines of labelrig-sam2-1:\n" in text
