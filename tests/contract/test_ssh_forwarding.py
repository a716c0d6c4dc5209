"""Ports and the Docker engine of a machine behind SSH, reached from here."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import httpx
import pytest
from pydantic import SecretStr

from core.errors import HostError
from hosts.ssh import SshHost
from infra.roles.docker.client import EngineState, engine_state
from tests.contract.conftest import PASSWORD, User
from tests.machine import free_port
from tests.sshd import Sshd

Connected = Callable[..., SshHost]
MEGABYTE = 1 << 20
LOGIN_SECONDS = 60  # where a server allows one session, each connection is a login, which waits on a busy machine


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(b"x" * int(self.path.strip("/") or 0))

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def web_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def tcp_server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that serves each connection; that a port is tried first makes one more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        ended = threading.Event()

        def one(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                serve(connection)

        def run() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = listener.accept()
                    connection.settimeout(10)
                    serving.append(threading.Thread(target=one, args=(connection,)))
                    serving[-1].start()

        serving = [threading.Thread(target=run)]
        serving[0].start()
        yield listener.getsockname()[1]
        ended.set()
        for thread in serving:
            thread.join(10)


def received(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("forward")]


class TestPorts:
    def test_a_web_server_there_answers_here(self, lab: SshHost, web_port: int) -> None:
        body = os.urandom(5 * MEGABYTE)
        with lab.forwarded(web_port) as url:
            assert url.startswith("http://127.0.0.1:")
            assert not url.endswith(f":{web_port}")
            assert len(httpx.get(f"{url}/{20 * MEGABYTE}").content) == 20 * MEGABYTE
            assert httpx.post(url, content=body).content == body

    def test_many_connections_at_once(self, lab: SshHost, web_port: int) -> None:
        with lab.forwarded(web_port) as url, ThreadPoolExecutor(20) as pool:
            answers = pool.map(lambda number: httpx.get(f"{url}/{number * 1000}", timeout=LOGIN_SECONDS), range(40))
            assert [len(answer.content) for answer in answers] == [number * 1000 for number in range(40)]

    def test_one_who_has_said_all_still_hears_the_answer(self, lab: SshHost) -> None:
        def count(connection: socket.socket) -> None:
            connection.sendall(f"{len(received(connection))}".encode())

        with (
            tcp_server(count) as port,
            lab.forwarded_from(0, port) as here,
            socket.create_connection(("127.0.0.1", here)) as client,
        ):
            client.settimeout(10)
            client.sendall(b"x" * MEGABYTE)
            client.shutdown(socket.SHUT_WR)
            assert received(client) == str(MEGABYTE).encode()

    def test_one_who_has_heard_all_may_still_speak(self, lab: SshHost) -> None:
        heard: list[bytes] = []

        def speak_first(connection: socket.socket) -> None:
            connection.sendall(b"bye")
            connection.shutdown(socket.SHUT_WR)
            heard.append(received(connection))

        with (
            tcp_server(speak_first) as port,
            lab.forwarded_from(0, port) as here,
            socket.create_connection(("127.0.0.1", here)) as client,
        ):
            client.settimeout(10)
            assert received(client) == b"bye"
            client.sendall(b"and you")
            client.shutdown(socket.SHUT_WR)
        assert b"and you" in heard

    def test_a_port_there_where_nobody_listens_closes_at_once(self, lab: SshHost) -> None:
        with lab.forwarded(free_port()) as url, pytest.raises(httpx.TransportError):
            httpx.get(url)

    def test_nothing_is_left_behind(self, lab: SshHost) -> None:
        def stay(connection: socket.socket) -> None:
            received(connection)

        with tcp_server(stay) as port:
            with lab.forwarded_from(0, port) as here:
                client = socket.create_connection(("127.0.0.1", here))
                client.sendall(b"open")
                time.sleep(0.2)
            client.settimeout(10)
            assert received(client) == b""
            client.close()
        assert our_threads() == []
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", here))

    def test_a_port_of_one_s_own_choice(self, lab: SshHost, web_port: int) -> None:
        mine = free_port()
        with lab.forwarded_from(mine, web_port) as here:
            assert here == mine
            assert len(httpx.get(f"http://127.0.0.1:{mine}/7").content) == 7

    def test_a_port_that_is_taken_is_said(self, lab: SshHost, web_port: int) -> None:
        with pytest.raises(HostError) as caught, lab.forwarded_from(web_port, 80):
            pass
        assert str(caught.value) == (
            f"this machine: cannot listen on 127.0.0.1 port {web_port}: Address already in use; "
            "end what uses it, or name another port"
        )

    def test_it_goes_on_after_the_connection_was_lost(
        self, own_sshd: Sshd, connected: Connected, web_port: int
    ) -> None:
        with connected(own_sshd).forwarded(web_port) as url:
            assert httpx.get(f"{url}/3").text == "xxx"
            own_sshd.kill_sessions()
            time.sleep(0.2)
            assert httpx.get(f"{url}/4").text == "xxxx"


class TestEngineAway:
    def test_without_an_engine_there_is_a_socket_that_says_nothing(
        self, own_sshd: Sshd, connected: Connected, tmp_path: Path
    ) -> None:
        """As on a machine that still has no Docker: what asks must hear "silent", and must not wait."""
        script = tmp_path / "shell"
        script.write_text('#!/bin/sh\nexport DOCKER_HOST=unix:///no/such/socket\nexec sh -c "$SSH_ORIGINAL_COMMAND"\n')
        script.chmod(0o755)
        key = own_sshd.authorized_keys.read_text()
        own_sshd.authorized_keys.write_text(f'command="{script}" {key}')
        host = connected(own_sshd)
        path = host.docker_socket()
        assert engine_state(host) is EngineState.SILENT
        host.close()
        assert not Path(str(path)).exists()


@pytest.mark.docker
class TestEngine:
    @pytest.fixture
    def engine(self, lab: SshHost) -> Iterator[docker.DockerClient]:
        with contextlib.closing(docker.DockerClient(base_url=f"unix://{lab.docker_socket()}")) as client:
            yield client

    def test_the_engine_there_answers_at_a_private_socket(self, lab: SshHost, engine: docker.DockerClient) -> None:
        there = subprocess.run(
            ("docker", "info", "--format", "{{.ID}}"), check=True, capture_output=True, text=True
        ).stdout.strip()
        assert engine.info()["ID"] == there
        path = Path(str(lab.docker_socket()))
        assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)

    def test_events_stream_until_they_are_closed(self, engine: docker.DockerClient) -> None:
        """Of one volume: other lanes make theirs on the same engine at the same time."""
        name = f"labelrig-events-{uuid.uuid4().hex}"
        with contextlib.closing(engine.events(decode=True, filters={"type": "volume", "volume": name})) as stream:
            volume = engine.volumes.create(name)
            try:
                seen = next(stream)
            finally:
                volume.remove()
        assert (seen["Actor"]["ID"], seen["Action"]) == (name, "create")

    def test_several_clients_at_once(self, lab: SshHost) -> None:
        def ask(_number: int) -> bool:
            with contextlib.closing(docker.DockerClient(base_url=f"unix://{lab.docker_socket()}")) as client:
                return bool(client.ping())

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(ask, range(24)))

    @pytest.mark.skipif(os.geteuid() != 0, reason="makes users: needs root")
    @pytest.mark.parametrize(
        ("rule", "password"), [("USER ALL=(ALL) NOPASSWD: ALL", None), ("USER ALL=(ALL) ALL", PASSWORD)]
    )
    def test_a_user_without_the_engine_gets_there_through_sudo(
        self, sshd: Sshd, connected: Connected, user: User, rule: str, password: str | None
    ) -> None:
        """A user to whom the engine is closed gets there through sudo."""
        host = connected(sshd, user=user.name, sudo_password=SecretStr(password) if password else None)
        assert engine_state(host) is EngineState.SILENT
        user.may(rule)
        host.reconnect()
        with contextlib.closing(docker.DockerClient(base_url=f"unix://{host.docker_socket()}")) as client:
            assert client.info()["ID"]

    def test_nothing_is_left_after_closing(self, lab: SshHost) -> None:
        path = str(lab.docker_socket())
        client = docker.DockerClient(base_url=f"unix://{path}")
        assert client.ping()
        lab.close()
        client.close()
        assert not Path(path).parent.exists()
        assert our_threads() == []
