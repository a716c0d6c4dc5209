"""Hosts, options and deployments for the tests of `infra/deploy`, on this machine in the place of another one."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from docker.errors import ImageNotFound

from core.report import Report
from hosts.base import DEFAULT_TIMEOUT, Result
from hosts.local import LocalHost
from infra.config.host_settings import HostSettings
from infra.config.settings import Settings
from infra.deploy.deployment import Deployment
from infra.fleet.commit import Commit
from infra.fleet.run import RunOptions

COMMIT = Commit("607e07e0" + "a" * 32, dirty=False)
PEOPLE = {"USER": "alice"}


class LabHost(LocalHost):
    """This machine, as if it were another one. `alive` is False after `close`."""

    is_local = False
    name = "gpu01"

    def __init__(self) -> None:
        self.alive = True

    def run(
        self,
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = DEFAULT_TIMEOUT,
        stdin: bytes | IO[bytes] | None = None,
        on_line: Callable[[str], None] | None = None,
        tail: int | None = None,
        as_root: bool = False,
    ) -> Result:
        assert self.alive, f"asked after it was closed: {argv}"
        return super().run(*argv, ok=ok, timeout=timeout, stdin=stdin, on_line=on_line, tail=tail, as_root=as_root)

    def close(self) -> None:
        self.alive = False


class Here(RunOptions):
    """A command line whose hosts are all this machine."""

    def connect(self, host_settings: HostSettings, run_id: str, report: Report) -> Any:
        return LabHost()


def host_settings(root: Path | str = "/srv/labelrig", **changes: object) -> HostSettings:
    values: dict[str, object] = {"name": "gpu01", "root": str(root), "hooks": "/no/hooks", **changes}
    return HostSettings.model_validate(values)


def options(command: str = "deploy", **changes: Any) -> RunOptions:
    values: dict[str, Any] = {"environment": PEOPLE, **changes}
    return Here(command, Settings(), COMMIT, **values)


def deployment(root: Path, host: Any = None, **changes: object) -> Deployment:
    there: Any = host or LabHost()
    return Deployment(there, host_settings(root, **changes), COMMIT, "alice@desk")


def quiet() -> Report:
    return Report(io.StringIO())


def shown(report: Report) -> str:
    stream = report._screen._stream
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


class Engine:
    """The part of the Docker SDK's client that is used on images: tags by image id, and containers' image ids.

    `labels` are those of each image; the later in `images`, the newer.
    """

    def __init__(
        self,
        images: Mapping[str, list[str]],
        used: Collection[str] = (),
        labels: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.tags = {identity: list(tags) for identity, tags in images.items()}
        self.labels = labels or {}
        self.used = list(used)
        self.removed: list[str] = []
        self.closed = 0
        self.images = SimpleNamespace(get=self._get, list=self._list, remove=self._remove)
        self.api = SimpleNamespace(containers=self._containers)

    def __call__(self, *_arguments: object, **_options: object) -> Engine:
        return self

    def close(self) -> None:
        self.closed += 1

    def _get(self, reference: str) -> SimpleNamespace:
        for identity, tags in self.tags.items():
            if reference == identity or reference in tags:
                return self._image(identity)
        raise ImageNotFound(f"no such image: {reference}")

    def _list(self, **_filters: object) -> list[SimpleNamespace]:
        return [self._image(identity) for identity in self.tags]

    def _image(self, identity: str) -> SimpleNamespace:
        created = f"2026-11-{list(self.tags).index(identity) + 1:02d}T10:00:00Z"
        labels = dict(self.labels.get(identity, {}))
        return SimpleNamespace(id=identity, tags=list(self.tags[identity]), labels=labels, attrs={"Created": created})

    def _remove(self, tag: str) -> None:
        self.removed.append(tag)
        for tags in self.tags.values():
            if tag in tags:
                tags.remove(tag)

    def _containers(self, *, all: bool) -> list[dict[str, str]]:
        assert all, "stopped containers need their image too"
        return [{"ImageID": identity} for identity in self.used]


def lines_with(text: str, pattern: str) -> list[str]:
    return [line for line in text.splitlines() if re.search(pattern, line)]
