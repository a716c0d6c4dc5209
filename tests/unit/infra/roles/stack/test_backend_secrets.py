"""The backend's password: handed over once, private, and again when `.env` has another one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any

import pytest

from core.errors import CannotKnow, SettingsError
from core.operation import converge
from core.report import Report
from hosts.base import Exec, Result
from hosts.local import LocalHost
from infra.config.backend_login import backend_login
from infra.config.settings import Settings
from infra.roles.docker.compose import Compose
from infra.roles.stack.backend_secrets import (
    WRITE,
    BackendPasswordPresent,
    SecretWriter,
    not_in_a_plan,
    secret_writer,
)
from tests.fakes import FakeHost

SECRETS = {"LABELRIG_BACKEND_PASSWORD": "of-the-backend-1", "LABEL_STUDIO_SECRET_KEY": "the-key-of-the-stack"}


class Hearing(FakeHost):
    """Keeps what commands got on standard input."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: dict[tuple[str, ...], object] = {}

    def run(self, *argv: str, stdin: bytes | IO[bytes] | None = None, **arguments: Any) -> Result:
        self.heard[argv] = stdin
        return super().run(*argv, stdin=stdin, **arguments)


def writer() -> SecretWriter:
    """With this machine's shell in the place of the container's: the command is the real one."""

    def write(path: str, content: bytes) -> None:
        LocalHost().run("sh", "-c", WRITE, "sh", path, stdin=content)

    return write


def operation(folder: Path, password: str) -> BackendPasswordPresent:
    return BackendPasswordPresent(password, [LocalHost().run], writer(), str(folder / "password"))


def test_the_password_is_handed_over_once(tmp_path: Path) -> None:
    report = Report(io.StringIO())
    assert converge([operation(tmp_path, "first-password")], report) == 1
    assert (tmp_path / "password").read_bytes() == b"first-password"
    assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600
    assert converge([operation(tmp_path, "first-password")], report) == 0
    assert converge([operation(tmp_path, "second-password")], report) == 1
    assert (tmp_path / "password").read_bytes() == b"second-password"
    assert [path.name for path in tmp_path.iterdir()] == ["password"]


def test_what_will_be_done_does_not_hold_the_password(tmp_path: Path) -> None:
    (change,) = operation(tmp_path, "first-password").plan()
    assert change.summary == "hand the password over to the SAM2 backend"
    assert list(tmp_path.iterdir()) == []


def test_a_backend_that_does_not_run_is_looked_at_aside(tmp_path: Path) -> None:
    """Before its start nobody can be asked what it has: its health check needs the password."""
    gone = FakeHost()
    gone.script("sha256sum", str(tmp_path / "password"), exit_code=1, stderr="service sam2 is not running")

    def apply(password: str, aside: Exec | None = None) -> int:
        looks: list[Exec] = [gone.run, aside or LocalHost().run]
        one = BackendPasswordPresent(password, looks, writer(), str(tmp_path / "password"))
        return converge([one], Report(io.StringIO()))

    assert apply("first-password") == 1
    assert apply("first-password") == 0
    assert apply("second-password") == 1
    with pytest.raises(CannotKnow, match="a plan starts no container"):
        apply("second-password", not_in_a_plan)


def test_a_secret_travels_on_standard_input() -> None:
    host = Hearing()
    host.script("docker", "compose", "version", "--short", stdout="2.26.1\n")
    run = (
        *("docker", "compose", "--project-name", "x", "--env-file", "/e", "--file", "/c", "run", "--rm", "--no-TTY"),
        *("--no-deps", "--quiet-pull", "secrets-writer", "sh", "-c", WRITE, "sh", "/secrets/one"),
    )
    host.script(*run)
    secret_writer(Compose(host, "x", ["/c"], "/e"))("/secrets/one", b"the secret")
    assert host.heard[run] == b"the secret"


def test_another_password_has_another_user() -> None:
    """Label Studio tells the user's name and never the password: the name shows which one it holds."""
    first = backend_login(Settings.model_validate(SECRETS))
    second = backend_login(Settings.model_validate({**SECRETS, "LABELRIG_BACKEND_PASSWORD": "of-the-backend-2"}))
    assert first == backend_login(Settings.model_validate(SECRETS))
    assert first.user != second.user
    assert first.password == "of-the-backend-1"
    assert first.password not in repr(first)


def test_without_a_password_there_is_no_login() -> None:
    with pytest.raises(SettingsError, match=r"no LABELRIG_BACKEND_PASSWORD is known; `\./inv up`"):
        backend_login(Settings())
