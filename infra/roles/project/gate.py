"""The gate of a release: every container healthy, the API read with a token, one true click, and the right device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import CommandFailed, LabelrigError, LabelStudioError, ProofFailed
from core.report import Report
from hosts.base import Exec
from infra.roles.project.ask_backend import ask_backend_json
from infra.roles.project.role import ProjectContext
from infra.roles.project.verify import SmokeTest, verify
from infra.roles.stack.containers import StackRunning, health_of, last_lines
from labelstudio.config import ProjectSpec

if TYPE_CHECKING:
    from docker.models.containers import Container

LOG_LINES = 15


@dataclass(frozen=True)
class BackendFacts:
    """What the backend says of itself. `device` is torch's name, `cuda:0` or `cpu`."""

    state: str
    model: str
    model_version: str
    device: str | None
    engine: str | None


def backend_facts(exec_in_backend: Exec) -> BackendFacts:
    """Ask the backend, from inside its container, which model it runs on what.

    Raises:
        ProofFailed: it does not answer, or not that it works.
        HostError: it does not answer in time, or its host is gone.
    """
    try:
        ready, answer = ask_backend_json(exec_in_backend, "GET", "/health")
        if not ready:
            raise CommandFailed(str(answer.get("detail", answer)))
        return BackendFacts(
            str(answer["state"]),
            str(answer["model"]),
            str(answer["model_version"]),
            answer["device"],
            answer["engine"],
        )
    except (CommandFailed, KeyError) as error:
        raise ProofFailed(f"the state of the SAM2 backend is unknown: {error}") from None


def pass_gate(
    spec: ProjectSpec,
    context: ProjectContext,
    running: StackRunning,
    services: Sequence[str],
    report: Report,
    *,
    gpu: bool,
    computes: str = "sam2",
) -> SmokeTest:
    """Prove that a release serves.

    Args:
        gpu: the release is to run on a GPU; a backend on another device fails.
        computes: the service with the model, whose log is shown where it is likely guilty.

    Raises:
        LabelrigError: what does not work, with the last lines of the container that is likely guilty.
    """
    for service in services:
        container = running.container(service)
        if container is None or health_of(container) != "healthy":
            raise LabelrigError(f"{service} is not healthy{tail_of(container)}")
    report.ok("every container healthy", [])
    sam2 = running.container(computes)
    try:
        backend = backend_facts(context.exec_in_backend)
    except ProofFailed as error:
        raise ProofFailed(f"{error}{tail_of(sam2)}") from None
    if gpu and not str(backend.device).startswith("cuda"):
        raise ProofFailed(f"the SAM2 backend runs on {backend.device} and not on the GPU{tail_of(sam2)}")
    report.ok(f"SAM2 on {backend.device}", [])
    try:
        proof = verify(spec, context, report)
    except LabelrigError as error:
        # What Label Studio could not do may be its own fault, or that of the backend behind it.
        others = tail_of(running.container("label-studio")) if isinstance(error, LabelStudioError) else ""
        raise type(error)(f"{error}{others}{tail_of(sam2)}") from None
    report.ok(proof.sentence(), [])
    report.facts |= {"device": backend.device, "engine": backend.engine}
    return proof


def tail_of(container: Container | None) -> str:
    """The last lines of a container as they are put behind a message."""
    if container is None:
        return " (it has no container)"
    return f"; the last lines of {container.name}:\n{last_lines(container, LOG_LINES)}"
