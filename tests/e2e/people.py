"""Many people at once, as a server sees them: open a task, click three times, submit, without a pause."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from threading import Barrier, BrokenBarrierError, Lock

import httpx

from labelstudio.bulk import add_tasks
from labelstudio.models import BasicAuth
from labelstudio.prompts import click_regions
from labelstudio.session import sign_in
from tests.e2e import clicks
from tests.e2e.clicks import Round, Scene
from tests.e2e.workbench import IMAGE, project

STEPS = ("open", "click", "submit")
SCRIPT = "/react-app/main.js"  # the largest file of a page
TIMEOUT = 120.0  # Label Studio itself gives the backend 100 s
READY_SECONDS = 900.0  # until all are signed in, one after the other


@contextmanager
def stops_all(ready: Barrier) -> Iterator[None]:
    """What fails here keeps no one waiting at the barrier."""
    try:
        yield
    except BaseException:
        ready.abort()
        raise


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
        """A line of the tables in docs/performance.md and docs/cluster.md."""
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

    def look_at_images(self) -> None:
        """Click on every image once: what is measured afterwards is Label Studio, and not the model's first look."""
        for scene in {scene.image: scene for _, scene in self.tasks}.values():
            clicks.click(self.round_, scene, scene.objects[0])

    def work(self, base_url: str) -> Figures:
        """Let all of them work at once; every one signs in before any begins."""
        figures, ready, one_by_one = Figures(), Barrier(len(self.tasks) + 1), Lock()

        def person(number: int) -> None:
            with ExitStack() as open_until_done:
                # All have one account here, and many attempts at once are slowed down.
                with stops_all(ready), one_by_one:
                    session = open_until_done.enter_context(sign_in(base_url, self.username, self.password))
                    session.http.timeout = TIMEOUT
                    known = session.http.get(SCRIPT).headers  # a browser has it from its first visit
                ready.wait(READY_SECONDS)
                for _ in range(self.rounds):
                    self._round(session.http, known, *self.tasks[number], figures)

        with ThreadPoolExecutor(len(self.tasks)) as threads:
            done = [threads.submit(person, number) for number in range(len(self.tasks))]
            with suppress(BrokenBarrierError):  # whose sign-in failed says why
                ready.wait(READY_SECONDS)
            began = time.perf_counter()
            for one in sorted(done, key=lambda one: isinstance(one.exception(), BrokenBarrierError)):
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


@contextmanager
def crowd(
    round_: Round, api_key: str, login: BasicAuth, account: tuple[str, str], scenes: Sequence[Scene], rounds: int
) -> Iterator[Crowd]:
    """A person for each scene, in a project of their own, which is removed afterwards.

    Args:
        round_: the stack, with a project that has its backend.
        login: of the backend.
        account: user and password with which all of them sign in, each to a session of their own.
        scenes: whose images the people work on.
    """
    labeling = round_.spec.labeling
    url = next(one.url for one in round_.client.backends(round_.project_id) if one.id == round_.backend_id)
    with project(round_.client, api_key, url, login, labeling.text) as bench:
        add_tasks(round_.client, bench.project_id, [{"image": scene.task.image} for scene in scenes])
        by_image = {scene.task.image: scene for scene in scenes}
        mine = [replace(by_image[task.image], task=task) for task in round_.client.tasks(bench.project_id, IMAGE)]
        assert len(mine) == len(scenes)
        here = replace(round_, project_id=bench.project_id, backend_id=bench.backend_id)
        yield Crowd(*account, here, [(scene.task.id, scene) for scene in mine], rounds)
