"""Sources of images as the tests of them need them: everything real, the cache beside the mount."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from backend.sources import ImageSources, open_sources
from backend.sources.addresses import HostPolicy, parse_hosts
from backend.sources.fetch import Fetcher, FetchLimits
from backend.sources.file_cache import FileCache
from backend.sources.http import Http, Patience
from backend.sources.locations import Locator
from tests.integration.backend.image_server import PERSONAL, Server

IMAGE = bytes(range(256)) * 400


def sources(root: Path, server: Server | None = None, *, key: str | None = PERSONAL, hosts: str = "127.0.0.1",
            limits: FetchLimits | None = None, key_file: Path | None = None) -> ImageSources:  # fmt: skip
    """All sources; the loopback is allowed to the other servers of a test unless `hosts` says less."""
    return open_sources(
        root,
        root.parent / "cache",
        10_000_000,
        label_studio_url=server.url if server else None,
        api_key=key,
        api_key_file=key_file,
        hosts_allowed=hosts,
        limits=limits,
    )


def fetched(source: ImageSources, url: str, seconds: float = 30.0, task_id: str = "17") -> bytes:
    return source.open(url, task_id, time.monotonic() + seconds).path.read_bytes()


def left_in_cache(root: Path) -> list[str]:
    return sorted(path.name for path in (root.parent / "cache").iterdir())


def by_name(root: Path, answers: list[list[str]], allowed: str, patience: Patience | None = None) -> ImageSources:
    """Sources whose resolver gives one answer after the other."""
    policy = HostPolicy(None, parse_hosts(allowed), lambda host, port: answers.pop(0))
    return ImageSources(root, Fetcher(Http(policy, patience), FileCache(root.parent / "cache", 10**7), None), Locator())


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
