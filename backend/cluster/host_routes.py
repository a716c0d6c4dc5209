"""`/hosts`: which hosts and replicas there are, and taking a host out of service and back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from backend.cluster.hosts import Hosts
from backend.cluster.messages import Report
from backend.cluster.placing import host_of
from backend.cluster.watching import ReplicaWatch
from backend.errors import LastHost, NotFound


def add_host_routes(app: FastAPI, watch: ReplicaWatch, hosts: Hosts) -> None:
    """Add the routes to the application."""

    async def known(host: str) -> list[Report]:
        reports = await watch.reports()
        names = {host_of(one.replica) for one in reports} | watch.remembered_hosts | hosts.drained
        if host not in names:
            raise NotFound(f"no replica of a host {host!r} answers; there are: {', '.join(sorted(names)) or 'none'}")
        return reports

    @app.get("/hosts")
    async def all_hosts() -> JSONResponse:
        """All hosts whose replicas answer or are silent, and those that are drained."""
        reports = await watch.reports()
        names = {host_of(one.replica) for one in reports} | hosts.drained | set(map(host_of, watch.silent))
        state, reason = watch.state()
        whole = {"state": state, "reason": reason, "ready": len(watch.ready), "wanted": watch.wanted}
        return JSONResponse({**whole, "hosts": [about(host, reports, hosts, watch.silent) for host in sorted(names)]})

    @app.get("/hosts/{host}")
    async def one_host(host: str) -> JSONResponse:
        """One host."""
        return JSONResponse(about(host, await known(host), hosts, watch.silent))

    @app.post("/hosts/{host}/drain")
    async def drain(host: str) -> JSONResponse:
        """Send nothing more to a host; what is under way there ends."""
        reports = await known(host)
        if not {host_of(one.replica) for one in watch.ready} - hosts.drained - {host}:
            raise LastHost(f"{host} is the last host whose replicas answer; bring another one back first")
        hosts.drain(host)
        return JSONResponse(about(host, reports, hosts, watch.silent))

    @app.delete("/hosts/{host}/drain")
    async def resume(host: str) -> JSONResponse:
        """Send requests to a host again."""
        reports = await known(host)
        hosts.resume(host)
        return JSONResponse(about(host, reports, hosts, watch.silent))


def about(host: str, reports: Sequence[Report], hosts: Hosts, silent: Collection[str]) -> dict[str, Any]:
    """A host as `/hosts` has it.

    `empty` says that it may be stopped without a request being lost. `jobs` of `/embed` end with it, and are begun
    again by who asked for them.
    """
    own = [one for one in reports if host_of(one.replica) == host]
    is_drained = host in hosts.drained
    under_way = hosts.requests_at(host)
    return {
        "host": host,
        "drained": is_drained,
        "empty": is_drained and under_way == 0,
        "requests": under_way if is_drained else sum(one.requests for one in own),
        "jobs": sum(one.jobs for one in own),
        "silent": sorted(name for name in silent if host_of(name) == host),
        "replicas": [
            {
                "replica": one.replica,
                "process": one.tag,
                "state": one.state,
                "reason": one.reason,
                "device": one.device,
                "gpu": one.gpu,
                "engine": one.engine,
                "version": one.version,
                "requests": one.requests,
                "waiting": one.waiting,
                "jobs": one.jobs,
                "hit_ratio": one.hit_ratio,
                "shared_cache": None
                if one.shared is None
                else dict(zip(("hits", "misses", "errors"), one.shared, strict=True)),
            }
            for one in own
        ],
    }
