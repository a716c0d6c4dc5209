from __future__ import annotations

from collections.abc import Callable, Collection
from typing import IO

import pytest

from core.errors import HostError
from core.operation import converge
from hosts.base import DEFAULT_TIMEOUT, Result
from infra.roles.docker.group import EngineGroup
from tests.fakes import FakeHost
from tests.unit.infra.deploy_bench import quiet


class Lab(FakeHost):
    """Another machine with users and their groups; `usermod` puts one into docker's. Counts new sessions."""

    name = "gpu01"
    is_local = False

    def __init__(self, login: str, **groups: str) -> None:
        super().__init__()
        self.groups = {"root": "root", **groups}
        self.sessions = 0
        self.as_root: list[tuple[str, ...]] = []
        self.script("id", "-un", stdout=f"{login}\n")
        self.refresh()

    def refresh(self) -> None:
        for user, groups in self.groups.items():
            self.script("id", "-nG", "--", user, stdout=f"{groups}\n")

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
        if as_root:
            self.as_root.append(argv)
        if argv[:3] == ("usermod", "-aG", "docker"):
            self.groups[argv[3]] += " docker"
            self.refresh()
            return Result(argv, 0, "", "")
        return super().run(*argv, ok=ok, timeout=timeout, stdin=stdin, on_line=on_line, tail=tail, as_root=as_root)

    def reconnect(self) -> bool:
        self.sessions += 1
        return True


def test_root_needs_no_group() -> None:
    host = Lab("root")
    assert EngineGroup(host, ()).plan() == []
    assert EngineGroup(host, ["root"]).plan() == []


def test_whoever_logs_in_joins_and_begins_a_new_session_once() -> None:
    host = Lab("ana", ana="ana sudo")
    operation = EngineGroup(host, ())
    assert [change.summary for change in operation.plan()] == [
        "add ana to the group docker (its members can become root)"
    ]
    assert (host.as_root, host.sessions) == ([], 0)
    assert converge([operation], quiet()) == 1
    assert host.as_root == [("usermod", "-aG", "docker", "ana")]
    assert host.sessions == 1
    assert converge([operation], quiet()) == 0
    assert host.sessions == 1


def test_others_join_without_a_new_session_of_ours() -> None:
    host = Lab("root", ana="ana", jorge="jorge docker", eva="eva dockerx")
    operation = EngineGroup(host, ["ana", "jorge", "eva", "ana"])
    assert converge([operation], quiet()) == 2
    assert host.as_root == [("usermod", "-aG", "docker", "ana"), ("usermod", "-aG", "docker", "eva")]
    assert host.sessions == 0
    assert converge([operation], quiet()) == 0


def test_ours_among_those_named_joins_once() -> None:
    host = Lab("ana", ana="ana", jorge="jorge")
    assert converge([EngineGroup(host, ["jorge", "ana"])], quiet()) == 2
    assert [argv[3] for argv in host.as_root] == ["jorge", "ana"]
    assert host.sessions == 1


def test_a_user_that_is_not_there_is_named_and_nobody_joins() -> None:
    host = Lab("root", ana="ana")
    host.script("id", "-nG", "--", "aan", exit_code=1, stderr="id: 'aan': no such user")
    with pytest.raises(HostError, match=r"^gpu01 has no user aan; correct `docker_users` in the inventory$"):
        converge([EngineGroup(host, ["ana", "aan"])], quiet())
    assert host.as_root == []
