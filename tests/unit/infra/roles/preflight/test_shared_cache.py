"""The folder in which hosts share embeddings, tried on this machine as several hosts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO

import pytest

from core.errors import CommandTimedOut
from hosts.base import DEFAULT_TIMEOUT, Result
from hosts.local import LocalHost
from infra.config.serving import Serving
from infra.roles.preflight.shared_cache import PREFIX, READ, WRITE, shared_cache_problems, writers_group

IS_ROOT = os.geteuid() == 0
need_root = pytest.mark.skipif(not IS_ROOT or shutil.which("setpriv") is None, reason="becomes another user")
USER = 61041


class Member(LocalHost):
    """This machine as one host of several, on which the shared path may be another folder."""

    is_local = False

    def __init__(self, name: str, folders: Mapping[str, str] | None = None, hangs: str = "") -> None:
        self.name = name
        self._folders = folders or {}
        self._hangs = hangs

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
        assert as_root
        if self._hangs in argv:
            raise CommandTimedOut("no answer")
        argv = tuple(self._folders.get(one, one) for one in argv)
        if "setpriv" in argv and not IS_ROOT:
            at = argv.index("setpriv")
            argv = (*argv[:at], *argv[at + 5 :])
        return super().run(*argv, ok=ok, timeout=timeout, stdin=stdin, on_line=on_line, tail=tail)


def problems(folder: Path | str, *different: Member) -> dict[str, list[str]]:
    names = ("gpu01", "gpu02", "gpu03")
    addresses = {name: f"10.0.0.{number}" for number, name in enumerate(names)}
    serving = Serving("lab", "gpu01", addresses, 6379, (10100, 10163), str(folder))
    hosts = {name: Member(name) for name in names} | {one.name: one for one in different}
    return shared_cache_problems(hosts, serving, dict.fromkeys(names, USER), lambda _text: None)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that the containers' user may write to, below one that it may not enter."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    folder = closed / "caché & co"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def test_one_folder_on_all_hosts(shared: Path) -> None:
    """Nothing is left in it but what was there."""
    (shared / "mine.embedding").touch()
    assert problems(shared) == {}
    assert [one.name for one in shared.iterdir()] == ["mine.embedding"]


def test_another_folder_on_one_host(shared: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    other.chmod(0o777)
    found = problems(shared, Member("gpu02", {str(shared): str(other)}))
    assert "what gpu01, gpu03 wrote there is not seen here" in found["gpu02"][0]
    assert "what gpu02 wrote there is not seen here" in found["gpu01"][0]
    assert set(found) == {"gpu01", "gpu02", "gpu03"}
    assert [*shared.iterdir(), *other.iterdir()] == []


def test_folder_that_is_missing_on_one_host(shared: Path, tmp_path: Path) -> None:
    found = problems(shared, Member("gpu03", {str(shared): str(tmp_path / "none")}))
    assert set(found) == {"gpu03"}
    assert "is not a folder that root of gpu03 may enter" in found["gpu03"][0]
    assert list(shared.iterdir()) == []


@need_root
def test_folder_that_the_user_may_not_write_to(shared: Path) -> None:
    shared.chmod(0o755)
    found = problems(shared)
    assert set(found) == {"gpu01", "gpu02", "gpu03"}
    assert f"the containers' user (number {USER}) cannot write to it: " in found["gpu01"][0]
    assert f"`chown {USER}` it" in found["gpu01"][0]
    os.chown(shared, USER, USER)
    assert problems(shared) == {}


@need_root
def test_folder_that_a_group_may_write_to(shared: Path) -> None:
    shared.chmod(0o2770)
    os.chown(shared, 0, 61999)
    assert writers_group(Member("gpu01"), str(shared)) == 61999
    assert problems(shared) == {}


def test_no_group_is_joined_without_need(shared: Path) -> None:
    assert writers_group(Member("gpu01"), str(shared)) is None
    shared.chmod(0o755)
    assert writers_group(Member("gpu01"), str(shared)) is None


def test_dead_server_is_named(shared: Path) -> None:
    found = problems(shared, Member("gpu02", hangs=WRITE))
    assert found == {"gpu02": [f"`shared_cache` {shared}: did not answer in 30 s; is its server gone?"]}
    found = problems(shared, Member("gpu02", hangs=READ))
    assert set(found) == {"gpu02"}
    assert list(shared.iterdir()) == []


def test_what_a_killed_run_left_goes(shared: Path) -> None:
    old, fresh = shared / f"{PREFIX}-old", shared / f"{PREFIX}-new"
    for path in (old, fresh):
        path.touch()
        path.chmod(0o666)
    os.utime(old, (1000, 1000))
    assert problems(shared) == {}
    assert [one.name for one in shared.iterdir()] == [fresh.name]


def test_group_without_it_is_not_asked() -> None:
    serving = Serving("lab", "gpu01", {"gpu01": "10.0.0.1"}, 6379, (10100, 10163))
    assert shared_cache_problems({}, serving, {}, lambda _text: None) == {}
