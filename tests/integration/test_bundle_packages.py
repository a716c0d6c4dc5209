"""The Debian packages of a bundle, with a real apt and a mirror of the test's own."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.errors import CommandFailed, HostError
from core.report import Report
from infra.bundling.packages import PackageSet
from infra.bundling.systems import TargetSystem
from tests.debian_mirror import DebianMirror, MachineOfMirror
from tests.nvidia_shim.repository import Signer

pytestmark = pytest.mark.skipif(
    not (shutil.which("apt-get") and shutil.which("gpg")), reason="needs apt, and gpg to sign the mirror"
)
RELEASE = {"docker.io": "20.10", "containerd": "1.6", "docker-compose": "1.29", "apparmor": "3.0", "music": "1"}
SECURITY = {"ca-certificates": "20250419", "libcrypt1": "1:4.4.33"}
NEEDS = {"docker.io": "containerd, libcrypt1 (>= 1:4.4)"}
NEXT = {"docker-compose": "2.26", "containerd": "1.7", "docker.io": "26.1"}


@dataclass(frozen=True)
class Debian12(TargetSystem):
    """Debian 12 with the test's key."""

    key: str = ""

    @property
    def keyring(self) -> str:
        return self.key


class Bench:
    def __init__(self, folder: Path, signer: Signer) -> None:
        self.mirror = DebianMirror(folder / "mirror", signer)
        self.mirror.publish("bookworm", RELEASE, NEEDS)
        self.mirror.publish("bookworm-security", SECURITY)
        self.mirror.publish("trixie", NEXT)
        self.folder = folder / "a stick" / "out.tar.parts"
        self.folder.mkdir(parents=True)
        self.apt = folder / "cache" / "apt"
        self.key = str(self.mirror.keyring)

    @property
    def packages(self) -> PackageSet:
        system = Debian12("debian", "12", "bookworm", "3.11", self.key)
        machine = MachineOfMirror(self.mirror)
        return PackageSet(machine, system, "x86_64", self.folder, self.apt, Report(io.StringIO()))

    def downloaded(self) -> list[str]:
        return [path for path in self.mirror.asked if path.endswith(".deb")]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    one = Signer(tmp_path_factory.mktemp("signer") / "gnupg")
    yield one
    one.close()


@pytest.fixture
def bench(tmp_path: Path, signer: Signer) -> Iterator[Bench]:
    one = Bench(tmp_path, signer)
    with one.mirror.served():
        yield one


def test_holds_what_is_needed_and_only_that(bench: Bench) -> None:
    """Dependencies, security fixes, and of the next release compose alone; apt takes them from the folder."""
    found = bench.packages.find()
    expected = {"docker.io": "20.10", "containerd": "1.6", "docker-compose": "2.26", "apparmor": "3.0", **SECURITY}
    assert {one.name: one.version for one in found} == expected
    bench.packages.fetch(found)
    index = (bench.folder / "packages" / "Packages").read_text()
    files = re.findall(r"^Filename: \./(\S+)$", index, re.MULTILINE)
    assert {path.name for path in (bench.folder / "packages").iterdir()} == {"Packages", *files}
    assert "libcrypt1_4.4.33_amd64.deb" in files
    assert (bench.folder / "packages/docker-compose_2.26_amd64.deb").read_bytes() == b"docker-compose 2.26"


def test_a_stick_without_links_and_modes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """exFAT and vfat have no links, and a mode of 0600 means nothing there: what holds logins lies elsewhere."""

    def refuse(*_arguments: object, **_more: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    packages = bench.packages
    packages.fetch(packages.find())
    assert [path.name for path in bench.folder.iterdir()] == ["packages"]
    assert (bench.folder / "packages/containerd_1.6_amd64.deb").read_bytes() == b"containerd 1.6"
    assert not any(path.is_symlink() for path in bench.folder.rglob("*"))


def test_what_was_fetched_before_is_kept(bench: Bench) -> None:
    packages = bench.packages
    packages.fetch(packages.find())
    before = bench.downloaded()
    assert before
    again = bench.packages
    again.fetch(again.find())
    assert bench.downloaded() == before


def test_a_newer_package_takes_the_place_of_the_older(bench: Bench) -> None:
    packages = bench.packages
    packages.fetch(packages.find())
    bench.mirror.publish("bookworm-security", {**SECURITY, "docker.io": "20.11"}, NEEDS)
    packages = bench.packages
    packages.fetch(packages.find())
    names = [path.name for path in (bench.folder / "packages").iterdir()]
    assert [name for name in names if name.startswith("docker.io")] == ["docker.io_20.11_amd64.deb"]


def test_a_package_that_is_not_what_was_signed(bench: Bench) -> None:
    """apt refuses it, and nothing of it is in the folder."""
    found = bench.packages.find()
    bench.mirror.pool("bookworm", "containerd").write_bytes(b"containerd 1.X")
    with pytest.raises(CommandFailed, match=r"Hash Sum mismatch"):
        bench.packages.fetch(found)
    assert not (bench.folder / "packages").exists()


def test_a_damaged_file_of_before_is_fetched_anew(bench: Bench) -> None:
    packages = bench.packages
    found = packages.find()
    packages.fetch(found)
    kept = bench.apt / "cache/archives/containerd_1.6_amd64.deb"
    kept.unlink()
    kept.write_bytes(b"containerd 1.X")
    with pytest.raises(HostError, match=r"^containerd_1.6_amd64.deb: what was downloaded is not what the suites have"):
        packages.fetch(found)
    packages.fetch(found)
    assert (bench.folder / "packages/containerd_1.6_amd64.deb").read_bytes() == b"containerd 1.6"


def test_a_missing_dependency_is_found_here(bench: Bench) -> None:
    bench.mirror.publish("bookworm", RELEASE, {"docker.io": "containerd, not-there"})
    with pytest.raises(CommandFailed, match=r"(?s)docker.io : Depends: not-there but it is not installable"):
        bench.packages.find()


def test_keys_that_are_not_here_are_named(bench: Bench) -> None:
    bench.key = "/usr/share/keyrings/none.gpg"
    with pytest.raises(HostError, match=r"not on this machine \(/usr/.*none.gpg\): install debian-archive-keyring"):
        bench.packages.find()
