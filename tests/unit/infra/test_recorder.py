"""The recorder that proves a plan read-only: it misses nothing."""

from __future__ import annotations

import http.server
import io
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from core.operation import Previewer
from core.report import Report
from hosts.local import LocalHost
from infra.releases.scripts import run_script
from infra.releases.store import ReleaseActive, Releases
from infra.roles.docker.apt import read_sources
from infra.roles.nvidia.facts import read_gpu
from infra.roles.preflight.checks import read_disk
from infra.roles.preflight.data_folder import check_folder
from infra.roles.stack.folders_on_host import FolderThere
from tests.recorder import Call, RecordingHost, changes_in
from tests.unit.infra.releases.lock_bench import lock
from tests.unit.infra.releases.release_bench import FACTS, files


def test_commands_reads_and_writes_are_kept_and_passed_on(tmp_path: Path) -> None:
    host = RecordingHost(LocalHost())
    assert (host.name, host.is_local) == ("this machine", True)
    path = str(tmp_path / "x")
    host.write(path, b"1", 0o600)
    assert host.read(path) == b"1"
    lines: list[str] = []
    assert host.run("cat", path, on_line=lines.append, as_root=True).stdout == "1"
    assert lines == ["1"]
    assert host.run("false", ok=(1,)).exit_code == 1
    assert host.run("cat", stdin=io.BytesIO(b"stream")).stdout == "stream"
    assert host.commands == [(("cat", path), True), (("false",), False), (("cat",), False)]
    assert host.calls[-1] == Call(("cat",), False, None)
    assert (host.writes, host.reads, host.reconnects) == ([path], [path], 0)
    assert not host.reconnect()
    assert changes_in(host) == ["false", "cat", f"write {path}", "reconnect"]


def test_what_reads_in_the_product_counts_as_reading(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    host = RecordingHost(LocalHost())
    check_folder(host, tmp_path, r".*\.png")
    read_disk(host, str(tmp_path))
    read_gpu(host)
    read_sources(host)
    lock(host, str(tmp_path)).status()
    runner = Previewer(Report(io.StringIO()))
    releases = Releases(host, str(tmp_path))
    runner.run([FolderThere(host, str(tmp_path / "new"), 0o750), ReleaseActive(releases, files(), FACTS)])
    assert runner.report.changed == 3
    assert len(host.calls) > 6
    assert changes_in(host) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


def test_what_writes_in_the_product_counts_as_a_change(tmp_path: Path) -> None:
    host = RecordingHost(LocalHost())
    base = str(tmp_path / "base")
    with lock(host, base).held():
        Releases(host, base).write(files(), FACTS)
    found = changes_in(host)
    assert len(found) == len(host.calls) - 1  # to write a release begins with a look
    assert all(one.endswith(" (as root)") for one in found)
    run_script(host, "releases", "look", base)
    assert changes_in(host) == found


class _Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_POST = do_DELETE = do_GET

    def address_string(self) -> str:
        return "test"

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class WithEngine(LocalHost):
    """A host whose engine answers at a socket of this machine."""

    def __init__(self, path: str) -> None:
        self.path = path

    def docker_socket(self) -> str | None:
        return self.path


def test_records_requests_through_a_forwarded_port() -> None:
    """Requests through a forwarded port are recorded, also several on one connection."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    server.daemon_threads = True
    host = RecordingHost(LocalHost())
    with serving(server), host.forwarded(server.server_port) as url, httpx.Client(base_url=url) as client:
        assert client.get("/api/projects?page=1").text == "ok"
        assert client.post("/api/token/refresh/", json={"refresh": "x"}).text == "ok"
        assert client.post("/api/projects/", content=b"x" * 300_000).text == "ok"
        assert client.delete("/api/tasks/1/").text == "ok"
    assert host.web_requests == [
        "GET /api/projects?page=1",
        "POST /api/token/refresh/",
        "POST /api/projects/",
        "DELETE /api/tasks/1/",
    ]
    assert changes_in(host) == ["Label Studio: POST /api/projects/", "Label Studio: DELETE /api/tasks/1/"]


def test_a_request_that_comes_in_pieces_is_heard_whole_and_once() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    server.daemon_threads = True
    host = RecordingHost(LocalHost())
    with (
        serving(server),
        host.forwarded(server.server_port) as url,
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 10) as connection,
    ):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (b"POS", b"T /a HTTP", b"/1.1", b"\r", b"\nHost: x\r\nContent-Length: 0\r\n\r\n"):
            connection.sendall(piece)
            threading.Event().wait(0.02)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    assert host.web_requests == ["POST /a"]


def test_records_engine_requests_and_a_gone_engine(tmp_path: Path) -> None:
    """Requests to the engine are recorded, and an engine that is gone is a closed socket."""
    path = str(tmp_path / "engine.sock")
    host = RecordingHost(WithEngine(path))
    with serving(_UnixServer(path, _Answer)):
        through = host.docker_socket()
        assert through is not None
        assert through != path
        assert host.docker_socket() == through
        with httpx.Client(transport=httpx.HTTPTransport(uds=through), base_url="http://docker") as client:
            assert client.get("/v1.41/info").text == "ok"
            assert client.post("/v1.41/containers/create").text == "ok"
    with (
        httpx.Client(transport=httpx.HTTPTransport(uds=through), base_url="http://docker") as client,
        pytest.raises(httpx.TransportError),
    ):
        client.get("/v1.41/info")
    host.close()
    assert not Path(through).parent.exists()
    assert changes_in(host) == ["docker engine: POST /v1.41/containers/create"]
    assert RecordingHost(LocalHost()).docker_socket() is None
