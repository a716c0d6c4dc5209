"""SSH servers and the hosts behind them."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hosts.ssh import SshHost
from tests.sshd import Sshd

RUN_ID = f"20260101T000000Z-{os.getpid()}-test"  # of its own in each worker of xdist: it marks processes
PASSWORD = "cor rect'horse$"


@pytest.fixture(autouse=True)
def _nobody_s_ssh_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither the keys nor the known hosts of whoever runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    """One server for all tests that leave it as it is. Other users' processes read its authorized_keys."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        with Sshd(Path(name)) as server:
            yield server


@pytest.fixture
def own_sshd(tmp_path: Path) -> Iterator[Sshd]:
    """A server that the test may break."""
    folder = tmp_path / "own"
    folder.mkdir()
    with Sshd(folder) as server:
        yield server


@pytest.fixture
def connected() -> Iterator[Callable[..., SshHost]]:
    """Makes hosts, `connected(server, notice=..., **changes of the target)`, and closes them."""
    made: list[SshHost] = []

    def make(server: Sshd, notice: Callable[[str], None] = lambda _text: None, **changes: Any) -> SshHost:
        made.append(SshHost(server.target(**changes), run_id=RUN_ID, notice=notice))
        return made[-1]

    yield make
    for host in made:
        host.close()


@pytest.fixture
def lab(sshd: Sshd, connected: Callable[..., SshHost]) -> SshHost:
    """A host behind the shared server."""
    return connected(sshd)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter; those of pytest are its own user's."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@dataclass(frozen=True)
class User:
    """Somebody on this machine, for one test."""

    name: str

    @property
    def rules(self) -> Path:
        return Path("/etc/sudoers.d") / self.name

    def may(self, *rules: str) -> None:
        """Write sudo's rules; `USER` in them is the name."""
        self.rules.write_text("".join(rule.replace("USER", self.name) + "\n" for rule in rules))
        self.rules.chmod(0o440)
        subprocess.run(("visudo", "-cqf", str(self.rules)), check=True)


@pytest.fixture
def user() -> Iterator[User]:
    """Somebody who has a password and no rights."""
    assert shutil.which("sudo"), "these tests need sudo: `./inv test` as root installs it"
    one = User(f"lr-{secrets.token_hex(4)}")
    # Far from the numbers of users in containers: whoever has one of those would own their processes, to the end.
    numbers = ("--key", "UID_MIN=40000", "--key", "UID_MAX=59999", "--key", "GID_MIN=40000", "--key", "GID_MAX=59999")
    subprocess.run(("useradd", *numbers, "--create-home", "--shell", "/bin/sh", one.name), check=True)
    subprocess.run(("chpasswd",), input=f"{one.name}:{PASSWORD}".encode(), check=True)
    yield one
    one.rules.unlink(missing_ok=True)
    subprocess.run(("pkill", "-KILL", "-u", one.name), check=False)
    subprocess.run(("userdel", "--force", "--remove", one.name), check=True, capture_output=True)
