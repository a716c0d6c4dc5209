"""Twenty people at once, as a server sees them: open a task, click three times, submit, without a pause."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Barrier, Lock

import httpx

from labelstudio.prompts import click_regions
from labelstudio.session import sign_in
from tests.e2e.clicks import Round, Scene

STEPS = ("open", "click", "submit")
SCRIPT = "/react-app/main.js"  # the largest file of a page
TIMEOUT = 120.0


@dataclass
class Figures:
    """What people waited for each step, and what went wrong."""

    waits: dict[str, list[float]] = field(default_factory=lambda: {step: [] for step in STEPS})
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def percentile(self, step: str, percent: int) -> float:
        waits = self.waits[step]
        return statistics.quantiles(waits, n=100)[percent - 1] if len(waits) > 1 else waits[0]

    def row(self, name: str) -> str:
        """A line of the table in docs/performance.md."""
        cells = (f"{self.percentile(step, 50):.2f} / {self.percentile(step, 95):.2f}" for step in STEPS)
        rounds = len(self.waits["submit"]) / self.seconds
        return f"| {name} | {' | '.join(cells)} | {rounds:.1f} | {len(self.errors)} |"


@dataclass(frozen=True)
class Crowd:
    """Who works on what: each person has a task of their own."""

    username: str
    password: str
    round_: Round
    tasks: Sequence[tuple[int, Scene]]
    rounds: int

    def work(self, base_url: str) -> Figures:
        """Let all of them work at once; every one signs in before any begins."""
        figures, ready, one_by_one = Figures(), Barrier(len(self.tasks) + 1), Lock()

        def person(number: int) -> None:
            with ExitStack() as open_until_done:
                with one_by_one:  # all have one account here, and many attempts at once are slowed down
                    session = open_until_done.enter_context(sign_in(base_url, self.username, self.password))
                session.http.timeout = TIMEOUT
                known = session.http.get(SCRIPT).headers  # a browser has it from its first visit
                ready.wait(300)
                for _ in range(self.rounds):
                    self._round(session.http, known, *self.tasks[number], figures)

        with ThreadPoolExecutor(len(self.tasks)) as threads:
            done = [threads.submit(person, number) for number in range(len(self.tasks))]
            ready.wait(300)
            began = time.perf_counter()
            for one in done:
                one.result()
            figures.seconds = time.perf_counter() - began
        return figures

    def _round(self, http: httpx.Client, known: httpx.Headers, task: int, scene: Scene, figures: Figures) -> None:
        @contextmanager
        def step(name: str) -> Iterator[Callable[[httpx.Response], httpx.Response]]:
            def good(answer: httpx.Response) -> httpx.Response:
                if answer.status_code >= 400:
                    figures.errors.append(f"{name}: {answer.status_code} {answer.text[:200]}")
                return answer

            began = time.perf_counter()
            try:
                yield good
            except httpx.HTTPError as error:
                figures.errors.append(f"{name}: {type(error).__name__} {error}")
            figures.waits[name].append(time.perf_counter() - began)

        checks = {"If-None-Match": known.get("ETag", ""), "If-Modified-Since": known.get("Last-Modified", "")}
        project = self.round_.project_id
        with step("open") as good:
            good(http.get(f"/projects/{project}/data", params={"task": task}))
            good(http.get(SCRIPT, headers={name: value for name, value in checks.items() if value}))
            good(http.get(f"/api/tasks/{task}/", params={"project": project}))
            good(http.get(scene.task.image))
        one = scene.objects[0]
        regions = click_regions(self.round_.spec.labeling, one.label, one.click_xy, scene.size_wh)
        body = {"task": task, "context": {"result": list(regions)}}
        result: list[object] = []
        for _ in range(3):
            with step("click") as good:
                path = f"/api/ml/{self.round_.backend_id}/interactive-annotating"
                answer = good(http.post(path, json=body, headers={"X-Labelrig-Click": "1"}))
                found = answer.json() if answer.is_success else {}
                if found.get("errors"):
                    figures.errors.append(f"click: {found['errors']}")
                result = (found.get("data") or {}).get("result") or []
        with step("submit") as good:
            good(http.post(f"/api/tasks/{task}/annotations/", json={"result": result, "lead_time": 1.0}))
