"""The recorder that proves a plan read-only: it misses nothing, and its list lets nothing through that could write."""

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
from infra.database.state import POSTGRES_STATE
from infra.releases.scripts import FOLDER, run_script
from infra.releases.store import ReleaseActive, Releases
from infra.roles.docker.apt import NO_CACHE, read_sources
from infra.roles.docker.compose import PLUGIN_PATHS
from infra.roles.nvidia import facts as nvidia_facts
from infra.roles.nvidia.facts import FIELDS, read_gpu, smi_query
from infra.roles.preflight import checks as preflight
from infra.roles.preflight import data_folder
from infra.roles.preflight.checks import read_disk
from infra.roles.preflight.data_folder import check_folder
from infra.roles.project.ask_backend import ASK_BACKEND
from infra.roles.stack import folders_on_host as folders_there
from infra.roles.stack.backend_secrets import KEY_FILE, PASSWORD_FILE, WRITE, WRITER
from infra.roles.stack.folders_on_host import FolderThere
from tests.read_only import is_read_only, is_reading_request
from tests.recorder import Call, RecordingHost, changes_in
from tests.unit.infra.releases.lock_bench import lock
from tests.unit.infra.releases.release_bench import FACTS, files

COMPOSE = ("docker", "compose", "--project-name", "labelrig", "--env-file", "/c/stack.env", "--file", "/c/compose.yaml")
PSQL = (
    *("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"),
    *("--username", "labelstudio", "--dbname", "labelstudio"),
)
LOOKS: list[tuple[str, ...]] = [
    ("true",),
    ("id", "-un"),
    ("id", "-nG", "--", "ana"),
    ("uname", "-m"),
    ("date", "+%s"),
    ("getent", "ahosts", "deb.lab"),
    ("test", "-d", "/run/systemd/system"),
    ("stat", "-L", "-c", "%F %u %a", "--", "/srv/labelrig"),
    ("find", "-H", "/NAS", "(", "-type", "f", "-o", "-type", "l", ")", "-printf", "%y%P\\0"),
    ("cat", "/etc/os-release"),
    ("readlink", "-f", "/etc/docker/daemon.json"),
    ("env", "LC_ALL=C.UTF-8", "apt-cache", *NO_CACHE, "policy", "docker.io"),
    ("apt-get", *NO_CACHE, "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"),
    ("apt-get", *NO_CACHE, "update", "--print-uris"),
    ("apt-config", "shell", "special", "Acquire::http::Proxy::deb.lab", "general", "Acquire::http::Proxy"),
    ("dpkg-query", "-W", "-f", "${db:Status-Status}|${Version}", "nvidia-container-toolkit"),
    smi_query(FIELDS),
    ("sh", "-c", preflight.NEAREST_DISK, "sh", "/srv"),
    ("sh", "-c", data_folder.LIST, "sh", "/NAS/x; rm -rf /", "2000"),
    ("docker", "version", "--format", "{{.Server.Version}}"),
    ("docker", "info"),
    ("docker", "inspect", "c"),
    ("docker", "image", "inspect", "--format={{.Id}}", "labelrig/sam2:1"),
    ("docker", "ps", "--quiet", "--no-trunc", "--filter=status=running"),
    ("docker", "exec", "0123abc", *smi_query(FIELDS)),
    ("docker", "system", "dial-stdio"),
    ("docker", "compose", "version", "--short"),
    (PLUGIN_PATHS[0], "version", "--short"),
    (*COMPOSE, "config", "--hash", "*"),
    (*COMPOSE, "ps", "--all", "--format", "json"),
    (*COMPOSE, "exec", "--no-TTY", "sam2", *ASK_BACKEND, "GET", "/health"),
    (*COMPOSE, "exec", "--no-TTY", "sam2", "cat", KEY_FILE),
    (*COMPOSE, "exec", "--no-TTY", "sam2", "sha256sum", PASSWORD_FILE),
]
ACTS: list[tuple[str, ...]] = [
    (),
    ("rm", "-f", "/x"),
    ("touch", "/x"),
    ("mkdir", "/x"),
    ("install", "-d", "/x"),
    ("mv", "a", "b"),
    ("ln", "-s", "a", "b"),
    ("tee", "/x"),
    ("dd", "of=/x"),
    ("sed", "-i", "s/a/b/", "/x"),
    ("chmod", "600", "/x"),
    ("systemctl", "restart", "docker"),
    ("usermod", "-aG", "docker", "ana"),
    ("kill", "-TERM", "1"),
    ("date", "-s", "2020-01-01"),
    ("date", "010100002020"),
    ("uname", "-m", "x"),
    ("find", "/x", "-delete"),
    ("find", "/x", "-name", "a", "-exec", "rm", "{}", "+"),
    ("find", "/x", "-execdir", "rm", "{}", ";"),
    ("find", "/x", "-ok", "rm", "{}", ";"),
    ("find", "/x", "-fprint", "/y"),
    ("find", "/x", "-fprintf", "/y", "%p"),
    ("find", "/x", "-fprint0", "/y"),
    ("find", "/x", "-fls", "/y"),
    ("sh", "-c", "rm -rf /x"),
    ("sh", "-c", preflight.NEAREST_DISK + "\nrm -rf /x", "sh", "/srv"),
    ("sh", "-c", folders_there.DIGESTS + "; rm x", "sh", "/srv"),
    ("sh", "-x", "-c", preflight.NEAREST_DISK),
    ("sh", preflight.NEAREST_DISK),
    ("sh", "-c"),
    ("sh",),
    ("sh", "/tmp/x.sh"),
    ("bash", "-c", preflight.NEAREST_DISK, "sh", "/srv"),
    ("env", "rm", "-f", "/x"),
    ("env", "LC_ALL=C.UTF-8", "rm", "-f", "/x"),
    ("env", "LC_ALL=C.UTF-8", "sh", "-c", nvidia_facts.PCI_SCRIPT),
    ("sudo", "id", "-u"),
    ("timeout", "5", "id", "-u"),
    ("nice", "cat", "/x"),
    ("xargs", "rm"),
    ("apt-get", "install", "x"),
    ("apt-get", "update"),
    ("apt-get", "update", "--print-uris"),  # writes apt's cache
    ("apt-get", "indextargets"),  # writes apt's cache
    ("apt-get", *NO_CACHE, "update"),
    ("apt-get", *NO_CACHE, "indextargets", "-o", "APT::Update::Pre-Invoke::=rm -rf /x"),
    ("apt-get", *NO_CACHE, "indextargets", "--config-file=/x"),
    ("apt-cache", "policy", "x"),  # writes apt's cache
    ("apt-cache", *NO_CACHE, "gencaches"),
    ("apt-cache", *NO_CACHE, "policy", "-o", "Dir::Cache=/x"),
    ("apt-config", "dump", "-o", "x"),
    ("apt-config", "shell", "-o", "x"),
    ("apt-mark", "hold", "x"),
    ("dpkg", "-i", "x.deb"),
    ("dpkg-query", "--admindir=/x", "-W"),
    ("nvidia-smi", "--gpu-reset"),
    ("nvidia-smi",),
    (*smi_query(FIELDS), "--filename=/x"),
    ("nvidia-ctk", "runtime", "configure"),
    ("dockerd", "--validate", "--config-file", "/x"),
    ("docker", "run", "--rm", "x"),
    ("docker", "rm", "x"),
    ("docker", "load"),
    ("docker", "pull", "x"),
    ("docker", "image", "rm", "x"),
    ("docker", "images", "prune"),
    ("docker", "system", "prune", "-f"),
    ("docker", "system", "dial-stdio", "x"),
    ("docker", "-H", "tcp://x", "version"),
    ("docker", "--config", "/x", "info"),
    ("docker", "exec", "c", "rm", "-f", "/x"),
    ("docker", "exec", "-d", "c", *smi_query(FIELDS)),
    ("docker", "exec", "c"),
    ("docker", "exec"),
    ("docker", "compose", "up"),
    ("docker", "compose", "version", "--short", "up"),
    (PLUGIN_PATHS[0], "up"),
    COMPOSE,
    (*COMPOSE, "up", "--detach"),
    (*COMPOSE, "down"),
    (*COMPOSE, "restart", "sam2"),
    (*COMPOSE, "run", "--rm", "sam2", *ASK_BACKEND, "GET", "/health"),
    (*COMPOSE, "config", "--output", "/x"),
    (*COMPOSE, "config", "-o", "/x"),
    (*COMPOSE, "ps", "--filter", "x"),
    (*COMPOSE, "exec", "sam2", *ASK_BACKEND, "GET", "/health"),
    (*COMPOSE, "exec", "--no-TTY", "--user=0", "sam2", *ASK_BACKEND, "GET", "/health"),
    (*COMPOSE, "exec", "--no-TTY", "sam2", *ASK_BACKEND, "POST", "/webhook"),
    (*COMPOSE, "exec", "--no-TTY", "sam2", "sh", "-c", WRITE, "sh", KEY_FILE),
    (*COMPOSE, "run", "--rm", "--no-TTY", "--no-deps", "--quiet-pull", WRITER, "sh", "-c", WRITE, "sh", KEY_FILE),
    (*COMPOSE, "exec", "--no-TTY", "label-studio", "cat", KEY_FILE),
    (*COMPOSE, "exec", "--no-TTY", "sam2", "cat", PASSWORD_FILE),
    (*COMPOSE, "exec", "--no-TTY", "label-studio", *ASK_BACKEND, "GET", "/health"),
    (*COMPOSE, "exec", "--no-TTY", "db", *PSQL),
    (*COMPOSE, "exec", "--no-TTY", "sam2"),
    (*COMPOSE, "exec"),
    ("sh", "-s", "--", "look", "/srv/labelrig/labelrig"),
]


@pytest.mark.parametrize("argv", LOOKS, ids=" ".join)
def test_passes_what_only_reads_but_not_unknown_input(argv: tuple[str, ...]) -> None:
    """What only reads is let through, and with unknown input it is not."""
    assert is_read_only(argv)
    assert not is_read_only(argv, None)
    assert not is_read_only(argv, b"rm -rf /")


@pytest.mark.parametrize("argv", ACTS, ids=lambda argv: " ".join(argv)[:70])
def test_what_may_change_something_is_not(argv: tuple[str, ...]) -> None:
    assert not is_read_only(argv)


@pytest.mark.parametrize(
    ("script", "arguments", "looks"),
    [
        ("releases", ("look", "/b"), True),
        ("releases", ("activate", "/b", "x"), False),
        ("releases", ("remove", "/b", "x"), False),
        ("lock", ("look", "/b"), True),
        ("lock", ("take", "/b", "id", "{}", "0"), False),
        ("lock", ("beat", "/b", "id"), False),
        ("lock", ("remove", "/b", "id"), False),
        ("audit", ("last", "/b/audit.jsonl", "20"), True),
        ("audit", ("append", "/b/audit.jsonl", "{}"), False),
        ("leftovers", ("run",), True),
        ("leftovers", ("run", "KILL"), False),
        ("releases", (), False),
        ("audit", ("look", "/b"), False),
    ],
)
def test_of_the_scripts_some_verbs_look(script: str, arguments: tuple[str, ...], looks: bool) -> None:
    text = (FOLDER / f"{script}.sh").read_bytes()
    assert is_read_only(("sh", "-s", "--", *arguments), text) is looks
    assert not is_read_only(("sh", "-s", "--", *arguments), text + b"rm -rf /x\n")
    assert not is_read_only(("sh", "-s", *arguments), text)


def test_every_script_on_a_host_is_judged() -> None:
    """A new one counts as a change until somebody has looked at it."""
    assert {path.stem for path in FOLDER.glob("*.sh")} == {"audit", "leftovers", "lock", "purge", "releases"}


def test_database_may_be_read_but_not_changed() -> None:
    """The state of a database may be requested, and nothing else sent to it."""
    asking = (*COMPOSE, "exec", "--no-TTY", "db", *PSQL)
    assert is_read_only(asking, POSTGRES_STATE.encode())
    assert not is_read_only(asking, POSTGRES_STATE.encode() + b"DROP TABLE task;")
    assert not is_read_only(asking, None)
    assert not is_read_only((*COMPOSE, "exec", "--no-TTY", "db", *PSQL, "-c", "DROP"), POSTGRES_STATE.encode())
    assert not is_read_only((*COMPOSE, "exec", "--no-TTY", "label-studio", "python3", "-"), b"import os")


@pytest.mark.parametrize(
    ("request_line", "reads"),
    [
        ("GET /v1.41/containers/json?all=1", True),
        ("HEAD /_ping", True),
        ("POST /v1.41/containers/create", False),
        ("DELETE /v1.41/images/x", False),
        ("POST /api/token/refresh/", True),
        ("POST /api/token/refresh/../../projects", False),
        ("POST /api/token/", False),
        ("PATCH /api/projects/1/", False),
        ("PUT /x", False),
        ("get /x", False),
        ("GET", False),
    ],
)
def test_requests(request_line: str, reads: bool) -> None:
    assert is_reading_request(request_line) is reads


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
