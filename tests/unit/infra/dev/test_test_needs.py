"""What `./inv test` installs for itself."""

from __future__ import annotations

import io
import shutil

import pytest

from core.report import Report
from infra.dev import test_needs
from infra.dev.test_needs import install_test_needs, missing_packages
from tests.fakes import FakeHost


class Programs:
    """Which programs this machine has, for `shutil.which`."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def which(self, name: str, path: str | None = None) -> str | None:
        return f"/usr/bin/{name}" if name in self.names else None


class RecordingApt:
    """Stands for apt; the commands of the host show what came before and after."""

    def __init__(self, host: FakeHost, _report: Report) -> None:
        self._host = host

    def install(self, packages: list[str]) -> None:
        self._host.commands.append(("install", *packages))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    monkeypatch.setattr(test_needs, "Apt", RecordingApt)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    one = FakeHost()
    for verb in ("mask", "unmask"):
        one.script("systemctl", verb, "ssh.service", "ssh.socket")
    return one


def machine_has(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(shutil, "which", Programs(*names).which)


def test_nothing_is_done_where_all_is_there(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_has(monkeypatch, "sshd", "ssh-keygen", "sudo", "tcsh", "chromium", "apt-get", "systemctl")
    install_test_needs(host, Report(io.StringIO()))
    assert (missing_packages(), host.commands) == ([], [])


def test_the_system_s_ssh_server_is_kept_from_starting(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_has(monkeypatch, "ssh-keygen", "tcsh", "chromium", "apt-get", "systemctl")
    install_test_needs(host, Report(io.StringIO()))
    assert host.commands == [
        ("systemctl", "mask", "ssh.service", "ssh.socket"),
        ("install", "openssh-server", "sudo"),
        ("systemctl", "unmask", "ssh.service", "ssh.socket"),
    ]


def test_without_systemd_nothing_is_masked(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_has(monkeypatch, "sshd", "ssh-keygen", "tcsh", "chromium", "apt-get")
    install_test_needs(host, Report(io.StringIO()))
    assert host.commands == [("install", "sudo")]


def test_who_is_not_root_installs_nothing(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_has(monkeypatch, "apt-get")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    install_test_needs(host, Report(io.StringIO()))
    assert host.commands == []
