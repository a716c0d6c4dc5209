"""https in a browser that trusts the root as a person's does: sign in, click, submit, and no cookie in the clear."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from docker import DockerClient
from playwright.sync_api import Error, sync_playwright

from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from core.waiting import wait_for
from hosts.local import LocalHost
from infra.config.address import has_own_tls
from infra.config.dotenv import read_env_file
from infra.config.settings import Settings
from infra.roles.docker.compose import Compose
from infra.roles.stack.certificate import CertificateInPlace
from infra.roles.stack.containers import StackRunning
from infra.roles.stack.files import FilesWritten
from infra.roles.stack.image_folders import DEMO, with_folder
from infra.roles.stack.render import PROXY, TLS, images_of, render_stack, stack_values
from infra.roles.stack.root_certificate import RootCertificateKept
from infra.roles.stack.sizes import machine_size
from infra.stack.site import exec_in
from labelstudio.session import sign_in
from masks.measure import intersection_over_union
from tests.certificates import authority
from tests.e2e import clicks
from tests.e2e.browser.conftest import CONFIG
from tests.e2e.browser.desk import Desk, chromium
from tests.e2e.clicks import Round, Scene
from tests.e2e.conftest import Stack
from tests.e2e.workbench import Bench
from tests.machine import free_port

NAME = "label.lab.test"
RESOLVE = f"--host-resolver-rules=MAP {NAME} 127.0.0.1"


def served(stack: Stack, demo_folder: Path, engine: DockerClient, settings: Settings) -> Compose:
    """Bring the stack to these settings; it stays so: see LAST in conftest.py."""
    host = LocalHost()
    images = images_of(read_env_file(Path(stack.files.env)))
    values = stack_values(settings, images, "demo", machine_size(host))
    folders, _ = with_folder([], demo_folder / "images", DEMO)
    files = replace(stack.files, overrides=(PROXY, *((TLS,) if has_own_tls(settings) else ())))
    compose = Compose(host, settings.project, files.compose, files.env)
    running = StackRunning(compose, settings.project, lambda: engine, Report(), files.services)
    rendered = render_stack(files, values, folders, folders, [], settings.backend)
    lab = [CertificateInPlace(host, settings, compose)] if settings.tls == "files" else []
    converge([FilesWritten(host, rendered), *lab, running], Report())
    return compose


def trusting(home: Path, root: Path, stack: Stack) -> None:
    """Let a browser with this home trust a root: by certutil, as docs/tls.md says; the proxy's image has it."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    shutil.copyfile(root, home / "root.crt")
    image = images_of(read_env_file(Path(stack.files.env)))["proxy"]
    add = "certutil -d sql:$1 -N --empty-password && certutil -d sql:$1 -A -t C,, -n lab -i /home/root.crt"
    subprocess.run(
        (
            *("docker", "run", "--rm", "--network", "none", "--user", "0:0", "--volume", f"{home}:/home"),
            *("--entrypoint", "sh", image, "-c", add, "sh", "/home/.pki/nssdb"),
        ),
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip


def works(url: str, home: Path, stack: Stack, bench: Bench, scene: Scene, round_: Round) -> None:
    """Sign in, click, submit; what is stored is the object, and no cookie may travel without TLS."""
    assert stack.settings.password is not None
    password = stack.settings.password.get_secret_value()
    with sync_playwright() as play, chromium(play, RESOLVE, home=home) as browser:
        desk = Desk(browser, url, CONFIG)
        desk.sign_in(stack.settings.username, password)
        kept = {str(one["name"]): one for one in desk.context.cookies()}
        assert {"sessionid", "csrftoken"} <= set(kept)
        assert all(one["secure"] for one in kept.values()), kept
        desk.open(bench.project_id, bench.task(image=scene.task.image), scene.size_wh)
        desk.says(": ready")
        one = scene.objects[0]
        desk.label(one.label)
        desk.click(one.click_xy)
        assert intersection_over_union(desk.suggestion(), one.mask()) >= 0.75
        desk.key("Enter")
        (stored,) = clicks.read_back(round_, desk.submit())
        assert stored.labels == (one.label,)
        assert (desk.failures, desk.lost) == ([], [])
        desk.close()


def test_own_ca(
    stack: Stack,
    demo_folder: Path,
    engine: DockerClient,
    bench: Bench,
    scenes: list[Scene],
    round_: Round,
    tmp_path: Path,
) -> None:
    """`tls: internal`: who trusts the root works, who does not is not let on; labelrig itself goes on by http."""
    url = f"https://{NAME}:{free_port()}"
    settings = stack.settings.model_copy(update={"public_url": url, "tls": "internal"})
    compose = served(stack, demo_folder, engine, settings)
    root = RootCertificateKept(exec_in(compose, "proxy"), tmp_path / "root.crt")
    converge([root], Report())
    strange, home = tmp_path / "strange", tmp_path / "home"
    strange.mkdir()
    with (
        sync_playwright() as play,
        chromium(play, RESOLVE, home=strange) as browser,
        pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"),
    ):
        browser.new_page().goto(url)
    trusting(home, root.path, stack)
    works(url, home, stack, bench, scenes[0], round_)
    assert settings.password is not None
    with sign_in(settings.url, settings.username, settings.password.get_secret_value()) as session:
        assert session.http.get("/api/current-user/whoami").status_code == 200
        assert "Strict-Transport-Security" not in session.http.get("/user/login/").headers


@pytest.mark.slow
def test_certificate_of_the_lab(stack: Stack, demo_folder: Path, engine: DockerClient, tmp_path: Path) -> None:
    """`tls: files`: it is served as it is, and a renewed one by the next run."""
    port, root = free_port(), authority()
    files = {"tls_certificate": tmp_path / "label.crt", "tls_key": tmp_path / "label.key"}
    address = {"public_url": f"https://{NAME}:{port}", "tls": "files"}
    settings = stack.settings.model_copy(update={**address, **files})
    trust = ssl.create_default_context(cadata=root.pem.decode())

    def renew() -> None:
        for path, content in zip(files.values(), root.sign(NAME), strict=True):
            path.write_bytes(content)

    def served_now() -> httpx.Response:
        with httpx.Client(verify=trust, trust_env=False, timeout=30) as client:
            url, host = f"https://127.0.0.1:{port}/user/login/", {"Host": f"{NAME}:{port}"}
            return client.get(url, headers=host, extensions={"sni_hostname": NAME})

    def shown() -> bytes:
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            trust.wrap_socket(plain, server_hostname=NAME) as one,
        ):
            return one.getpeercert(binary_form=True) or b""

    renew()
    compose = served(stack, demo_folder, engine, settings)
    page = served_now()
    assert page.status_code == 200
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert all("Secure" in cookie for cookie in page.headers.get_list("Set-Cookie"))
    before = shown()
    renew()
    assert converge([CertificateInPlace(LocalHost(), settings, compose)], Report()) == 1
    assert wait_for("the renewed certificate", lambda: _other(shown, before), timeout=60) != before
    assert converge([CertificateInPlace(LocalHost(), settings, compose)], Report()) == 0


def _other(shown: Callable[[], bytes], before: bytes) -> bytes | None:
    try:
        now = shown()
    except OSError:  # the proxy restarts
        return None
    return now if now != before else None


@contextmanager
def nginx(folder: Path, port: int, upstream: int, certificate: tuple[bytes, bytes]) -> Iterator[None]:
    """nginx with the recipe of docs/tls.md; Debian's, unpacked only, never installed."""
    package = folder / "package"
    package.mkdir()
    subprocess.run(
        ["apt-get", "-o", "APT::Sandbox::User=root", "download", "nginx"],
        cwd=package, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (deb,) = package.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", str(deb), str(package / "root")], check=True, timeout=60)
    for name, content in zip(("label.crt", "label.key"), certificate, strict=True):
        (folder / name).write_bytes(content)
    (recipe, *_) = re.findall(r"^```nginx\n(server .*?)^```", (REPOSITORY / "docs" / "tls.md").read_text(), re.M | re.S)
    for here, there in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("label.lab.example", NAME),
        ("/etc/ssl/lab/label.crt", str(folder / "label.crt")),
        ("/etc/ssl/private/label.key", str(folder / "label.key")),
        ("http://127.0.0.1:8080", f"http://127.0.0.1:{upstream}"),
    ):
        assert here in recipe
        recipe = recipe.replace(here, there)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder / kind};\n" for kind in kinds)
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off;\nuser root;\npid {folder / 'pid'};\nerror_log {folder / 'error.log'} warn;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{places}{recipe}}}\n"
    )
    process = subprocess.Popen([package / "root" / "usr" / "sbin" / "nginx", "-c", config, "-p", folder])
    try:
        started = folder / "pid"
        wait_for("nginx", lambda: started.is_file() or process.poll() is not None or None, timeout=30)
        assert process.poll() is None, (folder / "error.log").read_text()
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
def test_behind_nginx(
    stack: Stack,
    demo_folder: Path,
    engine: DockerClient,
    bench: Bench,
    scenes: list[Scene],
    round_: Round,
    tmp_path: Path,
) -> None:
    """`tls: proxy`, with the lab's certificate in nginx: before there was `public_url`, signing in gave 403."""
    port = free_port()
    url = f"https://{NAME}:{port}"
    settings = stack.settings.model_copy(update={"public_url": url, "tls": "proxy"})
    root = authority()
    (tmp_path / "root.crt").write_bytes(root.pem)
    home = tmp_path / "home"
    trusting(home, tmp_path / "root.crt", stack)
    served(stack, demo_folder, engine, settings)
    with nginx(tmp_path, port, settings.port, root.sign(NAME)):
        works(url, home, stack, bench, scenes[0], round_)
