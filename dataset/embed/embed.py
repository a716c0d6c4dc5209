"""`./inv embed`: encode the images of a project ahead of the clicks, on the server, while annotators go first."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.errors import LabelrigError
from core.report import Report
from dataset.export.labeling import read_labeling
from hosts.base import Exec
from infra.roles.project.ask_backend import ask_backend_json
from labeling.data_urls import is_data_url

if TYPE_CHECKING:
    from labelstudio.client import Client
    from labelstudio.models import Project

POLL_SECONDS = 2.0
ASK_TIMEOUT = 60.0
LONGEST_SECONDS = 7 * 24 * 3600.0
SHOWN_FAILURES = 5


def project_images(client: Client, project: Project, report: Report) -> list[dict[str, object]]:
    """The images of all tasks of a project, as the backend's `/embed` takes them: by their URLs.

    Raises:
        LabelrigError: there is no image in it.
    """
    labeling = read_labeling(project.label_config, f"the project {project.title!r}")
    if labeling.repeaters:
        raise LabelrigError(
            f"the project {project.title!r} repeats its images (<Repeater>), which `embed` does not list: they are "
            "encoded when a task is opened; `./inv embed --folder FOLDER` encodes the images of a folder"
        )
    tag = labeling.images[0]
    images: list[dict[str, object]] = []
    held = 0
    for task in client.tasks(project.id, tag):
        if is_data_url(task.image):
            held += 1
        elif task.image:
            images.append({"url": task.image, "task": str(task.id)})
    if held:
        report.notice(f"{held} images stand in their tasks (data URLs): they are encoded when they are opened")
    if not images:
        raise LabelrigError(f"the project {project.title!r} has no images with an address under {tag.value}")
    return images


def embed(
    exec_in_backend: Exec,
    request: dict[str, object],
    report: Report,
    *,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Have the backend encode images, and show how it gets on until it is done.

    The job is the backend's: it goes on when this command is stopped, and the same command finds it again.

    Args:
        request: body of the backend's `POST /embed`.

    Returns:
        What was done, for people.

    Raises:
        LabelrigError: the backend refuses, the job failed, or images could not be encoded.
    """
    job = str(_ask(exec_in_backend, "POST", "/embed", request)["job"])
    began = clock()
    while True:
        state = _ask(exec_in_backend, "GET", f"/embed/{job}")
        if state["state"] not in ("waiting", "running"):
            break
        report.progress(_line(state))
        if clock() - began > LONGEST_SECONDS:
            raise LabelrigError(f"the embed job {job} still runs after a week; look at the backend's log")
        pause(POLL_SECONDS)
    report.facts["embed"] = state
    return _outcome(state)


def cancel_all(exec_in_backend: Exec, report: Report) -> int:
    """End every embed job; what was encoded stays. Says which hosts could not be told.

    Returns:
        How many were ended.

    Raises:
        LabelrigError: the backend refuses.
    """
    jobs = _ask(exec_in_backend, "GET", "/embed")["jobs"]
    running = [one["id"] for one in jobs if one["state"] in ("waiting", "running")]
    answers = [_ask(exec_in_backend, "DELETE", f"/embed/{one}") for one in running]
    for one in answers:
        if one.get("problem"):
            report.notice(f"an embed job may go on: {one['problem']}")
    return sum(bool(one["cancelled"]) for one in answers)


def _ask(exec_in_backend: Exec, method: str, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
    accepted, answer = ask_backend_json(exec_in_backend, method, path, body, timeout=ASK_TIMEOUT)
    if not accepted:
        raise LabelrigError(f"the SAM2 backend refuses: {answer.get('detail', answer)}")
    return answer


def _line(state: dict[str, Any]) -> str:
    done = state["encoded"] + state["skipped"] + state["failed"]
    parts = [f"embed: {done} of {state['total']} images"]
    if state["images_per_second"]:
        parts.append(f"{state['images_per_second']:.2f} a second")
    if state["eta_seconds"] is not None:
        parts.append(f"{_duration(state['eta_seconds'])} left")
    if state["failed"]:
        parts.append(f"{state['failed']} failed")
    if state["state"] == "waiting":
        parts.append("waiting for another job")
    if state["problem"]:
        parts.append(state["problem"])
    return ", ".join(parts)


def _outcome(state: dict[str, Any]) -> str:
    text = (
        f"{state['encoded']} images encoded, {state['skipped']} were there already, {state['failed']} failed, "
        f"in {_duration(state['seconds'])}"
    )
    failures = [f"  {one['image']}: {one['reason']}" for one in state["failures"][:SHOWN_FAILURES]]
    more = state["failed"] - len(failures)
    if more > 0:
        failures.append(f"  and {more} more")
    if state["state"] == "done" and not state["failed"]:
        return text
    why = f": {state['problem']}" if state["problem"] else ""
    raise LabelrigError("\n".join([f"the embed job is {state['state']}{why}; {text}", *failures]))


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole / 3600:.1f} h"
