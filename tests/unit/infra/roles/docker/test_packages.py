from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from core.errors import CommandFailed, HostError
from core.report import Report
from hosts.base import ANY_EXIT_CODE
from hosts.local import LocalHost
from infra.roles.docker.apt import (
    ENVIRONMENT,
    LISTS_ARE_HELD,
    LISTS_LOCK,
    NO_CACHE,
    OPTIONS,
    Apt,
    AptSource,
    parse_plan,
    unwelcome,
)
from infra.roles.docker.client import EngineState
from infra.roles.docker.compose import CANDIDATES, Compose, find_compose
from infra.roles.docker.packages import EnginePackages, debian_mirror
from infra.roles.docker.platform import (
    PREFERENCES_FILE,
    SOURCE_FILE,
    compose_preferences,
    compose_source,
)
from tests.fakes import FakeHost

OS_RELEASE = {
    "debian 12": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n',
    "debian 13": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"\n',
    "ubuntu 24.04": 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n',
    "fedora 42": 'PRETTY_NAME="Fedora Linux 42"\nID=fedora\nVERSION_ID=42\n',
}
SOURCES = (
    "http://mirror.lab/debian/|bookworm|main|Debian\n"
    "http://mirror.lab/debian/|bookworm-updates|main|Debian\n"
    "http://mirror.lab/security/|bookworm-security|main|Debian-Security\n"
)
# As apt 2.6 of Debian 12 says it.
PLAN = """\
NOTE: This is only a simulation!
Inst login [1:4.13+dfsg1-1+deb12u1] (1:4.13+dfsg1-1+deb12u2 Debian:12.15/oldstable [amd64])
Inst runc (1.1.5+ds1-1+deb12u1 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [amd64])
Inst docker-compose (2.26.1-4 Debian:13.6/stable [amd64])
Remv podman [4.3.1+ds1-8]
Conf runc (1.1.5+ds1-1+deb12u1 Debian:12.15/oldstable [amd64])
"""


def script_look(host: FakeHost, *, engine: bool = False, command: bool = False, compose: bool = False) -> None:
    host.script(
        "docker", "--version", exit_code=0 if command else 127, stdout="Docker version 26.1.5\n" if command else ""
    )
    look = 'PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH" command -v "$1"'
    host.script("sh", "-c", look, "sh", "dockerd", exit_code=0 if engine else 127)
    for candidate in CANDIDATES:
        host.script(*candidate, "version", "--short", exit_code=127)
    if compose:
        host.script("docker", "compose", "version", "--short", stdout="2.26.1-4\n")


def script_candidate(host: FakeHost, package: str, candidate: str) -> None:
    host.script(
        "env", "LC_ALL=C.UTF-8", "apt-cache", *NO_CACHE, "policy", package,
        stdout=f"{package}:\n  Installed: (none)\n  Candidate: {candidate}\n" if candidate else "",
    )  # fmt: skip


def bare(system: str) -> FakeHost:
    host = FakeHost()
    host.files["/etc/os-release"] = OS_RELEASE[system].encode()
    host.files["/etc/ssl/certs/ca-certificates.crt"] = b"certificates"
    script_look(host)
    script_candidate(host, "docker-compose-plugin", "")
    fields = "$(REPO_URI)|$(CODENAME)|$(COMPONENT)|$(LABEL)"
    host.script("apt-get", *NO_CACHE, "indextargets", "--format", fields, "Created-By: Packages", stdout=SOURCES)
    return host


def operation(host: FakeHost, state: EngineState = EngineState.SILENT) -> EnginePackages:
    return EnginePackages(host, Report(), ask_engine=lambda: state)


def summaries(host: FakeHost, state: EngineState = EngineState.SILENT) -> list[str]:
    return [change.summary for change in operation(host, state).plan()]


def test_what_is_there_is_used() -> None:
    host = FakeHost()
    script_look(host, engine=True, command=True, compose=True)
    assert operation(host).plan() == []


def test_an_engine_elsewhere_needs_no_daemon_here() -> None:
    host = FakeHost()
    script_look(host, command=True, compose=True)
    assert operation(host, EngineState.ANSWERS).plan() == []


def test_debian_12_takes_compose_from_a_pinned_source() -> None:
    """Debian 12 takes compose from the next release by a pinned source."""
    host = bare("debian 12")
    changes = operation(host).plan()
    assert [change.summary for change in changes] == [
        f"write {PREFERENCES_FILE}",
        f"write {SOURCE_FILE}",
        "install docker.io, docker-compose with apt",
    ]
    for change in changes[:2]:
        change.apply()
    assert host.files[SOURCE_FILE].decode() == compose_source("http://mirror.lab/debian/")
    assert host.files[PREFERENCES_FILE].decode() == compose_preferences()
    assert "URIs: http://mirror.lab/debian/\nSuites: trixie\nComponents: main\n" in host.files[SOURCE_FILE].decode()
    assert summaries(host) == ["install docker.io, docker-compose with apt"]


def test_leaves_an_existing_source_of_the_next_release() -> None:
    """A source of the next release that the administrator made is left alone."""
    host = bare("debian 12")
    fields = "$(REPO_URI)|$(CODENAME)|$(COMPONENT)|$(LABEL)"
    theirs = SOURCES + "http://mirror.lab/debian/|trixie|main|Debian\n"
    host.script("apt-get", *NO_CACHE, "indextargets", "--format", fields, "Created-By: Packages", stdout=theirs)
    assert summaries(host) == ["install docker.io, docker-compose with apt"]


@pytest.mark.parametrize(
    ("system", "packages"),
    [
        ("debian 13", "docker.io, docker-cli, docker-compose"),
        ("ubuntu 24.04", "docker.io, docker-compose-v2, docker-buildx"),
    ],
)
def test_other_systems_have_a_compose_of_their_own(system: str, packages: str) -> None:
    assert summaries(bare(system)) == [f"install {packages} with apt"]


def test_what_the_kernel_and_the_engine_need_comes_too() -> None:
    host = bare("debian 13")
    del host.files["/etc/ssl/certs/ca-certificates.crt"]
    host.files["/sys/module/apparmor/parameters/enabled"] = b"Y\n"
    assert summaries(host) == ["install docker.io, docker-cli, apparmor, ca-certificates, docker-compose with apt"]


def test_beside_dockers_own_packages_comes_their_own_plugin() -> None:
    host = bare("debian 12")
    script_look(host, engine=True, command=True)
    script_candidate(host, "docker-compose-plugin", "2.40.3-1~debian.12~bookworm")
    assert summaries(host) == ["install docker-compose-plugin with apt"]


def test_unknown_system_says_what_to_install() -> None:
    host = bare("fedora 42")
    with pytest.raises(HostError) as caught:
        operation(host).plan()
    assert str(caught.value) == (
        "missing on fake host: Docker Engine, the docker command, Compose v2; labelrig cannot "
        "install it on Fedora Linux 42 (it can on Debian 12 and 13, Ubuntu 22.04 and 24.04): install it by hand, then "
        "repeat the command"
    )


def test_podmans_imitation_is_refused() -> None:
    host = FakeHost()
    host.script("docker", "--version", stdout="podman version 4.3.1\n", stderr="Emulate Docker CLI using podman.\n")
    with pytest.raises(
        HostError, match=r"is Podman's imitation \(podman version 4.3.1\).*remove the package podman-docker"
    ):
        operation(host).plan()


def test_the_mirror_is_this_systems_own() -> None:
    sources = [AptSource(*line.split("|")) for line in SOURCES.splitlines()]
    assert debian_mirror(sources, "host") == "http://mirror.lab/debian/"
    with pytest.raises(HostError, match="host: apt has no source of the Debian archive"):
        debian_mirror(sources[1:], "host")


def test_finds_unrequested_packages_in_apts_plan() -> None:
    """A plan of apt is read, and what was not requested is found."""
    plan = parse_plan(PLAN)
    assert [(package.action, package.name) for package in plan] == [
        ("Inst", "login"), ("Inst", "runc"), ("Inst", "docker-compose"), ("Remv", "podman"),
    ]  # fmt: skip
    assert unwelcome(plan, "13", ["docker-compose"]) == ["remove podman"]
    assert unwelcome(plan, "13", []) == ["install docker-compose 2.26.1-4 of the next release", "remove podman"]
    assert unwelcome(plan[:3], "", []) == []


def apt_get(*args: str) -> tuple[str, ...]:
    return (*ENVIRONMENT, "apt-get", *OPTIONS, *args)


def test_installs_nothing_when_apt_would_take_more() -> None:
    """Nothing is installed when apt would take more of the next release."""
    host = FakeHost()
    script_candidate(host, "docker-compose", "2.26.1-4")
    host.script(
        *apt_get("install", "--simulate", "docker-compose"),
        stdout="Inst libc6 [2.36-9] (2.41-12 Debian:13.6/stable [amd64])\n",
    )
    with pytest.raises(
        HostError, match=r"apt would also install libc6 2.41-12 of the next release; nothing was installed"
    ):
        Apt(host, Report()).install(["docker-compose"], next_version="13", allowed=["docker-compose"])


def test_names_package_unknown_to_apt_after_a_refresh() -> None:
    """A package that apt does not know is named after a refresh."""
    host = FakeHost()
    script_candidate(host, "docker.io", "(none)")
    host.script(*apt_get("update"))
    with pytest.raises(HostError, match=r"fake host: apt knows no package docker.io, also after `apt-get update`"):
        Apt(host, Report()).install(["docker.io"])


def test_refreshes_old_lists_once() -> None:
    """Old lists are refreshed once and the second failure counts."""
    host = FakeHost()
    script_candidate(host, "docker.io", "20.10")
    host.script(*apt_get("install", "--simulate", "docker.io"))
    host.script(*apt_get("install", "docker.io"), exit_code=100, stderr="E: Failed to fetch x.deb  404  Not Found\n")
    host.script(*apt_get("update"))
    with pytest.raises(
        CommandFailed, match=r"exit code 100; its last lines:\n    E: Failed to fetch x.deb  404  Not Found$"
    ):
        Apt(host, Report()).install(["docker.io"])
    assert host.commands.count(apt_get("update")) == 1
    assert host.commands.count(apt_get("install", "docker.io")) == 2


def test_a_broken_source_is_named_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    host = FakeHost()
    host.script(*apt_get("update"), exit_code=100, stderr="E: Malformed entry 1 in list file lab.list (Suite)\n")
    host.script("sh", "-c", LISTS_ARE_HELD, "sh", LISTS_LOCK, exit_code=1)
    with pytest.raises(HostError, match=r"mend what apt names in its sources .*\n    E: Malformed entry 1"):
        Apt(host, Report()).update()
    assert host.commands.count(apt_get("update")) == 2


def test_lists_that_another_apt_holds_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost()
    host.script(*apt_get("update"), exit_code=100, stderr="E: Could not get lock /var/lib/apt/lists/lock.\n")
    host.script("sh", "-c", LISTS_ARE_HELD, "sh", LISTS_LOCK)
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 4:
            host.script(*apt_get("update"))

    monkeypatch.setattr("time.sleep", nap)
    Apt(host, Report()).update()
    assert len(naps) == 4


def test_who_holds_a_lock_is_seen(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    look = ("sh", "-c", LISTS_ARE_HELD, "sh", str(lock))
    with lock.open("w") as file:
        assert not LocalHost().run(*look, ok=ANY_EXIT_CODE).ok
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert LocalHost().run(*look, ok=ANY_EXIT_CODE).ok
    assert not LocalHost().run(*look, ok=ANY_EXIT_CODE).ok


@pytest.mark.parametrize("answer", ["1.29.2\n", "docker: 'compose' is not a docker command.\n"])
def test_an_old_compose_is_none(answer: str) -> None:
    host = FakeHost()
    script_look(host, command=True)
    host.script("docker", "compose", "version", "--short", stdout=answer)
    assert find_compose(host) is None


def test_finds_a_later_command_line_that_knows_compose() -> None:
    """A command line that knows compose is found even if the first does not."""
    host = FakeHost()
    script_look(host, command=True)
    host.script("/usr/bin/docker", "compose", "version", "--short", stdout="v2.40.3\n")
    compose = Compose(host, "labelrig", ["a.yaml", "b.yaml"], "/x/.env")
    assert compose.argv("up", "-d") == (
        "/usr/bin/docker", "compose", "--project-name", "labelrig", "--env-file", "/x/.env",
        "--file", "a.yaml", "--file", "b.yaml", "up", "-d",
    )  # fmt: skip


def test_without_compose_the_message_says_what_installs_it() -> None:
    host = FakeHost()
    script_look(host)
    with pytest.raises(HostError, match=r"no docker command knows `compose` version 2; `\./inv up` installs it"):
        Compose(host, "labelrig", [], "/x/.env").run("ps")


def test_the_environment_does_not_win_over_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose would take it: a value in another form, or an empty one. What marks a run, or is Docker's own, stays."""
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\ncase $2 in version) echo 2.26.1;; *) env;; esac\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("LABELRIG_COMPANION", "LABEL_STUDIO_PASSWORD", "COMPOSE_PROFILES", "DOCKER_HOST"):
        monkeypatch.setenv(name, "")
    seen = Compose(LocalHost(), "labelrig", ["a.yaml"], "/x/.env").run("config").stdout.splitlines()
    names = {line.partition("=")[0] for line in seen}
    assert names & {"LABELRIG_COMPANION", "LABEL_STUDIO_PASSWORD", "COMPOSE_PROFILES"} == set()
    assert {"DOCKER_HOST", "PATH"} <= names
