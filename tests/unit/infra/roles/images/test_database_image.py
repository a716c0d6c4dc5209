"""The image of the database server: what it is built from, and what a build is lent."""

from __future__ import annotations

import shutil
import stat
import sys
from pathlib import Path

import pytest

from core.repository import REPOSITORY
from infra.roles.docker.apt import NO_CACHE
from infra.roles.images.apt_settings import apt_conf, read_apt_settings
from infra.roles.images.context import staged
from infra.roles.images.pip_settings import CA_BUNDLE_VARIABLES
from infra.roles.images.tags import DB, IMAGES, Base, context_files, image_tags
from tests.fakes import FakeHost

BASE = Base("debootstrap", "labelrig/base:b", "labelrig/base:b")
FIELDS = "$(REPO_URI)|$(CODENAME)|$(COMPONENT)|$(LABEL)"
AUTH = "cat /etc/apt/auth.conf /etc/apt/auth.conf.d/*.conf 2>/dev/null"
NO_SECURITY = "https://mirror.lab/debian/|bookworm|main|Debian\n"


def machine(sources: str, auth: str = "", proxy: str = "", name: str = "mirror.lab") -> FakeHost:
    host = FakeHost()
    host.script("apt-get", *NO_CACHE, "indextargets", "--format", FIELDS, "Created-By: Packages", stdout=sources)
    host.script("sh", "-c", AUTH, stdout=auth)
    for scheme in ("http", "https"):
        keys = (f"Acquire::{scheme}::Proxy::{name}", "general", f"Acquire::{scheme}::Proxy")
        answer = f"general='{proxy}'\n" if proxy and scheme == "http" else ""
        host.script("apt-config", "shell", "special", *keys, stdout=answer)
    return host


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CA_BUNDLE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_the_machines_mirror_login_and_proxy_come_to_the_build() -> None:
    sources = (
        "https://mirror.lab/debian/|bookworm|main|Debian\n"
        "https://mirror.lab/debian/|bookworm-updates|main|Debian\n"
        "https://safe.lab/debian-security/|bookworm-security|main|Debian-Security\n"
        "https://mirror.lab/debian/|trixie|main|Debian\n"
    )
    auth = "machine mirror.lab login reader password word-1\nmachine https://safe.lab login s password word-2\n"
    files = read_apt_settings(machine(sources, auth, "http://me:pass@proxy.lab:3128"), "/run/build/ca.crt")
    assert files["sources.list"] == (
        "deb https://mirror.lab/debian/ bookworm main\n"
        "deb https://mirror.lab/debian/ bookworm-updates main\n"
        "deb https://safe.lab/debian-security/ bookworm-security main\n"
    )
    assert files["auth.conf"] == (
        "machine https://mirror.lab/debian/ login reader password word-1\n"
        "machine https://safe.lab/debian-security/ login s password word-2\n"
    )
    assert 'Acquire::http::Proxy "http://me:pass@proxy.lab:3128";\n' in files["apt.conf"]
    assert 'Acquire::https::CaInfo "/run/build/ca.crt";\n' in files["apt.conf"]
    assert "word-" not in files["apt.conf"] + files["sources.list"]


def test_a_mirror_with_updates_has_them_for_each_release() -> None:
    """A machine of another release has a mirror of Debian's; its security archive is asked for where apt names one."""
    sources = "https://mirror.lab/debian/|trixie|main|Debian\nhttps://mirror.lab/debian/|trixie-updates|main|Debian\n"
    assert read_apt_settings(machine(sources), None)["sources.list"] == (
        "deb https://mirror.lab/debian/ bookworm main\ndeb https://mirror.lab/debian/ bookworm-updates main\n"
    )
    assert read_apt_settings(machine(NO_SECURITY), None)["sources.list"] == (
        "deb https://mirror.lab/debian/ bookworm main\n"
    )


@pytest.mark.parametrize(
    "sources",
    ["http://archive.ubuntu.com/ubuntu/|noble|main|Ubuntu\n", "file:/srv/mirror/|bookworm|main|Debian\n"],
    ids=["another distribution", "a mirror in a folder, which the build does not see"],
)
def test_without_a_mirror_that_fits_it_is_that_of_debootstrap(sources: str) -> None:
    host = machine(sources, name="usual.mirror")
    host.files["/usr/share/debootstrap/scripts/bookworm"] = (
        b"case $ARCH in\ndefault_mirror http://usual.mirror/debian\n"
    )
    files = read_apt_settings(host, None)
    assert files["sources.list"] == (
        "deb http://usual.mirror/debian bookworm main\n"
        "deb http://usual.mirror/debian bookworm-updates main\n"
        "deb http://usual.mirror/debian-security bookworm-security main\n"
    )
    assert "CaInfo" not in files["apt.conf"]


def test_without_apt_builds_from_published_images_sources() -> None:
    """A machine without apt builds from the sources of the published image."""
    host = FakeHost()
    host.script("apt-get", *NO_CACHE, "indextargets", "--format", FIELDS, "Created-By: Packages", exit_code=127)
    files = read_apt_settings(host, None)
    assert "Dir::Etc::SourceList" not in files["apt.conf"]
    assert "Acquire::Retries" in files["apt.conf"]


def test_a_mirror_that_goes_past_the_proxy_does_so_in_the_build() -> None:
    text = apt_conf({"http_proxy": "http://proxy.lab:1", "no_proxy": "mirror.lab, other.lab"}, None)
    assert 'Acquire::http::Proxy::mirror.lab "DIRECT";\n' in text
    assert 'Acquire::https::Proxy::other.lab "DIRECT";\n' in text


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(
        REPOSITORY / IMAGES,
        tmp_path / IMAGES,
    )
    shutil.copytree(REPOSITORY / "requirements", tmp_path / "requirements")
    shutil.copyfile(REPOSITORY / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


def test_tag_names_the_version_that_the_image_keeps(tree: Path) -> None:
    """The tag names the version that the image refuses to leave."""
    tag = image_tags(tree, BASE, [DB])[DB]
    assert tag.startswith("labelrig/postgres:15-")
    assert "\nmajor=15\n" in (tree / "infra/roles/images/dockerfiles/postgres/run.sh").read_text()
    assert "postgresql-15 " in (tree / "infra/roles/images/dockerfiles/postgres/Dockerfile").read_text()


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("infra/roles/images/dockerfiles/postgres/run.sh", True),
        ("infra/roles/images/dockerfiles/postgres/pg_hba.conf", True),
        ("infra/roles/images/dockerfiles/apt-install.sh", True),
        ("infra/roles/images/dockerfiles/make-user.sh", True),
        ("infra/roles/images/dockerfiles/pip-install.sh", False),
        ("requirements/label-studio.lock", False),
    ],
)
def test_the_image_is_built_anew_for_what_is_in_it(tree: Path, path: str, changes: bool) -> None:
    before = image_tags(tree, BASE, [DB])
    with (tree / path).open("a") as file:
        file.write("\n# changed\n")
    assert (image_tags(tree, BASE, [DB]) != before) == changes


def test_build_gets_logins_as_secrets_and_every_file(tree: Path) -> None:
    """A build gets logins as secrets and every file of the image."""
    host = machine(NO_SECURITY, "machine mirror.lab login reader password word-1\n")
    host.script(sys.executable, "-m", "pip", "config", "list", stdout="")
    with staged(host, tree, BASE, image_tags(tree, BASE, [DB]), [DB], "mine") as folder:
        root = Path(folder)
        seen = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
        assert [name for name, path in seen.items() if b"word-1" in path.read_bytes()] == ["auth.conf"]
        for name in ("apt.conf", "auth.conf", "sources.list"):
            assert stat.S_IMODE(seen[name].stat().st_mode) == 0o600
        assert {name.removeprefix("db/") for name in seen if name.startswith("db/")} == {
            *context_files(tree, DB),
            "build/wheels/index.html",
        }
        variables = seen["build.env"].read_text()
        assert "DB_BASE='labelrig/base:b'\n" in variables
        assert "SAM2_IMAGE='not-wanted'\n" in variables
