"""`/embed` over replicas: each gets the images whose keys it holds, as a job of its own; the parts are one job here."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from backend.cluster.forwarding import Forwarder, response_of
from backend.cluster.keys import Keys
from backend.cluster.messages import Answer
from backend.cluster.watching import ReplicaWatch
from backend.embedding.embed_jobs import REMEMBERED_JOBS
from backend.embedding.embed_progress import SHOWN_FAILURES
from backend.errors import NotFound
from backend.images.image_store import TaskImage
from backend.settings import Settings
from backend.web.bodies import Bodies
from backend.web.embed_routes import BODY_BYTES, EmbedRequest, images_of

ASKED_AT_ONCE = 16  # keys whose replica is looked up
WORST = ("failed", "cancelled", "running", "waiting", "done")
GONE = "there is no such job; the backend forgets jobs when it restarts, and the oldest of many"


@dataclass(frozen=True)
class _Part:
    """A job at a replica: its name, which reaches it also while its host is drained, and the job's id there."""

    replica: str
    job: str


def add_embed_routes(
    app: FastAPI, settings: Settings, bodies: Bodies, watch: ReplicaWatch, forwarder: Forwarder, keys: Keys
) -> None:
    """Add the routes to the application."""
    jobs: OrderedDict[str, Sequence[_Part]] = OrderedDict()
    seconds = settings.click_deadline_seconds

    @app.post("/embed")
    async def start(request: Request) -> Response:
        """Queue a job at each replica that holds one of the images."""
        async with bodies.parsed(request, EmbedRequest, "the format of /embed", BODY_BYTES) as asked:
            await watch.some(settings.model_wait_seconds)
            images = await run_sync(images_of, asked, settings.local_files_document_root)
            by_key: defaultdict[str, list[TaskImage]] = defaultdict(list)
            for image in images:
                by_key[keys.of_image(*image)].append(image)
            parts = []
            for owned in await _by_owner(forwarder, list(by_key), seconds):
                named = [{"url": one.url, "task": one.task_id} for key in owned for one in by_key[key]]
                body = json.dumps({"key": asked.key, "images": named}).encode()
                answer = await forwarder.answer(request, owned[0], body, seconds, repeat=False)
                if answer.status >= 300:  # what other replicas began goes on, and is skipped the next time
                    return response_of(request, answer, answer.body)
                parts.append(_Part(answer.replica.partition(" ")[0], json.loads(answer.body)["job"]))
        known = next((job for job, of in jobs.items() if set(of) == set(parts)), None)
        job = known or secrets.token_hex(8)
        jobs[job] = parts
        while len(jobs) > REMEMBERED_JOBS:
            jobs.popitem(last=False)
        return JSONResponse({"job": job}, status_code=202)

    async def at_replicas(request: Request, job: str, *, repeat: bool) -> list[Answer]:
        if job not in jobs:
            raise NotFound(GONE)
        calls = (forwarder.to(request, one.replica, f"/embed/{one.job}", seconds, repeat=repeat) for one in jobs[job])
        answers = list(await asyncio.gather(*calls))
        if any(one.status == 404 for one in answers):
            raise NotFound(GONE)
        return answers

    @app.get("/embed")
    async def all_jobs(request: Request) -> JSONResponse:
        """All jobs that are remembered, the newest last."""
        found = []
        for job in list(jobs):
            try:
                answers = await at_replicas(request, job, repeat=True)
            except NotFound:
                continue
            found.append(joined(job, [json.loads(one.body) for one in answers]))
        return JSONResponse({"jobs": found})

    @app.get("/embed/{job}")
    async def progress(request: Request, job: str) -> JSONResponse:
        """Where a job is, all replicas together."""
        answers = await at_replicas(request, job, repeat=True)
        return JSONResponse(joined(job, [json.loads(one.body) for one in answers]))

    @app.delete("/embed/{job}")
    async def cancel(request: Request, job: str) -> JSONResponse:
        """End a job; what was encoded stays."""
        answers = await at_replicas(request, job, repeat=False)
        return JSONResponse({"cancelled": any(json.loads(one.body)["cancelled"] for one in answers)})


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
        "problem": problems[0] if problems else None,
    }


async def _by_owner(forwarder: Forwarder, keys: Sequence[str], seconds: float) -> list[list[str]]:
    """The keys that each replica holds now. A key that moves later is encoded there at its first click."""
    deadline = time.monotonic() + seconds
    turns = asyncio.Semaphore(ASKED_AT_ONCE)

    async def owner(key: str) -> str:
        async with turns:
            return await forwarder.owner(key, deadline)

    found: defaultdict[str, list[str]] = defaultdict(list)
    for key, tag in zip(keys, await asyncio.gather(*map(owner, keys)), strict=True):
        found[tag].append(key)
    return list(found.values())
