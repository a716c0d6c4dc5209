"""The tunnel: which port it takes, what it says, and how it comes back."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from core.errors import ConnectFailed, ConnectionLost, HostError, HostKeyRefused
from core.report import Report
from hosts.base import Result
from infra.doctor.tunnel import Pace, tunnel
from infra.stack.site import Site
from tests.fakes import FakeHost
from tests.machine import free_port
from tests.unit.infra.doctor.doctor_bench import DoctorBench


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


class FarHost(FakeHost):
    """Another machine. Its port is served here as long as `up`; `errors` are what it says to each look, in turn."""

    name = "gpu01"
    is_local = False

    def __init__(self) -> None:
        super().__init__()
        self.up = True
        self.asked: list[int] = []
        self.reconnected = 0
        self.on_look: Callable[[], None] = lambda: None

    @contextmanager
    def forwarded_from(self, local_port: int, port: int, address: str = "127.0.0.1") -> Iterator[int]:
        self.asked.append(local_port)
        number = local_port or free_port()
        servers = [HTTPServer(("127.0.0.1", number), Answer)] if self.up else []
        threads = [threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01}) for one in servers]
        for thread in threads:
            thread.start()
        try:
            yield number
        finally:
            for server, thread in zip(servers, threads, strict=True):
                server.shutdown()
                thread.join()
                server.server_close()

    def run(self, *argv: str, **_options: object) -> Result:
        assert argv == ("true",)
        self.on_look()
        return Result(argv, 0, "", "")

    def reconnect(self) -> bool:
        self.reconnected += 1
        return True


class Bench:
    def __init__(self) -> None:
        self.host = FarHost()
        self.stream = io.StringIO()
        self.stop = threading.Event()
        self.now = 0.0
        self.port = free_port()

    @property
    def site(self) -> Site:
        settings = DoctorBench().settings.model_copy(update={"port": self.port})
        return Site(self.host, settings, "/s", "/s", "/e", lambda: settings)

    def open(self, local_port: int | None = None) -> list[str]:
        pace = Pace(look=0.01, deadline=300.0, monotonic=lambda: self.now)
        tunnel(self.site, local_port, Report(self.stream), self.stop, pace)
        return self.lines

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_this_machine_needs_none() -> None:
    bench, stream = DoctorBench(), io.StringIO()
    tunnel(bench.site(), None, Report(stream))
    assert stream.getvalue() == "Label Studio of this machine needs no tunnel: open http://127.0.0.1:8080\n"


def test_the_same_port_here_until_it_is_stopped(bench: Bench) -> None:
    bench.stop.set()
    assert bench.open() == [
        f"Label Studio of gpu01: http://127.0.0.1:{bench.port} (Ctrl-C closes the tunnel)",
        "tunnel closed",
    ]
    assert bench.host.asked == [bench.port]


def test_a_taken_port_gives_way_only_when_nobody_asked_for_it(bench: Bench) -> None:
    bench.stop.set()
    with socket.create_server(("127.0.0.1", bench.port)):
        lines = bench.open()
        assert lines[0] == f"  ! port {bench.port} of this machine is taken, so Label Studio gets another one here"
        assert bench.host.asked == [0]
        with pytest.raises(OSError, match="in use"):  # the fake's words; SshHost's are a HostError
            bench.open(bench.port)


def test_ctrl_c_is_the_usual_end(bench: Bench) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    bench.host.up, bench.host.on_look = False, interrupted
    assert bench.open()[-1] == "tunnel closed"


def test_label_studio_that_does_not_answer_is_said_once(bench: Bench) -> None:
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            bench.stop.set()

    bench.host.up, bench.host.on_look = False, look
    lines = bench.open()
    assert lines[1:-1] == [
        f"  ! gpu01 is connected, and Label Studio does not answer at its port {bench.port}; "
        "`./inv status --host gpu01` says how it is"
    ]


def test_a_lost_connection_comes_back_with_a_line_each_time(bench: Bench) -> None:
    said: list[HostError | None] = [ConnectionLost("gpu01: gone\nmore"), ConnectFailed("gpu01: no route"), None]

    def look() -> None:
        bench.now += 20
        error = said.pop(0)
        if error is not None:
            raise error
        bench.stop.set()

    bench.host.up, bench.host.on_look = False, look
    lines = bench.open()
    assert lines[1:3] == [
        "the connection is lost, trying again for 300 s: gpu01: gone",
        "the connection is back",
    ]
    assert bench.host.reconnected == 2


def test_after_the_deadline_it_gives_up(bench: Bench) -> None:
    def look() -> None:
        bench.now += 200
        raise ConnectFailed("gpu01: no route")

    bench.host.up, bench.host.on_look = False, look
    with pytest.raises(ConnectionLost, match=r"^gpu01: the connection did not come back in 300 s: gpu01: no route$"):
        bench.open()
    assert bench.now == 600


def test_another_host_key_is_no_lost_connection(bench: Bench) -> None:
    def look() -> None:
        raise HostKeyRefused("gpu01: its key changed")

    bench.host.up, bench.host.on_look = False, look
    with pytest.raises(HostKeyRefused):
        bench.open()
