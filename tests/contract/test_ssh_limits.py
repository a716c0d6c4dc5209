"""Servers that are hardened by the book: no port is forwarded (dev-sec, CIS), few sessions on a connection (Lynis)."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from core.errors import HostError, PreflightError
from hosts.port_relay import relay_command
from hosts.ssh import SshHost
from infra.config.settings import Settings
from infra.roles.preflight.role import check_machine
from tests.contract.test_ssh_forwarding import MEGABYTE
from tests.contract.test_ssh_forwarding import TestPorts as TestPorts
from tests.contract.test_ssh_forwarding import web_port as web_port
from tests.sshd import Sshd

Connected = Callable[..., SshHost]
HARDENED = ("AllowTcpForwarding no", "MaxSessions 1")


@pytest.fixture(scope="module")
def hardened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with Sshd(tmp_path_factory.mktemp("hardened"), HARDENED) as server:
        yield server


@pytest.fixture
def lab(hardened: Sshd, connected: Connected) -> SshHost:
    return connected(hardened)


def test_a_command_runs_beside_a_port(lab: SshHost, web_port: int) -> None:
    with lab.forwarded(web_port) as url, httpx.Client(base_url=url, trust_env=False) as http:
        assert http.get("/3").text == "xxx"
        assert lab.run("echo", "meanwhile").stdout == "meanwhile\n"
        assert http.get("/4").text == "xxxx"


def test_commands_side_by_side_get_connections_of_their_own(lab: SshHost) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda number: lab.run("sh", "-c", f"sleep 0.5; echo {number}").stdout, range(12)))
    assert answers == [f"{number}\n" for number in range(12)]


def test_what_a_run_needs_is_there(lab: SshHost, web_port: int) -> None:
    lab.check_ways(web_port)


def test_the_engine_is_reached_with_one_session_each(tmp_path: Path, connected: Connected, web_port: int) -> None:
    """With a stand-in for `docker` there, whose engine is a web server; `TestEngine` has a real one."""
    relay = shlex.join(relay_command("127.0.0.1", web_port))
    fake = tmp_path / "docker"
    fake.write_text(f'#!/bin/sh\n[ "$1" = version ] && exit 0\n{relay} | tail -c +2\n')
    fake.chmod(0o755)
    with Sshd(tmp_path, [*HARDENED, f"SetEnv PATH={tmp_path}:/usr/bin:/bin SHLVL=2"]) as server:
        host = connected(server)
        transport = httpx.HTTPTransport(uds=host.docker_socket())
        with httpx.Client(transport=transport, base_url="http://docker") as http:
            assert http.get(f"/{MEGABYTE}").text == "x" * MEGABYTE
            assert host.run("echo", "beside").stdout == "beside\n"
        host.close()


NO_WAY = (
    "lab: the SSH server forwards no port (AllowTcpForwarding in its sshd_config), and perl, which would carry it over "
    "a session, does not run there (it is gone); `apt-get install perl-base` there, or allow the user "
    "`AllowTcpForwarding local`"
)


@pytest.fixture
def closed(own_sshd: Sshd, connected: Connected, tmp_path: Path) -> SshHost:
    """A host that forwards no port and has no perl."""
    (tmp_path / "perl").write_text("#!/bin/sh\necho it is gone >&2; exit 127\n")
    shell = tmp_path / "shell"
    shell.write_text(f'#!/bin/sh\nPATH={tmp_path}:$PATH exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n')
    for program in (shell, tmp_path / "perl"):
        program.chmod(0o755)
    key = own_sshd.authorized_keys.read_text()
    own_sshd.authorized_keys.write_text(f'command="{shell}",no-port-forwarding {key}')
    return connected(own_sshd)


def test_no_way_to_a_port_is_said(closed: SshHost) -> None:
    with pytest.raises(HostError) as caught, closed.forwarded(80):
        pass
    assert str(caught.value) == NO_WAY


def test_no_way_to_a_port_is_a_problem_of_preflight(closed: SshHost, tmp_path: Path) -> None:
    """It is said before anything is done, and not at the end, as a Label Studio that broke off."""
    settings = Settings.model_validate({})
    with pytest.raises(PreflightError) as caught:
        check_machine(closed, settings, folder=None, pattern="png$", state=str(tmp_path), images=[frozenset()])
    assert NO_WAY in caught.value.problems


def test_too_few_sessions_are_said(tmp_path: Path, connected: Connected, hardened: Sshd) -> None:
    """As where a login is limited to one at a time: no second connection, no second session."""
    with Sshd(tmp_path, ["MaxSessions 1"]) as server:
        host = connected(server)
        host.run("true")
        server.authorized_keys.write_text("")
        with pytest.raises(HostError, match=r"^lab: the SSH server opened no further session for 5 s, and no further "):
            host.check_ways(80)
