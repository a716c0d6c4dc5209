"""Stand-ins for engines, and a host that takes `docker load` as an engine would."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from docker.errors import ImageNotFound

from core.errors import CommandFailed
from hosts.base import DEFAULT_TIMEOUT, Result
from infra.roles.images.archive import known_chains
from tests.fakes import FakeHost
from tests.unit.infra.roles.images.image_archives import TAG, load

LOAD = ("docker", "load", "--quiet")


@dataclass
class FakeImage:
    id: str
    content: bytes
    layers: list[str] = field(default_factory=list)
    error: Exception | None = None

    def save(self, chunk_size: int, named: str) -> Iterator[bytes]:
        for begin in range(0, len(self.content), 700):
            yield self.content[begin : begin + 700]
        if self.error is not None:
            raise self.error


@dataclass
class FakeEngine:
    """Stands for an engine, its `images` and its `api`."""

    there: dict[str, FakeImage] = field(default_factory=dict)
    error: Exception | None = None

    @property
    def images(self) -> FakeEngine:
        return self

    @property
    def api(self) -> FakeEngine:
        return self

    def get(self, tag: str) -> FakeImage:
        if tag not in self.there:
            raise ImageNotFound(tag)
        return self.there[tag]

    def list(self) -> Sequence[FakeImage]:
        if self.error is not None:
            raise self.error
        return list(self.there.values())

    def inspect_image(self, image_id: str) -> dict[str, Any]:
        (image,) = [one for one in self.there.values() if one.id == image_id]
        return {"RootFS": {"Type": "layers", "Layers": image.layers} if image.layers else {}}

    def close(self) -> None:
        pass


class LoadingHost(FakeHost):
    """Takes `docker load` as an engine would; `wants_all`: it reads every layer's file, as containerd's store does."""

    name = "lab"
    is_local = False

    def __init__(self, engine: FakeEngine, *, wants_all: bool = False, id_after: str = "sha256:same") -> None:
        super().__init__()
        self.engine, self.wants_all, self.id_after = engine, wants_all, id_after
        self.received: list[bytes] = []

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
        assert (argv, as_root) == (LOAD, True)
        assert stdin is not None
        assert not isinstance(stdin, bytes)
        self.received.append(stdin.read())
        known = set() if self.wants_all else known_chains(self.engine)
        try:
            load(self.received[-1], known)
        except FileNotFoundError as error:
            raise CommandFailed(f"lab: no such file: {error}") from None
        self.engine.there[TAG] = FakeImage(self.id_after, b"")
        return Result(argv, 0, "", "")
