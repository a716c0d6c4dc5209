"""The image of the database server on the real engine: how it is built, and how it starts."""

from __future__ import annotations

import base64
import contextlib
import http.client
import secrets
import shutil
import subprocess
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from core.waiting import wait_for
from hosts.base import DEFAULT_TIMEOUT, Result
from hosts.local import LocalHost
from infra.config.settings import Settings
from infra.roles.docker.apt import read_sources
from infra.roles.images.mirror import AUTH_FILES
from infra.roles.images.packages import package_names
from infra.roles.images.remove import remove_images
from infra.roles.images.role import images_role, plan_images
from infra.roles.images.tags import DB, FOLDERS, IMAGES
from tests.integration.test_images_build import assert_packages, everything_in, output

pytestmark = pytest.mark.docker
PROXY_LOGIN = "walker:proxy-secret-0815"
MIRROR_PASSWORD = "mirror-secret-4711"
READY_SECONDS = 90
DATA, CLIENT = "/var/lib/postgresql/data", "/var/lib/postgresql/client"


@dataclass
class Proxy:
    """A proxy that asks for a login and fetches what apt asks for."""

    port: int = 0
    fetched: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    logins: set[str] = field(default_factory=set)


def serve(proxy: Proxy) -> ThreadingHTTPServer:
    expected = f"Basic {base64.b64encode(PROXY_LOGIN.encode()).decode()}"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Proxy-Authorization") != expected:
                proxy.refused.append(self.path)
                self.send_response(407)
                self.send_header("Proxy-Authenticate", 'Basic realm="lab"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            proxy.logins.add(self.headers.get("Authorization", ""))
            parts = urlsplit(self.path)
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=60)
            with contextlib.closing(connection):
                connection.request("GET", parts.path, headers={"Host": parts.netloc})
                answer = connection.getresponse()
                body = answer.read()
            proxy.fetched.append(parts.path)
            self.send_response(answer.status)
            for name in ("Content-Type", "Last-Modified", "Location"):
                if value := answer.headers.get(name):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the build's own log is enough."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.port = server.server_address[1]
    return server


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    with serve(made) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


class WithMirrorLogin(LocalHost):
    """This machine, if its apt had a login for each mirror."""

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
        if argv == ("sh", "-c", AUTH_FILES):
            names = {urlsplit(source.uri).hostname for source in read_sources(LocalHost())}
            lines = [f"machine {name} login reader password {MIRROR_PASSWORD}\n" for name in names if name]
            return Result(argv, 0, "".join(lines), "")
        return super().run(*argv, ok=ok, timeout=timeout, stdin=stdin, on_line=on_line, tail=tail, as_root=as_root)


@pytest.fixture
def project() -> Iterator[str]:
    """A project of its own, so that exactly its images are removed afterwards."""
    name = f"labelrig-test-{uuid4().hex[:8]}"
    yield name
    remove_images(LocalHost(), name)


@pytest.mark.slow
def test_apt_settings_of_the_machine_are_used_and_none_stays(
    proxy: Proxy, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build of the database; `test_images_build` has the same for pip."""
    bundle = Path("/etc/ssl/certs/ca-certificates.crt").read_text()
    marker = "certificates-of-this-lab-1234"
    (tmp_path / "ca.pem").write_text(f"{bundle}\n# {marker}\n")
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "ca.pem"))
    for name in ("NO_PROXY", "no_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://{PROXY_LOGIN}@127.0.0.1:{proxy.port}")
    tree = tmp_path / "tree"
    shutil.copytree(REPOSITORY / IMAGES, tree / IMAGES)
    for name in ("requirements", "pyproject.toml"):
        (tree / name).symlink_to(REPOSITORY / name)
    # Nothing may come from the engine's build cache, which outlives the test.
    with (tree / IMAGES / "apt-install.sh").open("a") as script:
        script.write(f"# {uuid4().hex}\n")
    host, report = WithMirrorLogin(), Report()
    settings = Settings.model_validate({"LABELRIG_PROJECT": project})
    images = plan_images(host, tree, settings, report, services=[DB], choice="debootstrap")
    converge(images_role(host, images, report), report)
    assert any("postgresql-15_" in path for path in proxy.fetched)
    assert proxy.refused == []
    login = base64.b64encode(f"reader:{MIRROR_PASSWORD}".encode()).decode()
    assert proxy.logins == {f"Basic {login}"}

    found = [MIRROR_PASSWORD, "proxy-secret-0815", marker, f"127.0.0.1:{proxy.port}", login]
    tag = images.tags[DB]
    history = output("docker", "history", "--no-trunc", tag) + output("docker", "inspect", tag)
    assert [secret for secret in found if secret in history] == []
    for name, content in everything_in(tag, tmp_path):
        assert [secret for secret in found if secret.encode() in content] == [], name
        left = [part for part in ("/apt/lists/", "/apt/archives/", "snakeoil.key", "run/secrets/") if part in name]
        assert not content or left == [], name


@pytest.fixture(scope="module")
def image() -> str:
    """The image of this tree."""
    host, report = LocalHost(), Report()
    images = plan_images(host, REPOSITORY, Settings(), report, services=[DB])
    converge(images_role(host, images, report), report)
    return images.tags[DB]


def test_its_image_has_its_listed_packages_and_all_fixes(image: str) -> None:
    assert_packages(image, package_names(REPOSITORY, FOLDERS[DB]))


@dataclass
class Server:
    """Containers on one volume, one after the other."""

    image: str
    volume: str
    folder: Path

    def start(self, password: str) -> str:
        """Start a container with a password file; returns its name."""
        file = self.folder / secrets.token_hex(4)
        file.write_text(password)
        file.chmod(0o444)
        name = f"{self.volume}-{file.name}"
        output(
            *("docker", "run", "--detach", "--init", "--name", name, "--network", "none"),
            *("--user", "61050:61050", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
            *("--read-only", "--tmpfs", "/tmp", "--tmpfs", "/run/postgresql:uid=61050,gid=61050,mode=0700"),
            *("--tmpfs", f"{CLIENT}:uid=61050,gid=61050,mode=0700"),
            *("--volume", f"{self.volume}:{DATA}"),
            *("--volume", f"{file}:{CLIENT}/postgres_password:ro"),
            *("--label", f"org.labelrig.test={self.volume}", self.image),
        )
        return name

    def wait(self, name: str) -> None:
        health = ("docker", "exec", name, "sh", "/usr/local/lib/labelrig-postgres/healthcheck.sh")

        def healthy() -> bool | None:
            if output("docker", "inspect", "--format", "{{.State.Running}}", name).strip() != "true":
                raise AssertionError(self.logs(name))
            return True if subprocess.run(health, capture_output=True, check=False).returncode == 0 else None

        wait_for("the server", healthy, timeout=READY_SECONDS, pause=0.2)

    def end(self, name: str) -> int:
        """Wait for a container that ends by itself; returns its exit code."""
        return int(output("docker", "wait", name))

    def stop(self, name: str) -> None:
        output("docker", "stop", "--time", "30", name)

    def logs(self, name: str) -> str:
        done = subprocess.run(("docker", "logs", name), capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    def on_volume(self, script: str) -> str:
        """Run a script in the volume."""
        mount = ("--user", "61050:61050", "--volume", f"{self.volume}:{DATA}", "--workdir", DATA)
        return output("docker", "run", "--rm", "--network", "none", *mount, self.image, "sh", "-c", script)


@pytest.fixture
def server(image: str, tmp_path: Path) -> Iterator[Server]:
    made = Server(image, f"labelrig-test-{uuid4().hex[:8]}", tmp_path)
    output("docker", "volume", "create", made.volume)
    yield made
    names = output("docker", "ps", "--all", "--quiet", "--filter", f"label=org.labelrig.test={made.volume}").split()
    if names:
        output("docker", "rm", "--force", *names)
    output("docker", "volume", "rm", made.volume)


def signs_in(name: str, password: str) -> bool:
    """Whether Label Studio's user comes in over the network with this password."""
    query = 'export PGPASSWORD="$(cat)"; psql --no-psqlrc --host 127.0.0.1 --command "SELECT 1"'
    done = subprocess.run(
        ("docker", "exec", "--interactive", name, "sh", "-c", query),
        input=password, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 2), done.stderr
    return done.returncode == 0


def test_a_new_password_is_set_at_the_start_and_the_data_stays(server: Server) -> None:
    first = server.start("first-password-of-the-lab")
    server.wait(first)
    output("docker", "exec", first, "psql", "--no-psqlrc", "--command", "CREATE TABLE kept AS SELECT 7 AS number")
    assert not signs_in(first, "another-password")
    server.stop(first)
    assert "database system is shut down" in server.logs(first).splitlines()[-1]

    second = server.start("second-password-of-the-lab")
    server.wait(second)
    assert signs_in(second, "second-password-of-the-lab")
    assert not signs_in(second, "first-password-of-the-lab")
    assert output("docker", "exec", second, "psql", "-XAtc", "SELECT number FROM kept").strip() == "7"
    assert output("docker", "exec", second, "psql", "-XAtc", "SHOW data_checksums").strip() == "on"
    assert "password-of-the-lab" not in server.logs(first) + server.logs(second)


def test_a_first_start_that_was_killed_begins_again(server: Server) -> None:
    server.on_volume("mkdir -p new/base && echo 15 >new/PG_VERSION")
    name = server.start("first-password-of-the-lab")
    server.wait(name)
    assert server.on_volume("echo *").split() == ["main"]


def test_data_of_another_version_is_refused_and_left_alone(server: Server) -> None:
    server.on_volume("mkdir -m 0700 main && echo 14 >main/PG_VERSION")
    name = server.start("first-password-of-the-lab")
    assert server.end(name) == 1
    assert server.logs(name).startswith("postgres: the data in the volume is of PostgreSQL 14, and this is 15. Nothing")
    assert server.on_volume("find . -type f").split() == ["./main/PG_VERSION"]


@pytest.mark.parametrize(
    ("password", "message"),
    [("", "is empty"), ("it's:odd", "holds other characters than letters, digits, - and _")],
)
def test_a_password_that_cannot_be_used_is_said_and_not_shown(server: Server, password: str, message: str) -> None:
    name = server.start(password)
    assert server.end(name) == 1
    assert server.logs(name).strip() == f"postgres: the password {_where(password)} {message}"


def _where(password: str) -> str:
    return f"{'in' if password else 'file'} {CLIENT}/postgres_password"
