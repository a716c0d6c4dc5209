"""Hosts that are to serve together, looked at as a group: this machine under several addresses, with real ports."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO

import pytest

from hosts.base import DEFAULT_TIMEOUT, Result
from hosts.local import LocalHost
from infra.config.serving import Serving
from infra.roles.preflight import members
from infra.roles.preflight.members import CLOCKS_MAY_DIFFER, CONNECT, LISTEN, SAMPLE, member_problems
from tests.machine import free_port

pytestmark = pytest.mark.skipif(shutil.which("perl") is None, reason="there is no Perl here")


class Member(LocalHost):
    """This machine as one host of several: its clock may be off, a folder may lie elsewhere, a port may be closed."""

    is_local = False

    def __init__(
        self, name: str, folders: Mapping[str, str] | None = None, seconds: float = 0, closed: int = 0
    ) -> None:
        self.name = name
        self._folders = folders or {}
        self._seconds = seconds
        self._closed = closed

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
        argv = tuple(self._folders.get(one, one) for one in argv)
        if LISTEN in argv:
            argv = tuple(one for one in argv if one != str(self._closed))
        if argv[0] == "date" and self._seconds:
            done = super().run(*argv)
            return Result(argv, 0, f"{float(done.stdout) + self._seconds}\n", "")
        return super().run(*argv, ok=ok, timeout=timeout, stdin=stdin, on_line=on_line, tail=tail)


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Serving:
    monkeypatch.setattr(members, "CONNECT_SECONDS", 1)
    port = free_port()
    addresses = {"gpu01": "127.0.0.2", "gpu02": "127.0.0.3", "gpu03": "127.0.0.4"}
    return Serving("lab", "gpu01", addresses, port, (port + 20, port + 40))


def folder_with(path: Path, files: Mapping[str, str]) -> str:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return str(path)


FILES = {f"vuelo {number // 10}/cañón & río '{number}.png": str(number) for number in range(3 * SAMPLE)}


def problems(serving: Serving, hosts: dict[str, Member], folder: str | None) -> dict[str, list[str]]:
    all_of_them = {name: hosts.get(name, Member(name)) for name in serving.members}
    return member_problems(all_of_them, serving, folder, lambda _text: None)


def test_nothing_is_wrong_between_equal_hosts(serving: Serving, tmp_path: Path) -> None:
    data = folder_with(tmp_path / "one", FILES)
    copy = folder_with(tmp_path / "two", FILES)
    assert problems(serving, {"gpu02": Member("gpu02", {data: copy})}, data) == {}


def test_other_files_in_the_folder(serving: Serving, tmp_path: Path) -> None:
    """A copy in which every file differs, and a host whose folder lacks most."""
    data = folder_with(tmp_path / "one", FILES)
    other = folder_with(tmp_path / "two", {name: f"{text}." for name, text in FILES.items()})
    few = folder_with(tmp_path / "three", dict(list(FILES.items())[:1]))
    hosts = {"gpu02": Member("gpu02", {data: other}), "gpu03": Member("gpu03", {data: few})}
    found = problems(serving, hosts, data)
    assert set(found) == {"gpu02", "gpu03"}
    assert (
        f"{SAMPLE} of {SAMPLE} files that were compared in {data} are missing or others than on gpu01"
        in found["gpu02"][0]
    )


def test_clock_that_is_off(serving: Serving) -> None:
    """Against the head's, by more than may be, however long the answer takes."""
    off = CLOCKS_MAY_DIFFER + 5
    found = problems(serving, {"gpu03": Member("gpu03", seconds=-off), "gpu02": Member("gpu02", seconds=3)}, None)
    assert list(found) == ["gpu03"]
    assert "its clock and that of gpu01 are 15 s apart, 10 may be" in found["gpu03"][0]


def test_port_that_others_do_not_reach(serving: Serving) -> None:
    found = problems(serving, {"gpu01": Member("gpu01", closed=serving.port)}, None)
    assert found == {
        "gpu01": [
            f"{name} does not reach 127.0.0.2 port {serving.port}; open it between the hosts"
            for name in ("gpu02", "gpu03")
        ]
    }


def test_address_of_another_machine(serving: Serving) -> None:
    addresses = {**serving.addresses, "gpu02": "192.0.2.7"}
    wrong = Serving("lab", "gpu01", addresses, serving.port, serving.worker_ports)
    found = problems(wrong, {}, None)
    assert found == {
        "gpu02": ["192.0.2.7 is not an address of it; `addresses` of groups.lab.serve names the right one"]
    }


def test_no_perl_is_said(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare(Member):
        def run(self, *argv: str, **arguments: object) -> Result:
            if CONNECT in argv or LISTEN in argv:
                return Result(argv, 127, "", "perl: not found")
            return super().run(*argv, **arguments)  # type: ignore[arg-type]

    found = problems(serving, {"gpu02": Bare("gpu02")}, None)
    assert "there is no Perl; install it" in found["gpu02"][0]
