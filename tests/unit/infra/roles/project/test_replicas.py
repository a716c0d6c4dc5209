"""The gate of several hosts: every replica must answer the click that proved the stack."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Unpack

import pytest

from core.errors import WaitTimeout
from hosts.base import Result, RunArguments
from infra.roles.project import replicas as module
from infra.roles.project.replicas import (
    ReplicasMissing,
    click_replicas,
    missing,
    until_click_answered,
    until_one_serves,
)
from labelstudio.proof import SmokeTest
from tests.unit.infra.deploy_bench import quiet

PROOF = SmokeTest(1, "a.png", (5, 5), "boat", 0.9, 0.9, 0.1, True, "demo", 0.1)
MASK = {"results": [{"result": [{"id": "m"}]}]}
SPEC: Any = None


class Backend:
    """An ingress; of `replicas` the first so many have joined, one more each time that it is asked for its hosts."""

    def __init__(
        self, *replicas: str, joined: int = 1, body: Mapping[str, object] = MASK, status: int = 200, other: str = ""
    ) -> None:
        self.replicas = replicas
        self.joined = joined
        self.body = body
        self.status = status
        self.other = other
        self.clicked: list[str] = []

    def __call__(self, *argv: str, **arguments: Unpack[RunArguments]) -> Result:
        if argv[-1] == "/hosts":
            there = [fact(name) for name in self.replicas[: self.joined]]
            self.joined += 1
            hosts = [{"host": "x", "drained": False, "empty": False, "replicas": there}]
            return Result(argv, 0, json.dumps({"hosts": hosts}), "")
        name = argv[argv.index("--replica") + 1]
        self.clicked.append(name)
        assert json.loads(arguments["stdin"] or b"") == {"a": "click"}
        answer = {"status": self.status, "replica": f"{self.other or name} 7", "body": self.body}
        return Result(argv, int(self.status != 200), json.dumps(answer) + "\n", "")


def fact(name: str) -> dict[str, object]:
    return {
        "replica": name, "state": "ready", "reason": None, "device": "cpu", "gpu": "", "requests": 0, "hit_ratio": None
    }  # fmt: skip


def click(backend: Backend, expected: dict[str, int], monkeypatch: pytest.MonkeyPatch, seconds: float = 5) -> None:
    monkeypatch.setattr(module, "_body", lambda *_: {"a": "click"})
    monkeypatch.setattr(module, "PAUSE", 0.01)
    context: Any = SimpleNamespace(exec_in_backend=backend)
    click_replicas(SPEC, context, PROOF, expected, quiet(), seconds=seconds)


def test_waits_until_each_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, as it comes."""
    backend = Backend("gpu01/0", "gpu02/0", "gpu02/1")
    click(backend, {"gpu01": 1, "gpu02": 2}, monkeypatch)
    assert backend.clicked == ["gpu01/0", "gpu02/0", "gpu02/1"]


def test_names_the_host_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Backend("gpu01/0", "gpu02/0", joined=2)
    with pytest.raises(ReplicasMissing, match=r"gpu02 \(1 of 2 missing\), gpu03 \(1 of 1 missing\)") as caught:
        click(backend, {"gpu01": 1, "gpu02": 2, "gpu03": 1}, monkeypatch, seconds=0.1)
    assert caught.value.hosts == ("gpu02", "gpu03")


@pytest.mark.parametrize(
    ("backend", "says"),
    [
        (Backend("gpu01/0", status=503, body={"detail": "the model failed"}), "gpu01/0: 503 the model failed"),
        (Backend("gpu01/0", body={"results": [{"result": []}]}), "gpu01/0: it found nothing where a mask came before"),
        (Backend("gpu01/0", other="gpu02/0"), "gpu01/0: gpu02/0 7 answered in its place"),
    ],
)
def test_an_answer_without_a_mask_counts_not(backend: Backend, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReplicasMissing, match=says):
        click(backend, {"gpu01": 1}, monkeypatch, seconds=0.1)


def test_a_head_without_a_replica_is_not_missed() -> None:
    assert missing({"gpu01": 0, "gpu02": 1}, {"gpu02/0"}) == {}
    assert missing({"gpu01": 1, "gpu02": 2}, {"gpu02/0"}) == {"gpu01": 1, "gpu02": 1}


def test_first_replica_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.01)
    answers = [1, 1, 0]

    def run(*argv: str, **_arguments: Unpack[RunArguments]) -> Result:
        assert argv[-2:] == ("GET", "/ready")
        return Result(argv, answers.pop(0), "", "")

    until_one_serves(run, quiet(), seconds=5)
    assert answers == []
    with pytest.raises(WaitTimeout, match="the first replica to load its model"):
        until_one_serves(lambda *argv, **_: Result(argv, 1, "", ""), quiet(), seconds=0.05)


def test_a_click_is_asked_beside_the_ingress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until one comes back: where no replica is there it is refused, and while the ingress starts no one answers."""
    monkeypatch.setattr(module, "PAUSE", 0.01)
    monkeypatch.setattr(module, "_first_body", lambda *_: {"a": "click"})
    answers = ['{"status":0,"body":{}}\n', "", '{"status":503,"body":{}}\n', '{"status":200,"body":{}}\n']

    def run(*argv: str, **arguments: Unpack[RunArguments]) -> Result:
        assert argv[-3:] == ("--lines", "POST", "/predict")
        assert json.loads(arguments["stdin"] or b"") == {"a": "click"}
        return Result(argv, 0, answers.pop(0), "")

    context: Any = SimpleNamespace(exec_in_backend=run)
    until_click_answered(SPEC, context, quiet(), seconds=5)
    assert answers == []
    context = SimpleNamespace(exec_in_backend=lambda *argv, **_: Result(argv, 0, '{"status":503,"body":{}}', ""))
    with pytest.raises(WaitTimeout, match="a replica to answer a click"):
        until_click_answered(SPEC, context, quiet(), seconds=0.05)
