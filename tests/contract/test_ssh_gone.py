"""A machine that goes away without a word, as behind a jump host: the connection here stays open, and nothing comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing

import httpx
import pytest

from core.errors import ConnectFailed, ConnectionLost
from hosts.ssh import SshHost
from tests.contract.test_ssh_forwarding import web_port as web_port
from tests.sshd import Sshd
from tests.tcp_relay import TcpRelay

Connected = Callable[..., SshHost]
KEEPALIVE = 1
GONE = 3 * KEEPALIVE  # seconds of silence after which a machine counts as gone
SLACK = 3.0


@pytest.fixture
def network(sshd: Sshd) -> Iterator[TcpRelay]:
    with closing(TcpRelay(sshd.port)) as relay:
        yield relay


@pytest.fixture
def far(sshd: Sshd, network: TcpRelay, connected: Connected) -> SshHost:
    known = sshd.folder / "known_behind_relay"
    known.write_text(sshd.known_line(sshd.host_keys[0]).replace(str(sshd.port), str(network.port)))
    return connected(sshd, port=network.port, known_hosts=known, keepalive=KEEPALIVE, connect_timeout=1.0)


def test_a_running_command_hears_of_it(far: SshHost, network: TcpRelay) -> None:
    began = time.monotonic()
    with pytest.raises(ConnectionLost) as caught:
        far.run("sh", "-c", "echo on; exec sleep 20", timeout=60, on_line=lambda _line: network.cut())
    assert time.monotonic() - began < GONE + SLACK
    assert str(caught.value) == (
        "lab: the connection was lost while `sh -c 'echo on; exec sleep 20'` ran (nothing came from there for 3 s); "
        "run the same command again: it goes on from where it was"
    )
    assert far.lost() == "nothing came from there for 3 s"


def test_the_next_command_hears_of_it(far: SshHost, network: TcpRelay) -> None:
    """Not that a server opens no further session, and not that the command was slow."""
    far.run("true")
    network.cut()
    began = time.monotonic()
    with pytest.raises(ConnectFailed, match="does not answer as an SSH server within 1 s"):
        far.run("true", timeout=0.1)
    assert time.monotonic() - began < GONE + SLACK
    network.mend()
    assert far.run("echo", "back").stdout == "back\n"


def test_a_request_through_a_port_hears_of_it(
    far: SshHost,
    network: TcpRelay,
    web_port: int,
) -> None:
    with far.forwarded(web_port) as url, httpx.Client(base_url=url, timeout=30, trust_env=False) as http:
        assert http.get("/3").text == "xxx"
        network.cut()
        began = time.monotonic()
        with pytest.raises(httpx.TransportError):
            http.get("/4")
        assert far.lost() == "nothing came from there for 3 s"
        assert time.monotonic() - began < GONE + SLACK


def test_a_silent_machine_that_answers_is_not_gone(far: SshHost) -> None:
    assert far.run("sleep", str(GONE + 1.5)).ok
    assert far.lost() is None
