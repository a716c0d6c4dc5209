"""Whether a machine can find the server of its packages by name."""

from __future__ import annotations

import pytest

from core.errors import CommandTimedOut
from infra.roles.docker.apt import NO_CACHE
from infra.roles.preflight.outbound import outbound_problems, package_server
from tests.fakes import FakeHost

FIELDS = "$(REPO_URI)|$(CODENAME)|$(COMPONENT)|$(LABEL)"
NEVER_FETCHED = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)"
INDEXES = ("apt-get", *NO_CACHE, "indextargets", "--format", FIELDS, "Created-By: Packages")


@pytest.fixture(autouse=True)
def no_proxy_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def machine(*uris: str, proxy: str = "", name: str = "deb.lab") -> FakeHost:
    """A machine whose apt uses these indexes, through a proxy for http where one is given."""
    host = FakeHost()
    host.script(*INDEXES, stdout="".join(f"{uri}|bookworm|main|Debian\n" for uri in uris))
    host.script(
        "apt-get", *NO_CACHE, "indextargets", "--no-release-info", "--format", NEVER_FETCHED, "Created-By: Packages"
    )
    for scheme in ("http", "https"):
        host.script(
            "apt-config", "shell",
            "special", f"Acquire::{scheme}::Proxy::{name}",
            "general", f"Acquire::{scheme}::Proxy",
            stdout=f"general='{proxy}'\n" if proxy and scheme == "http" else "",
        )  # fmt: skip
    return host


@pytest.mark.parametrize(
    ("uris", "proxy", "name"),
    [
        (["http://deb.lab/debian/"], "", "deb.lab"),
        (["https://deb.lab:8443/debian/"], "", "deb.lab"),
        (["http://me:secret@deb.lab/debian/"], "", "deb.lab"),
        (["file:///srv/debian/", "cdrom:[x]/", "http://deb.lab/debian/"], "", "deb.lab"),
        (["http://deb.lab/debian/"], "http://proxy.lab:3142", "proxy.lab"),
        (["http://deb.lab/debian/"], "http://me:secret@proxy.lab:3142/", "proxy.lab"),
        (["http://deb.lab/debian/"], "proxy.lab:3142", "proxy.lab"),
        (["http://deb.lab/debian/"], "http://10.0.0.7:3142", None),
        (["http://deb.lab/debian/"], "http://[fd00::7]:3142", None),
        (["http://deb.lab/debian/"], "DIRECT", "deb.lab"),
        (["https://deb.lab/debian/"], "http://proxy.lab:3142", "deb.lab"),  # that proxy is for http
        (["file:///srv/debian/"], "", None),
        ([], "", None),
    ],
)
def test_name_is_that_of_the_mirror_or_its_proxy(uris: list[str], proxy: str, name: str | None) -> None:
    """The name is that of the mirror or of the proxy in front of it."""
    assert package_server(machine(*uris, proxy=proxy)) == name


def test_an_address_that_is_a_number_needs_no_name() -> None:
    assert package_server(machine("http://10.0.0.5/debian/", name="10.0.0.5")) is None


def test_server_without_package_lists_is_checked_too() -> None:
    """A server whose package lists were never fetched is checked too."""
    host = machine()
    host.script(
        *("apt-get", *NO_CACHE, "indextargets", "--no-release-info", "--format", NEVER_FETCHED, "Created-By: Packages"),
        stdout="http://deb.lab/debian/|bookworm|main|/usr/share/keyrings/debian-archive-keyring.gpg\n",
    )
    assert package_server(host) == "deb.lab"


def test_a_machine_without_apt_is_not_asked_further() -> None:
    host = FakeHost()
    host.script(*INDEXES, exit_code=127)
    assert outbound_problems(host) == []
    assert host.commands == [INDEXES]


def test_a_name_that_is_found_is_no_problem() -> None:
    host = machine("http://deb.lab/debian/")
    host.script("getent", "ahosts", "deb.lab", stdout="10.0.0.5 STREAM deb.lab\n")
    assert outbound_problems(host) == []


@pytest.mark.parametrize("silent", [False, True])
def test_unknown_name_is_one_problem_with_a_next_step(silent: bool) -> None:
    """A name that is not found is one problem that says what to do."""
    host = machine("http://deb.lab/debian/")
    host.script("getent", "ahosts", "deb.lab", exit_code=2)
    if silent:
        host.answers["getent", "ahosts", "deb.lab"] = CommandTimedOut("no answer in 20 s")
    assert outbound_problems(host) == [
        "the name deb.lab cannot be resolved, and packages must come from there; check DNS there "
        "(/etc/resolv.conf, `getent ahosts NAME`), or set a proxy for apt"
    ]


def test_a_machine_that_needs_no_name_is_not_asked_for_one() -> None:
    host = machine("file:///srv/debian/")
    assert outbound_problems(host) == []
    assert not any(command[0] == "getent" for command in host.commands)
