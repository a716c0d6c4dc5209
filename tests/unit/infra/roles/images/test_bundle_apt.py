"""apt on a bare host: the packages of a bundle, and nothing of the host's own sources."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from core.errors import HostError
from core.report import Report
from hosts.base import Result
from infra.roles.docker.apt import ENVIRONMENT, LISTS_ARE_HELD, OPTIONS
from infra.roles.docker.client import EngineState
from infra.roles.docker.packages import EnginePackages
from infra.roles.images.bundle_apt import FOLDERS, BundleApt, options_of
from infra.roles.images.work_folder import REMOVE
from tests.fakes import FakeHost
from tests.unit.infra.bundle.making import PARTS, made
from tests.unit.infra.roles.docker.test_packages import bare

FOLDER = "/var/tmp/labelrig-bundle.labelrig.abc"
MAKE = ("mktemp", "-d", "-p", "/var/tmp", "labelrig-bundle.labelrig.XXXXXXXX")
UNPACK = ("tar", "--extract", "--no-same-owner", "--directory", FOLDER)


class Bare(FakeHost):
    """Keeps what it was sent."""

    sent = b""

    def run(self, *argv: str, **how: Any) -> Result:
        if argv == UNPACK:
            assert how["as_root"]
            self.sent = how["stdin"].read()
        return super().run(*argv, **how)


def apt_get(*words: str) -> tuple[str, ...]:
    return (*ENVIRONMENT, "apt-get", *OPTIONS, *options_of(FOLDER), *words)


@pytest.fixture
def host() -> Bare:
    one = Bare()
    one.script(*MAKE, stdout=f"{FOLDER}\n")
    one.script(*UNPACK)
    one.script("mkdir", "-p", *(f"{FOLDER}/{name}" for name in FOLDERS))
    one.script(*apt_get("update"))
    one.script(*apt_get("install", "--simulate", "docker.io"))
    one.script(*apt_get("install", "docker.io"))
    return one


def removed(host: FakeHost) -> bool:
    return host.commands[-1][0] == "sh" and host.commands[-1][-1] == FOLDER


def allow_removal(host: FakeHost) -> None:
    host.script("sh", "-c", REMOVE, "sh", FOLDER)


def test_sends_the_packages_and_installs_from_them(host: Bare, tmp_path: Path) -> None:
    allow_removal(host)
    BundleApt(host, Report(io.StringIO()), made(tmp_path), "labelrig").install(["docker.io"])
    with tarfile.open(fileobj=io.BytesIO(host.sent)) as tar:
        assert tar.getnames() == sorted(name for name in PARTS if name.startswith("packages/"))
    assert host.files == {f"{FOLDER}/sources.list": f"deb [trusted=yes] file:{FOLDER}/packages ./\n".encode()}
    assert removed(host)


def test_a_second_installation_reads_its_own_folder(host: Bare, tmp_path: Path) -> None:
    allow_removal(host)
    apt = BundleApt(host, Report(io.StringIO()), made(tmp_path), "labelrig")
    apt.install(["docker.io"])
    apt.install(["docker.io"])
    assert host.commands.count(apt_get("update")) == 2


def test_what_it_lacks_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    host = FakeHost()
    apt = BundleApt(host, Report(io.StringIO()), made(tmp_path), "labelrig")
    with pytest.raises(HostError, match=r"^fake host: the bundle has no package ca-certificates, apparmor$"):
        apt.install(["docker.io", "ca-certificates", "apparmor"])
    assert host.commands == []


def test_a_failure_says_how_old_the_packages_are(host: Bare, tmp_path: Path) -> None:
    allow_removal(host)
    host.script(*apt_get("install", "--simulate", "docker.io"), exit_code=100, stderr="E: unmet dependencies\n")
    with pytest.raises(HostError, match=r"(?s)unmet dependencies.*as its mirror when it was made \(2026-11-30\)"):
        BundleApt(host, Report(io.StringIO()), made(tmp_path), "labelrig").install(["docker.io"])
    assert removed(host)


def test_a_failed_update_names_no_source_of_the_host(
    host: Bare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not used; nor does another apt hold the lists, which are in our folder."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    allow_removal(host)
    host.script(*apt_get("update"), exit_code=100, stderr="E: Syntax error /etc/apt/apt.conf.d/99lab:1\n")
    host.script("sh", "-c", LISTS_ARE_HELD, "sh", f"{FOLDER}/lists/lock", exit_code=1)
    with pytest.raises(HostError, match=r"apt.conf.d\), then repeat the command.*\n    E: Syntax error") as raised:
        BundleApt(host, Report(io.StringIO()), made(tmp_path), "labelrig").install(["docker.io"])
    assert "/etc/apt/sources.list" not in str(raised.value)
    assert "make the bundle again" not in str(raised.value)
    assert removed(host)


def test_the_engine_of_debian_12_needs_no_other_source(tmp_path: Path) -> None:
    """Compose of the next release is in the bundle: no source and no pin is written."""
    host = bare("debian 12")
    apt = BundleApt(host, Report(io.StringIO()), made(tmp_path), "labelrig")
    (change,) = EnginePackages(host, Report(io.StringIO()), apt, lambda: EngineState.SILENT).plan()
    assert change.summary == "install docker.io, docker-compose with apt"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is sent to a host, with the package `only-here`, read by the real apt of a Debian or Ubuntu."""
    folder = tmp_path / "work"
    for name in ("packages", *FOLDERS):
        (folder / name).mkdir(parents=True)
    (folder / "packages" / "Packages").write_text(
        "Package: only-here\nVersion: 1\nArchitecture: all\nMaintainer: x\nFilename: ./x.deb\nSize: 1\n"
        f"SHA256: {'0' * 64}\nDescription: x\n"
    )
    (folder / "sources.list").write_text(f"deb [trusted=yes] file:{folder}/packages ./\n")
    try:
        subprocess.run(("apt-get", *options_of(str(folder)), "update"), check=True, capture_output=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("needs apt")
    return folder


def test_apt_reads_nothing_but_the_folder(folder: Path) -> None:
    shown = subprocess.run(
        ("apt-cache", *options_of(str(folder)), "dumpavail"), check=True, capture_output=True, text=True, timeout=60
    ).stdout
    assert [line for line in shown.splitlines() if line.startswith("Package:")] == ["Package: only-here"]


def test_a_default_release_of_the_host_does_not_count(folder: Path, tmp_path: Path) -> None:
    settings = tmp_path / "apt.conf"
    settings.write_text('APT::Default-Release "bookworm";\n')
    done = subprocess.run(
        ("apt-get", *options_of(str(folder)), "--simulate", "install", "only-here"),
        env={**os.environ, "APT_CONFIG": str(settings), "LC_ALL": "C.UTF-8"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Inst only-here (1 " in done.stdout
