"""The real Dockerfiles on the real engine, with tiny packages: what a build gets, and what it may not keep."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import os
import platform
import re
import shutil
import socket
import subprocess
import tarfile
import threading
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from core.errors import HostError
from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.config.settings import Settings
from infra.roles.docker.client import engine_client
from infra.roles.images.packages import package_names
from infra.roles.images.remove import remove_images
from infra.roles.images.role import images_role, plan_images
from infra.roles.images.suites import Suites
from infra.roles.images.tags import BACKEND, IMAGES, LABEL_STUDIO, SAM2, OfficialImages
from tests.base_image import base_image
from tests.integration.package_index import INDEX_LOGIN, PROXY_LOGIN, Lab, serve, wheel

pytestmark = pytest.mark.docker
DIRECT = dict(os.environ)  # before a test names the lab's proxy
OF_PIP = (LABEL_STUDIO, SAM2)  # the lab of these tests has a Python index and no Debian mirror
NOWHERE = OfficialImages("127.0.0.1:9/label-studio:1", "127.0.0.1:9/python:1")
BUNDLE_TEXT = "certificates-of-this-lab-1234"


@pytest.fixture
def lab() -> Iterator[Lab]:
    made = Lab()
    with serve(made) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def project() -> Iterator[str]:
    """A project of its own, so that exactly its images are removed afterwards."""
    name = f"labelrig-test-{uuid4().hex[:8]}"
    yield name
    remove_images(LocalHost(), name)


@pytest.fixture
def tree(tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This repository's Dockerfiles with other requirements, and a machine whose settings hold secrets."""
    tree, links = tmp_path / "tree", tmp_path / "links"
    shutil.copytree(REPOSITORY / IMAGES, tree / IMAGES)
    shutil.copyfile(REPOSITORY / "pyproject.toml", tree / "pyproject.toml")
    shutil.copytree(REPOSITORY / "companion", tree / "companion")
    for name in BACKEND:
        (tree / name).mkdir()
        (tree / name / "__init__.py").touch()
    (tree / "backend" / "__main__.py").write_text(f"print('backend of {uuid4().hex}')\n")
    file, content = wheel("torch", "2.13.0+cpu")
    requirements = {
        "label-studio.in": "label-studio==1.23.2\n",
        "label-studio.lock": lab.add("label-studio", "1.23.2", script="label-studio"),
        "gunicorn.lock": lab.add("gunicorn", "27.0.1"),
        # Both may be installed: that of the index, and the CPU build on the disk.
        "torch.lock": f"{lab.add('torch', '2.13.0').strip()} --hash=sha256:{hashlib.sha256(content).hexdigest()}\n",
        "torch-cuda.lock": "",
        "backend.lock": lab.add("small-thing", "1.0"),
        "sam2-build.lock": lab.add("builder-thing", "1.0"),
        "sam2.lock": lab.add("sam2", "1.1.0"),
    }
    (tree / "requirements").mkdir()
    for name, text in requirements.items():
        (tree / "requirements" / name).write_text(text)
    links.mkdir()
    (links / file).write_bytes(content)
    bundle = tmp_path / "ca.pem"
    bundle.write_text(f"{BUNDLE_TEXT}\n")
    for name in ("NO_PROXY", "no_proxy", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_CERT", str(bundle))
    monkeypatch.setenv("PIP_TRUSTED_HOST", "index.lab.test")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    monkeypatch.setenv("PIP_INDEX_URL", f"http://{INDEX_LOGIN}@index.lab.test/simple")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://{PROXY_LOGIN}@127.0.0.1:{lab.port}")
    return tree


@pytest.fixture(scope="module")
def base() -> str:
    """The base image of this tree, with this machine's settings, before a test sets the lab's."""
    return base_image(Report())


def output(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120).stdout


def run(image: str, *argv: str) -> str:
    return output("docker", "run", "--rm", "--network", "none", image, *argv).strip()


def left_behind(image: str) -> str:
    """Programs with rights of their file's owner, and what installs more, in a container of an image."""
    look = (
        "find / -xdev -perm /6000; for name in pip pip3 apt apt-get aptitude; do command -v $name; done; "
        "find / -xdev -name 'pip-*' -path '*-packages/*'; find / -xdev -type d -name ensurepip; "
        "for python in /opt/venv/bin/python python3; do $python -c 'import pip' 2>/dev/null && echo pip; done; "
        "dpkg-query --show --showformat '${binary:Package} ${db:Status-Status}\\n' apt 'libapt-pkg*' 2>/dev/null "
        "| grep ' installed$'; dpkg-query --show libc6 >/dev/null || echo no dpkg"
    )
    return run("--user=0:0", "--entrypoint=sh", image, "-c", look)


def everything_in(image: str, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each file of each layer, and each description, of an image as `docker save` writes it."""
    saved = folder / "image.tar"
    output("docker", "save", "--output", str(saved), image)
    with tarfile.open(saved) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            try:
                with tarfile.open(fileobj=content) as layer:
                    for inner in layer:
                        data = layer.extractfile(inner) if inner.isfile() else None
                        yield f"{member.name}:{inner.name}", data.read() if data else b""
            except tarfile.ReadError:
                content.seek(0)
                yield member.name, content.read()


def test_base_image_has_its_listed_packages_and_all_fixes(base: str) -> None:
    """The list names the image, so a package that it lacks could get a fix and no new image."""
    assert_packages(base, package_names(REPOSITORY))
    left = run(
        base, "sh", "-c", "ls -A /run/secrets /run/build /etc/apt/sources.list /etc/apt/auth.conf 2>/dev/null || :"
    )
    assert left == ""


def assert_packages(image: str, names: Collection[str]) -> None:
    """An image has no other Debian packages than these, none of them older than what the suites offer."""
    status = run(image, "cat", "/var/lib/dpkg/status")
    found = set(re.findall(r"^Package: (\S+)$", status, re.MULTILINE))
    assert "openssl" in found
    assert found <= set(names)
    suites = Suites(LocalHost(), platform.machine())
    if suites.offered(names, Report()).known:
        assert [str(one) for one in suites.behind(status.encode())] == []


def test_the_settings_of_the_machine_are_used_and_none_stays(
    tree: Path, lab: Lab, project: str, base: str, tmp_path: Path
) -> None:
    host, report = LocalHost(), Report()
    images = plan_images(
        host,
        tree,
        Settings.model_validate({"LABELRIG_PROJECT": project}),
        report,
        choice="debootstrap",
        services=OF_PIP,
    )
    assert converge(images_role(host, images, report), report) == 1
    fetched = {path.split("/")[2] for path in lab.served if path.endswith(".whl")}
    assert fetched == {"label-studio", "gunicorn", "small-thing", "builder-thing", "sam2"}
    assert converge(images_role(host, images, report), report) == 0

    secrets = [INDEX_LOGIN, "index-secret-4711", "proxy-secret-0815", BUNDLE_TEXT, "index.lab.test", f":{lab.port}"]
    secrets += [base64.b64encode(login.encode()).decode() for login in (INDEX_LOGIN, PROXY_LOGIN)]
    for image in images.tags.values():
        history = output("docker", "history", "--no-trunc", image) + output("docker", "inspect", image)
        assert [secret for secret in secrets if secret in history] == []
        names = []
        for name, content in everything_in(image, tmp_path):
            names.append(name)
            assert [secret for secret in secrets if secret.encode() in content] == [], name
        assert any(name.endswith("opt/venv/bin/python") for name in names)
        left = [name for name in names if any(part in name for part in ("run/build/", "pip_conf", "root/.cache/pip/"))]
        assert left == []

    # Both run as the same user, may write what they must, and have their command on the path.
    for image, folders in ((images.label_studio, "/label-studio/data"), (images.sam2, "/models /cache")):
        assert run(image, "sh", "-c", 'id -u; id -g; id -un; cd "$HOME" && touch x && echo home') == (
            "61041\n61041\nlabelrig\nhome"
        )
        assert run("--user=61060:61060", image, "id", "-un") == "labelrig"
        assert left_behind(image) == ""
        assert run(image, "sh", "-c", f"for f in {folders}; do touch $f/x || exit 1; done; echo all") == "all"
    assert run(images.label_studio, "label-studio") == "stand-in"
    assert run(images.sam2).startswith("backend of ")
    version = "import sam2, torch, importlib.metadata; print(importlib.metadata.version('torch'))"
    assert run(images.sam2, "python", "-c", version) == "2.13.0+cpu", "the build on the disk, not that of the index"
    with closing(engine_client(LocalHost())) as client:
        labels = {image.labels["org.labelrig.base"] for image in map(client.images.get, images.tags.values())}
    assert labels == {"debootstrap"}


def test_a_build_that_fails_is_one_error_with_its_last_lines(tree: Path, lab: Lab, project: str, base: str) -> None:
    lab.files.clear()
    host, report = LocalHost(), Report()
    images = plan_images(
        host,
        tree,
        Settings.model_validate({"LABELRIG_PROJECT": project}),
        report,
        choice="debootstrap",
        services=OF_PIP,
    )
    with pytest.raises(HostError) as caught:
        converge(images_role(host, images, report), report)
    assert str(caught.value).startswith(
        "the images could not be built (label-studio and sam2); the last lines of the build:\n"
    )
    assert "No matching distribution found for" in str(caught.value)
    assert not any(login in str(caught.value) for login in ("index-secret-4711", "proxy-secret-0815"))


def with_another_base(tree: Path) -> Path:
    """Change the recipe of our own base image, so that nothing on the machine decides what to build on."""
    with (tree / IMAGES / "base" / "finish.sh").open("a") as recipe:
        recipe.write(f"# {uuid4().hex}\n")
    return tree


def test_without_a_registry_our_own_base_is_chosen(tree: Path, project: str, base: str) -> None:
    settings = Settings.model_validate({"LABELRIG_PROJECT": project})
    at_hand = plan_images(LocalHost(), tree, settings, Report(), official=NOWHERE, services=OF_PIP)
    assert (at_hand.base.choice, at_hand.base.sam2) == ("debootstrap", base)
    asked = plan_images(LocalHost(), with_another_base(tree), settings, Report(), official=NOWHERE, services=OF_PIP)
    assert asked.base.choice == "debootstrap"
    assert asked.base.sam2 != base


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[int]:
    """Debian's docker-registry on a free port of the loopback, unpacked only, never installed."""
    package = folder / "package"
    package.mkdir()
    subprocess.run(
        ["apt-get", "-o", "APT::Sandbox::User=root", "download", "docker-registry"],
        cwd=package, check=True, capture_output=True, timeout=120, env=DIRECT,
    )  # fmt: skip
    (deb,) = package.glob("*.deb")
    output("dpkg-deb", "-x", str(deb), str(package / "root"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    config = folder / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'store'}}}}}\n"
    )
    log = (folder / "registry.log").open("wb")
    process = subprocess.Popen(
        [package / "root" / "usr" / "bin" / "docker-registry", "serve", config], stdout=log, stderr=log
    )
    try:
        for _ in range(1000):
            with contextlib.suppress(OSError), closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as ask:
                ask.request("GET", "/v2/")
                assert ask.getresponse().status == 200
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                raise AssertionError((folder / "registry.log").read_text())
        yield port
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def test_published_images_are_used_where_a_registry_answers(
    tree: Path, lab: Lab, project: str, base: str, tmp_path: Path
) -> None:
    """Published images are pulled and built on where a registry answers."""
    host, report = LocalHost(), Report()
    settings = Settings.model_validate({"LABELRIG_PROJECT": project})
    stand_in = tmp_path / "stand-in"
    stand_in.mkdir()
    (stand_in / "Dockerfile").write_text(
        f"FROM {base}\n"
        "RUN echo '#!/bin/sh\\necho official' >/usr/local/bin/label-studio && chmod 755 /usr/local/bin/label-studio\n"
        "RUN mkdir -p /label-studio/data && chown 1001:0 /label-studio/data && cp /bin/true /usr/bin/as-root "
        "&& chmod 4755 /usr/bin/as-root\n"
        'USER 1001\nENTRYPOINT ["/no/such/entrypoint"]\nCMD ["label-studio"]\n'
    )
    with registry(tmp_path) as port:
        studio, python = f"127.0.0.1:{port}/label-studio:1.23.2", f"127.0.0.1:{port}/python:3.11"
        with closing(engine_client(LocalHost(), 120)) as client:
            client.images.build(path=str(stand_in), tag=studio, rm=True, forcerm=True)
        output("docker", "tag", base, python)
        said = {name: output("docker", "push", name) for name in (studio, python)}
        official = OfficialImages(
            *(f"{name}@{said[name].rpartition('digest: ')[2].split()[0]}" for name in (studio, python))
        )
        output("docker", "rmi", studio, python)
        images = plan_images(host, with_another_base(tree), settings, report, official=official, services=OF_PIP)
        assert images.base.choice == "official"
        try:
            assert converge(images_role(host, images, report), report) == 3
        finally:
            output("docker", "rmi", "--force", official.label_studio, official.python)
    assert "/simple/label-studio/" not in lab.served
    assert run(images.label_studio, "label-studio") == "official"
    assert run(images.label_studio, "sh", "-c", "id -un; touch /label-studio/data/x && echo ok") == "labelrig\nok"
    assert left_behind(images.label_studio) == ""
    assert run(images.sam2).startswith("backend of ")

    # The registry is gone by now: what is there already decides, and nothing is built again.
    again = plan_images(host, tree, settings, report, official=official, services=OF_PIP)
    assert again.tags == images.tags
    assert converge(images_role(host, again, report), report) == 0


def test_only_unused_images_of_the_project_are_removed(tree: Path, project: str, base: str) -> None:
    """Only the images of the project that no container uses are removed."""
    host, report = LocalHost(), Report()
    images = plan_images(
        host,
        tree,
        Settings.model_validate({"LABELRIG_PROJECT": project}),
        report,
        choice="debootstrap",
        services=OF_PIP,
    )
    converge(images_role(host, images, report), report)
    container = output("docker", "create", images.sam2).strip()
    try:
        assert remove_images(LocalHost(), project) == [images.label_studio]
    finally:
        output("docker", "rm", container)
    assert remove_images(LocalHost(), project) == [images.sam2]
    assert remove_images(LocalHost(), project) == []
    with closing(engine_client(LocalHost())) as client:
        assert client.images.get(base).id
