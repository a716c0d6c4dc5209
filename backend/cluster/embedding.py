"""`/embed` over replicas: each gets the images whose keys it holds, as a job of its own; the parts are one job here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from backend.cluster.forwarding import Forwarder, response_of
from backend.cluster.keys import Keys
from backend.cluster.waiting import together
from backend.cluster.watching import ReplicaWatch
from backend.embedding.embed_jobs import REMEMBERED_JOBS
from backend.embedding.embed_progress import SHOWN_FAILURES, EmbedProgress
from backend.errors import NotFound, RequestError
from backend.images.image_store import TaskImage
from backend.settings import Settings
from backend.web.bodies import Bodies
from backend.web.embed_routes import BODY_BYTES, EmbedRequest, images_of

CANCEL_SECONDS = 30.0  # Ray has found out by then that a host is dead, and who asks still waits
ASKED_AT_ONCE = 16  # keys whose replica is looked up
WORST = ("failed", "cancelled", "running", "waiting", "done")
GONE = "there is no such job; the backend forgets jobs when it restarts, and the oldest of many"


@dataclass(frozen=True)
class _Part:
    """A job at a replica: its name, which reaches it also while its host is drained, the job's id there, and how many
    images it has.
    """

    replica: str
    job: str
    total: int = field(compare=False)

    def unknown(self, key: str, problem: str) -> dict[str, Any]:
        """Its progress while its replica does not say it: it may well go on there."""
        progress = EmbedProgress(self.job, key, "running", self.total, 0, 0, 0, (), 0.0, 0.0, None, problem)
        return asdict(progress)


@dataclass(frozen=True)
class _Job:
    key: str
    parts: tuple[_Part, ...]


def add_embed_routes(
    app: FastAPI, settings: Settings, bodies: Bodies, watch: ReplicaWatch, forwarder: Forwarder, keys: Keys
) -> None:
    """Add the routes to the application."""
    jobs: OrderedDict[str, _Job] = OrderedDict()
    seconds = settings.click_deadline_seconds

    @app.post("/embed")
    async def start(request: Request) -> Response:
        """Queue a job at each replica that holds one of the images."""
        async with bodies.parsed(request, EmbedRequest, "the format of /embed", BODY_BYTES) as asked:
            await watch.some(settings.model_wait_seconds)
            images = await run_sync(images_of, asked, settings.local_files_document_root)
            by_key = await run_sync(_by_key, keys, images)
            parts = []
            for owned in await _by_owner(forwarder, list(by_key), seconds):
                of_part = [one for key in owned for one in by_key[key]]
                body = await run_sync(_body, asked.key, of_part)
                answer = await forwarder.answer(request, owned[0], body, seconds, repeat=False)
                if answer.status >= 300:  # what other replicas began goes on, and is skipped the next time
                    return response_of(request, answer, answer.body)
                parts.append(_Part(answer.replica.partition(" ")[0], json.loads(answer.body)["job"], len(of_part)))
        again = next((job for job, of in jobs.items() if set(of.parts) == set(parts)), None)
        job = again or secrets.token_hex(8)
        jobs.setdefault(job, _Job(asked.key, tuple(parts)))
        while len(jobs) > REMEMBERED_JOBS:
            jobs.popitem(last=False)
        return JSONResponse({"job": job}, status_code=202)

    def known(job: str) -> _Job:
        """
        Raises:
            NotFound: it was never begun here, or is forgotten.
        """
        if job not in jobs:
            raise NotFound(GONE)
        return jobs[job]

    async def of_parts(request: Request, job: _Job, limit: float, *, repeat: bool) -> list[dict[str, Any] | str]:
        """What each replica answers of its part, or a sentence why it does not.

        Raises:
            NotFound: one of the replicas knows of no such job.
        """

        async def of(part: _Part) -> dict[str, Any] | str:
            try:
                answer = await forwarder.to(request, part.replica, f"/embed/{part.job}", limit, repeat=repeat)
            except NotFound:
                raise NotFound(GONE) from None
            except RequestError as error:
                return f"{part.replica} cannot be asked: {error}"
            if answer.status == 404:
                raise NotFound(GONE)
            found: dict[str, Any] = json.loads(answer.body)
            return found

        # To the end, each: where one replica has forgotten its part, the others are told all the same.
        answers = await asyncio.gather(*map(of, job.parts), return_exceptions=True)
        failed = next((one for one in answers if isinstance(one, BaseException)), None)
        if failed is not None:
            raise failed
        return [one for one in answers if not isinstance(one, BaseException)]

    async def progress_of(request: Request, job_id: str) -> dict[str, Any]:
        job = known(job_id)
        answers = zip(job.parts, await of_parts(request, job, seconds, repeat=True), strict=True)
        return joined(job_id, [of.unknown(job.key, one) if isinstance(one, str) else one for of, one in answers])

    @app.get("/embed")
    async def all_jobs(request: Request) -> JSONResponse:
        """All jobs that are remembered, the newest last."""
        found = []
        for job in list(jobs):
            with contextlib.suppress(NotFound):
                found.append(await progress_of(request, job))
        return JSONResponse({"jobs": found})

    @app.get("/embed/{job}")
    async def progress(request: Request, job: str) -> JSONResponse:
        """Where a job is, all replicas together."""
        return JSONResponse(await progress_of(request, job))

    @app.delete("/embed/{job}")
    async def cancel(request: Request, job: str) -> JSONResponse:
        """End a job; what was encoded stays. `problem` names the replicas that could not be asked to end it."""
        answers = await of_parts(request, known(job), CANCEL_SECONDS, repeat=False)
        unreached = [one for one in answers if isinstance(one, str)]
        cancelled = any(one["cancelled"] for one in answers if not isinstance(one, str))
        return JSONResponse({"cancelled": cancelled, **({"problem": "; ".join(unreached)} if unreached else {})})


def joined(job: str, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The progress of all parts as that of one job."""
    states = {one["state"] for one in parts}
    under_way = states & {"running", "waiting"}
    problems = [one["problem"] for one in parts if one["problem"]]
    left = [one["eta_seconds"] for one in parts if one["eta_seconds"] is not None]
    state = next((one for one in WORST if one in (under_way or states)), "done")
    return {
        "id": job,
        "key": parts[0]["key"],
        "state": state,
        **{name: sum(one[name] for one in parts) for name in ("total", "encoded", "skipped", "failed")},
        "failures": [failure for one in parts for failure in one["failures"]][:SHOWN_FAILURES],
        "seconds": max(one["seconds"] for one in parts),
        "images_per_second": sum(one["images_per_second"] for one in parts),
        "eta_seconds": max(left, default=None),
        "problem": "; ".join(dict.fromkeys(problems)) or None,
    }


def _by_key(keys: Keys, images: Sequence[TaskImage]) -> dict[str, list[TaskImage]]:
    """The images by their keys. Takes long for a million."""
    found: defaultdict[str, list[TaskImage]] = defaultdict(list)
    for image in images:
        found[keys.of_image(*image)].append(image)
    return dict(found)


def _body(key: str, images: Sequence[TaskImage]) -> bytes:
    """The request of a part. Takes long for many images."""
    named = [{"url": one.url, "task": one.task_id} for one in images]
    return json.dumps({"key": key, "images": named}).encode()


async def _by_owner(forwarder: Forwarder, keys: Sequence[str], seconds: float) -> list[list[str]]:
    """The keys that each replica holds now. A key that moves later is encoded there at its first click."""
    deadline = time.monotonic() + seconds
    turns = asyncio.Semaphore(ASKED_AT_ONCE)

    async def owner(key: str) -> str:
        async with turns:
            return await forwarder.owner(key, deadline)

    found: defaultdict[str, list[str]] = defaultdict(list)
    for key, tag in zip(keys, await together(map(owner, keys)), strict=True):
        found[tag].append(key)
    return list(found.values())
