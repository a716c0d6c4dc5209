"""The parts of a bundle: for which system, which packages, wheels and weights."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
import yaml

from core.errors import SettingsError
from core.repository import REPOSITORY
from infra.bundling.packages import ADDRESS, _package
from infra.bundling.systems import SYSTEMS, target_system
from infra.bundling.weights import named_models, weight_files, weight_sizes
from infra.bundling.wheels import LOCK, requirements_for, tags_of
from infra.roles.docker.apt import NO_CACHE
from infra.roles.images.wheels import read_pins
from tests.fakes import FakeHost


def names_in(text: str) -> dict[str, str]:
    return {pin.requirement.name: str(pin.requirement.specifier) for pin in read_pins(text)}


def test_the_lock_counts_as_for_the_python_it_is_for() -> None:
    """Whatever Python runs this."""
    lock = (
        "deprecated==1.3.1 ; python_full_version < '3.12' \\\n    --hash=sha256:" + "1" * 64 + "\n"
        "deprecated==3.0.1 ; python_full_version >= '3.12' \\\n    --hash=sha256:" + "2" * 64 + "\n"
        "pywin32==312 ; sys_platform == 'win32' \\\n    --hash=sha256:" + "3" * 64 + "\n"
        "cffi==2.1.1 ; platform_python_implementation != 'PyPy' \\\n"
        "    --hash=sha256:" + "5" * 64 + " \\\n    --hash=sha256:" + "4" * 64 + "\n    # via cryptography\n"
    )
    cffi = f"cffi==2.1.1 --hash=sha256:{'4' * 64} --hash=sha256:{'5' * 64}\n"
    assert requirements_for(lock, "3.11", "x86_64") == f"deprecated==1.3.1 --hash=sha256:{'1' * 64}\n{cffi}"
    assert requirements_for(lock, "3.13", "x86_64") == f"deprecated==3.0.1 --hash=sha256:{'2' * 64}\n{cffi}"


def test_every_pin_of_our_lock_is_there_but_those_of_windows() -> None:
    lock = (REPOSITORY / LOCK).read_text()
    left_out = set(names_in(lock)) - set(names_in(requirements_for(lock, "3.12", "x86_64")))
    assert left_out == {"colorama", "pywin32"}


def test_wheels_of_another_python() -> None:
    tags = tags_of("3.12", "aarch64")
    pairs = list(zip(tags[::2], tags[1::2], strict=True))
    assert pairs[:5] == [
        ("--python-version", "3.12"), ("--implementation", "cp"),
        ("--abi", "cp312"), ("--abi", "abi3"), ("--abi", "none"),
    ]  # fmt: skip
    assert {value for name, value in pairs if name == "--platform"} >= {
        "manylinux_2_35_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64", "linux_aarch64"
    }  # fmt: skip


def test_apt_names_files_with_and_without_a_checksum() -> None:
    """As apt 2.6 prints them: the index of an archive with SHA256 alone leaves nothing behind the size."""
    printed = (
        "Reading package lists...\n"
        "'http://m/debian/pool/main/g/glibc/libc6_2.36-9%2bdeb12u14_amd64.deb' libc6_2.36-9+deb12u14_amd64.deb "
        "2759320 MD5Sum:8d98f0c882f269aaee8437bcfe89346e\n"
        "'http://m/security/pool/updates/main/p/passwd_4.13_amd64.deb' passwd_1%3a4.13+dfsg1-1_amd64.deb 972180 \n"
    )
    found = [_package(name, int(size)) for name, size in ADDRESS.findall(printed)]
    assert [(one.name, one.version, one.size) for one in found] == [
        ("libc6", "2.36-9+deb12u14", 2759320),
        ("passwd", "1:4.13+dfsg1-1", 972180),
    ]
    assert [one.name_in_bundle for one in found] == ["libc6_2.36-9+deb12u14_amd64.deb", "passwd_4.13+dfsg1-1_amd64.deb"]


def test_the_systems_are_those_that_docker_is_installed_on() -> None:
    assert all(one.distribution.is_supported for one in SYSTEMS.values())
    assert set(SYSTEMS) == {"debian12", "debian13", "ubuntu22.04", "ubuntu24.04"}
    with pytest.raises(SettingsError, match=r"^--for debian11: must be one of debian12, debian13, ubuntu22.04, ubuntu"):
        target_system("debian11")


def test_packages_of_ubuntu_come_from_its_usual_mirror() -> None:
    """On a Debian; what apt is told of proxies and certificates is the machine's own."""
    host = FakeHost()
    system = target_system("ubuntu24.04")
    host.script(
        *("apt-get", *NO_CACHE, "indextargets", "--format", "$(REPO_URI)|$(CODENAME)|$(COMPONENT)|$(LABEL)"),
        "Created-By: Packages",
        stdout="http://m/debian/|bookworm|main|Debian\n",
    )
    for scheme in ("http", "https"):
        general = ("general", f"Acquire::{scheme}::Proxy")
        host.script("apt-config", "shell", "special", f"Acquire::{scheme}::Proxy::archive.ubuntu.com", *general)
    files = system.apt_files(host, None, PurePosixPath("/f"), "amd64")
    assert files["sources.list"].splitlines() == [
        f"deb http://archive.ubuntu.com/ubuntu noble{suite} main universe" for suite in ("", "-updates", "-security")
    ]


def test_models_by_name() -> None:
    assert named_models(["demo"]) == ()
    assert named_models(["tiny", "demo", "large", "tiny"]) == ("tiny", "large")
    for wrong in ("auto", "huge"):
        with pytest.raises(SettingsError, match=rf"^--model {wrong}: must be one of demo, tiny, small, base-plus, "):
            named_models([wrong])


def test_weights_are_those_of_the_backends_table() -> None:
    table = yaml.safe_load((REPOSITORY / "backend/models.yaml").read_text())["models"]
    names = [name for name, one in table.items() if not one.get("shipped")]
    assert weight_files(REPOSITORY, names) == {name: table[name]["file"] for name in names}
    assert weight_sizes(REPOSITORY, ["tiny", "base-plus"]) == {"tiny": 156008466, "base-plus": 0}
