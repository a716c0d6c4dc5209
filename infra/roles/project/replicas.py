"""The gate of hosts that serve together: the click that proved the stack, answered by every replica of every host."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.errors import CommandFailed, ProofFailed, WaitTimeout
from core.report import Report
from core.text import some
from core.waiting import wait_for
from hosts.base import ANY_EXIT_CODE, Exec
from infra.roles.project.ask_backend import ASK_BACKEND, OK
from infra.roles.project.group_hosts import HostFacts, read_hosts
from infra.roles.project.project import get_project
from infra.roles.project.role import ProjectContext
from infra.roles.project.verify import SmokeTest, prompt_of, reach_of, size_of, targets
from labelstudio.config import ProjectSpec
from labelstudio.models import Project
from labelstudio.proof import Target

if TYPE_CHECKING:
    from labelstudio.client import Client

SECONDS = 600.0  # to load a large model on the slowest host
CLICK_SECONDS = 330.0
PAUSE = 2.0


class ReplicasMissing(ProofFailed):
    """Some replicas did not answer in time. `hosts` are those on which they should be."""

    def __init__(self, text: str, hosts: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.hosts = hosts


def click_replicas(
    spec: ProjectSpec, ctx: ProjectContext, proof: SmokeTest, expected: Mapping[str, int], report: Report,
    *, seconds: float = SECONDS,
) -> None:  # fmt: skip
    """Click until each replica that there is to be has answered.

    Args:
        proof: the click that came back as a mask.
        expected: host -> how many replicas it holds.
        seconds: until the deadline.

    Raises:
        ReplicasMissing: names the hosts whose replicas did not answer, and what was answered in their place.
    """
    body = json.dumps(_body(spec, ctx, proof)).encode()
    run = ctx.exec_in_backend
    seen: set[str] = set()
    refused: dict[str, str] = {}

    def check() -> bool | None:
        there = {one.name for host in _hosts(run) for one in host.replicas if one.answers}
        for name in sorted(there - seen):
            problem = _problem(_clicked(run, body, name), name, proof)
            if problem is None:
                seen.add(name)
                refused.pop(name, None)
            else:
                refused[name] = problem
        return True if not missing(expected, seen) else None

    def doing() -> str:
        return f"{sum(expected.values()) - sum(missing(expected, seen).values())} of {sum(expected.values())} answered"

    what = "every replica to answer a click"
    try:
        wait_for(what, check, timeout=seconds, pause=PAUSE, show=report.progress, doing=doing)
    except WaitTimeout:
        lacking = missing(expected, seen)
        named = ", ".join(f"{host} ({count} of {expected[host]} missing)" for host, count in lacking.items())
        other = f"; {some([f'{name}: {why}' for name, why in sorted(refused.items())])}" if refused else ""
        raise ReplicasMissing(
            f"after {seconds:.0f} s not every replica answers clicks: {named}{other}", tuple(lacking)
        ) from None
    report.ok(f"a click answered by each replica: {', '.join(sorted(seen))}", [])


def until_click_answered(
    spec: ProjectSpec, ctx: ProjectContext, report: Report, *, seconds: float = SECONDS
) -> None:  # fmt: skip
    """Click on an image until a replica has answered, asked beside the ingress: nothing else can answer there.

    Raises:
        WaitTimeout: none has in time.
        LabelrigError: there is no image to click on.
    """
    body = json.dumps(_first_body(spec, ctx, report)).encode()

    def check() -> bool | None:
        ask = (*ASK_BACKEND, "--lines", "POST", "/predict")
        line = ctx.exec_in_backend(*ask, ok=ANY_EXIT_CODE, stdin=body, timeout=CLICK_SECONDS).stdout.strip()
        return True if line.startswith("{") and json.loads(line)["status"] == OK else None

    what = "a replica to answer a click"
    wait_for(what, check, timeout=seconds, pause=PAUSE, show=report.progress)
    report.ok("a replica answered a click", [])


def until_one_serves(run: Exec, report: Report, seconds: float = SECONDS) -> None:
    """Wait until a replica has its model.

    Raises:
        WaitTimeout: none has in time.
    """

    def check() -> bool | None:
        return True if run(*ASK_BACKEND, "GET", "/ready", ok=ANY_EXIT_CODE).ok else None

    wait_for("the first replica to load its model", check, timeout=seconds, pause=PAUSE, show=report.progress)


def missing(expected: Mapping[str, int], seen: set[str]) -> dict[str, int]:
    """Host -> how many of its replicas are not among those that were seen, by their names `HOST/NUMBER`."""
    found = Counter(name.rpartition("/")[0] for name in seen)
    return {host: count - found[host] for host, count in expected.items() if found[host] < count}


def _hosts(run: Exec) -> list[HostFacts]:
    try:
        return read_hosts(run)
    except CommandFailed:  # the ingress does not run at the moment
        return []


def _clicked(run: Exec, body: bytes, name: str) -> dict[str, Any]:
    """Status, replica and answer; status 0 where the ingress does not run."""
    ask = (*ASK_BACKEND, "--replica", name, "POST", "/predict")
    result = run(*ask, ok=ANY_EXIT_CODE, stdin=body, timeout=CLICK_SECONDS)
    line = result.stdout.strip()
    if not line.startswith("{"):
        return {"status": 0, "replica": None, "body": {"detail": result.stderr.strip()[-200:]}}
    answer: dict[str, Any] = json.loads(line)
    return answer


def _problem(answer: Mapping[str, Any], name: str, proof: SmokeTest) -> str | None:
    if answer["status"] != 200 or not answer["replica"]:
        return f"{answer['status']} {answer['body'].get('detail', '')}"
    if not str(answer["replica"]).startswith(f"{name} "):
        return f"{answer['replica']} answered in its place"
    results = answer["body"].get("results") or [{}]
    if proof.covered and not results[0].get("result"):
        return "it found nothing where a mask came before"
    return None


def _first_body(spec: ProjectSpec, ctx: ProjectContext, report: Report) -> dict[str, object]:
    """A click on the first image that can be read."""
    client = ctx.access.client()
    project = get_project(client, spec.title)
    return _of_target(spec, client, project, next(targets(client, project.id, spec, ctx, report)))


def _body(spec: ProjectSpec, ctx: ProjectContext, proof: SmokeTest) -> dict[str, object]:
    """The click of a proof."""
    client = ctx.access.client()
    project = get_project(client, spec.title)
    task = next(one for one in client.tasks(project.id, spec.labeling.images[0]) if one.id == proof.task_id)
    size_wh = size_of(client, task)
    target = Target(task, proof.image, size_wh, proof.label, (proof.click_xy,), None, reach_of(spec, size_wh))
    return _of_target(spec, client, project, target)


def _of_target(spec: ProjectSpec, client: Client, project: Project, target: Target) -> dict[str, object]:
    """The first click of a target as Label Studio hands it to the backend."""
    data = next(one["data"] for one in client.task_states(project.id) if int(one["id"]) == target.task.id)
    return {
        "tasks": [{"id": target.task.id, "data": data}],
        "project": project.key,
        "label_config": project.label_config,
        "params": {"context": {"result": prompt_of(spec, target, target.clicks[0])}},
    }
