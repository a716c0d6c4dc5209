"""Root's rights over SSH, with users who may and users who may not. Makes and removes users of this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from core.errors import FileAccessError, SudoRefused
from hosts.ssh import SshHost
from tests.contract.conftest import PASSWORD, User
from tests.sshd import Sshd

Connected = Callable[..., SshHost]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes users: needs root")


@pytest.fixture
def as_user(sshd: Sshd, connected: Connected, user: User) -> Callable[..., SshHost]:
    def make(password: str | None = None) -> SshHost:
        secret = SecretStr(password) if password is not None else None
        return connected(sshd, user=user.name, sudo_password=secret)

    return make


def refusal(host: SshHost) -> str:
    with pytest.raises(SudoRefused) as caught:
        host.run("id", "-u", as_root=True)
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


def test_root_needs_no_sudo(lab: SshHost) -> None:
    assert lab.run("sh", "-c", "id -u; echo ${SUDO_UID-none}", as_root=True).stdout == "0\nnone\n"


@pytest.mark.parametrize(
    ("rule", "password"), [("USER ALL=(ALL) NOPASSWD: ALL", None), ("USER ALL=(ALL) ALL", PASSWORD)]
)
class TestAllowed:
    @pytest.fixture
    def host(self, as_user: Callable[..., SshHost], user: User, rule: str, password: str | None) -> SshHost:
        user.may(rule)
        return as_user(password)

    def test_commands_run_as_root_and_only_when_asked(self, host: SshHost) -> None:
        assert host.run("id", "-u", as_root=True).stdout == "0\n"
        assert host.run("id", "-u").stdout != "0\n"

    def test_standard_input_arrives_as_it_is(self, host: SshHost, tmp_path: Path) -> None:
        content = b"first\n" + bytes(range(256)) * 4000 + b"\nno end"
        host.write(str(tmp_path / "file"), content, 0o600, as_root=True)
        assert (tmp_path / "file").read_bytes() == content
        assert (tmp_path / "file").stat().st_uid == 0
        assert host.run("wc", "-c", as_root=True).stdout.strip() == "0"

    def test_what_only_root_may_read_is_read(self, host: SshHost, open_folder: Path) -> None:
        closed = open_folder / "closed"
        closed.mkdir(mode=0o700)
        (closed / "file").write_bytes(b"\xffx")
        assert host.read(str(closed / "file"), as_root=True) == b"\xffx"
        assert host.read(str(closed / "none"), as_root=True) is None
        # For the user it is not absent, it is out of reach.
        for name in ("file", "none"):
            with pytest.raises(FileAccessError, match=rf"^lab: cannot read {closed}/{name}: Permission denied$"):
                host.read(str(closed / name))
        with pytest.raises(FileAccessError, match=rf"^lab: cannot write {closed}/file: Permission denied$"):
            host.write(str(closed / "file"), b"")
        assert (closed / "file").read_bytes() == b"\xffx"

    def test_exit_codes_and_the_mark_of_the_run_come_through(self, host: SshHost) -> None:
        result = host.run("sh", "-c", "echo $LABELRIG_RUN; exit 7", ok=(7,), as_root=True)
        assert re.fullmatch(r"\S+-test\n", result.stdout)

    def test_a_time_out_ends_root_s_process(self, host: SshHost) -> None:
        with pytest.raises(Exception, match=r"did not end in 0\.5 s"):
            host.run("sleep", "64.5", timeout=0.5, as_root=True)
        assert host.run("pgrep", "-f", "^sleep 64.5$", ok=(0, 1)).exit_code == 1

    def test_the_password_shows_nowhere(self, host: SshHost, password: str | None) -> None:
        seen: list[bytes] = []

        def look(_line: str) -> None:
            for path in (*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")):
                try:
                    seen.append(path.read_bytes())
                except OSError:
                    continue

        host.run("sh", "-c", "echo ready; sleep 0.3", on_line=look, as_root=True)
        assert any(b"sleep 0.3" in line for line in seen)
        assert not any(PASSWORD.encode() in line for line in seen)
        assert PASSWORD not in repr(host._target)


def test_a_password_that_is_needed_and_not_given(as_user: Callable[..., SshHost], user: User) -> None:
    user.may("USER ALL=(ALL) ALL")
    assert refusal(as_user()).startswith(
        f"lab: sudo wants {user.name}'s password and none is given; put LABELRIG_SUDO_PASSWORD into .env; "
        "sudo's own words: "
    )


def test_a_wrong_password(as_user: Callable[..., SshHost], user: User) -> None:
    user.may("USER ALL=(ALL) ALL")
    assert refusal(as_user("wrong")).startswith(
        f"lab: sudo does not take the password that is given for {user.name}; correct LABELRIG_SUDO_PASSWORD in .env; "
    )


def test_a_user_who_may_not(as_user: Callable[..., SshHost], user: User) -> None:
    assert refusal(as_user(PASSWORD)).startswith(
        f"lab: sudo takes the password of {user.name} and still does not let {user.name} become root; "
        f"let an administrator type `usermod -aG sudo {user.name}`, or log in as another user; "
    )


@pytest.mark.parametrize("password", [None, PASSWORD])
def test_a_sudo_that_wants_a_terminal(as_user: Callable[..., SshHost], user: User, password: str | None) -> None:
    user.may("USER ALL=(ALL) NOPASSWD: ALL", "Defaults:USER requiretty")
    assert refusal(as_user(password)).startswith(
        "lab: sudo refuses without asking for a password (`Defaults requiretty`, perhaps); "
        f"let an administrator add `Defaults:{user.name} !requiretty` with visudo; "
    )


def test_rights_are_looked_at_again_after_reconnecting(as_user: Callable[..., SshHost], user: User) -> None:
    host = as_user()
    user.may("USER ALL=(ALL) ALL")
    refusal(host)
    user.may("USER ALL=(ALL) NOPASSWD: ALL")
    host.reconnect()
    assert host.run("id", "-u", as_root=True).stdout == "0\n"
