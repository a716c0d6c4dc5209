"""The image of HAProxy on the real engine, as the head of several GPU hosts runs it, before backends with a name."""

from __future__ import annotations

import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from core.waiting import wait_for
from hosts.local import LocalHost
from infra.config.settings import FIRST_UID, Settings
from infra.roles.images.packages import package_names
from infra.roles.images.role import images_role, plan_images
from infra.roles.images.tags import FOLDERS, HAPROXY
from infra.stack.stand_in import GETS_CLICKS, SOCKET
from tests.integration.test_images_build import assert_packages, output

pytestmark = pytest.mark.docker
STAND_IN, INGRESS = Path(SOCKET).name, "ingress.sock"
HELD_SECONDS = 10
SECONDS = 30.0


@dataclass
class Backends:
    """The folder with the sockets; a backend answers with its name when it is let go, and counts who waits."""

    folder: Path
    stack: ExitStack
    let_go: threading.Event = field(default_factory=threading.Event)
    asked: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def start(self, name: str) -> socketserver.BaseServer:
        backends = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                if self.rfile.readline():
                    backends.asked.release()
                    backends.let_go.wait(SECONDS)
                    self.wfile.write(f"HTTP/1.1 200 Answered by {name}\r\n\r\n".encode())

        path = self.folder / name
        path.unlink(missing_ok=True)
        server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        path.chmod(0o666)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        self.stack.callback(thread.join)
        self.stack.callback(server.shutdown)
        self.stack.callback(server.server_close)
        return server


@dataclass(frozen=True)
class Container:
    """The running image."""

    name: str
    port: int

    def ask(self) -> str:
        """The first line that comes back; empty where the connection ends without one."""
        with (
            suppress(ConnectionError),
            socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as connection,
        ):
            connection.sendall(b"GET /health HTTP/1.1\r\n\r\n")
            return connection.makefile().readline().strip()
        return ""

    def prefers_stand_in(self) -> bool:
        return self._runs(*GETS_CLICKS)

    def listens(self) -> bool:
        """And has looked at its servers, which count as up before."""
        connect = "import socket; socket.create_connection(('127.0.0.1', 9090), 4)"
        return self._runs("python3", "-c", connect) and not self.prefers_stand_in()

    def _runs(self, *argv: str) -> bool:
        return subprocess.run(("docker", "exec", self.name, *argv), capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def image() -> str:
    """The image of this tree."""
    host, report = LocalHost(), Report()
    images = plan_images(host, REPOSITORY, Settings(), report, services=[HAPROXY])
    converge(images_role(host, images, report), report)
    return images.tags[HAPROXY]


@pytest.fixture
def backends(tmp_path: Path) -> Iterator[Backends]:
    tmp_path.chmod(0o755)
    with ExitStack() as stack:
        made = Backends(tmp_path, stack)
        made.let_go.set()
        yield made


@pytest.fixture
def haproxy(image: str, backends: Backends) -> Iterator[Container]:
    """As compose/cluster.yaml starts it."""
    locked = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--pids-limit", "32")
    user, memory = ("--user", f"{FIRST_UID}:{FIRST_UID}"), ("--memory", "128m", "--init")
    volume, port = ("--volume", f"{backends.folder}:/run/ingress:ro"), ("--publish", "127.0.0.1::9090")
    name = output("docker", "run", "--detach", *locked, *user, *memory, *volume, *port, image).strip()
    try:
        made = Container(name, int(output("docker", "port", name, "9090").strip().rpartition(":")[2]))
        wait_for("HAProxy", lambda: made.listens() or None, timeout=SECONDS, pause=0.2)
        yield made
    finally:
        subprocess.run(("docker", "rm", "--force", name), capture_output=True, check=False)


def test_its_image_has_its_listed_packages_and_all_fixes(image: str) -> None:
    assert_packages(image, package_names(REPOSITORY, FOLDERS[HAPROXY]))


def test_prefers_the_stand_in_while_it_is_there(haproxy: Container, backends: Backends) -> None:
    """The reason phrase comes through, which Label Studio shows people; the state is what the deploy waits for."""
    backends.start(INGRESS)
    assert haproxy.ask() == f"HTTP/1.1 200 Answered by {INGRESS}"
    assert not haproxy.prefers_stand_in()
    backends.start(STAND_IN)
    wait_for("the stand-in", lambda: haproxy.prefers_stand_in() or None, timeout=SECONDS, pause=0.1)
    assert haproxy.ask() == f"HTTP/1.1 200 Answered by {STAND_IN}"


def test_turns_away_without_losing_what_is_under_way(haproxy: Container, backends: Backends) -> None:
    """Once the stand-in's file is gone the next connection goes to the ingress, and the one before gets its answer."""
    backends.start(INGRESS)
    assert haproxy.ask() == f"HTTP/1.1 200 Answered by {INGRESS}"  # which is seen as up by then
    assert backends.asked.acquire(timeout=SECONDS)
    backends.start(STAND_IN)
    wait_for("the stand-in", lambda: haproxy.prefers_stand_in() or None, timeout=SECONDS, pause=0.1)
    backends.let_go.clear()
    answers: list[str] = []
    early = threading.Thread(target=lambda: answers.append(haproxy.ask()))
    early.start()
    assert backends.asked.acquire(timeout=SECONDS)
    (backends.folder / STAND_IN).unlink()
    late = threading.Thread(target=lambda: answers.append(haproxy.ask()))
    late.start()
    assert backends.asked.acquire(timeout=SECONDS)
    backends.let_go.set()
    early.join(SECONDS)
    late.join(SECONDS)
    assert sorted(answers) == [f"HTTP/1.1 200 Answered by {INGRESS}", f"HTTP/1.1 200 Answered by {STAND_IN}"]


def test_holds_a_connection_until_one_answers(haproxy: Container, backends: Backends) -> None:
    """And ends it where none comes in ten seconds."""
    answers: list[str] = []
    waiting = threading.Thread(target=lambda: answers.append(haproxy.ask()))
    waiting.start()
    waiting.join(2)
    assert answers == []
    backends.start(INGRESS)
    waiting.join(SECONDS)
    assert answers == [f"HTTP/1.1 200 Answered by {INGRESS}"]
    (backends.folder / INGRESS).unlink()
    began = time.monotonic()
    assert haproxy.ask() in ("", f"HTTP/1.1 200 Answered by {INGRESS}")
    assert haproxy.ask() == ""
    assert HELD_SECONDS - 1 < time.monotonic() - began < 3 * HELD_SECONDS
