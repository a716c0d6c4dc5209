"""What people make in Label Studio, and what of it any version shows through its API."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

PEOPLE = 8
SECONDS = 60.0
POINT = {
    "from_name": "point",
    "to_name": "image",
    "type": "keypointlabels",
    "value": {"x": 1, "y": 1, "width": 1, "keypointlabels": ["Car"]},
}
BRUSH = {
    "from_name": "brush",
    "to_name": "image",
    "type": "brushlabels",
    "original_width": 8,
    "original_height": 8,
    "image_rotation": 0,
    "value": {"format": "rle", "rle": [0, 0, 1, 0, 4, 5, 6], "brushlabels": ["Car"]},
}


def project_of(http: httpx.Client) -> dict[str, Any]:
    """The one project that there is."""
    (found,) = http.get("/api/projects/").raise_for_status().json()["results"]
    project: dict[str, Any] = found
    return project


def tasks_of(http: httpx.Client, more: str = "") -> list[dict[str, Any]]:
    """The first hundred tasks of the project. `more` is added to the query."""
    query = f"/api/tasks?project={project_of(http)['id']}&page_size=100{more}"
    found: list[dict[str, Any]] = http.get(query).raise_for_status().json()["tasks"]
    return found


def annotate(http: httpx.Client, task: int, region: dict[str, Any], timeout: float = SECONDS) -> httpx.Response:
    """Save one region on a task; the answer, whatever it is."""
    return http.post(f"/api/tasks/{task}/annotations/", json={"result": [region]}, timeout=timeout)


def annotation_count(http: httpx.Client) -> int:
    """How many annotations the project has."""
    project = http.get(f"/api/projects/{project_of(http)['id']}").raise_for_status().json()
    return int(project["total_annotations_number"])


def view(http: httpx.Client) -> dict[str, Any]:
    """The one project, its tasks with all annotations, the accounts, and the content of each uploaded file.

    Raises:
        HTTPStatusError: a part of it is not shown.
    """
    project, tasks = project_of(http), tasks_of(http, "&fields=all")
    people = http.get("/api/users/").raise_for_status().json()
    uploads = sorted(url for task in tasks for url in task["data"].values() if "/data/upload/" in str(url))
    return {
        "project": [project["title"], project["label_config"]],
        "tasks": {task["id"]: [task["data"], task["overlap"], _results(task)] for task in tasks},
        "people": sorted(one["email"] for one in people),
        "files": {url: hashlib.sha256(http.get(url).raise_for_status().content).hexdigest() for url in uploads},
    }


def _results(task: dict[str, Any]) -> list[tuple[object, ...]]:
    return sorted((one["id"], one["result"], one["completed_by"]) for one in task["annotations"])


@dataclass
class Saved:
    """What people saved, and what was refused to them."""

    count: int = 0
    failed: list[str] = field(default_factory=list)


@contextmanager
def people_save(api: Callable[[], AbstractContextManager[httpx.Client]], timeout: float = SECONDS) -> Iterator[Saved]:
    """Eight people save annotations, each on a task of their own, until the context ends.

    Args:
        api: a client for each of them.
        timeout: how long one waits for an answer.
    """
    with api() as http:
        tasks = tasks_of(http)
    saved, stop = Saved(), threading.Event()

    def person(task: int) -> None:
        with api() as http:
            while not stop.is_set():
                try:
                    done = annotate(http, task, POINT, timeout)
                except httpx.HTTPError as error:
                    saved.failed.append(repr(error))
                    continue
                if done.status_code == httpx.codes.CREATED:
                    saved.count += 1
                else:
                    saved.failed.append(f"{done.status_code}: {done.text[:200]}")

    threads = [threading.Thread(target=person, args=(task["id"],)) for task in tasks[:PEOPLE]]
    for thread in threads:
        thread.start()
    try:
        yield saved
    finally:
        stop.set()
        for thread in threads:
            thread.join(2 * timeout)
