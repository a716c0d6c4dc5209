"""What we make of sudo's answers; tests/contract/test_ssh_sudo.py asks a real one."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from core.errors import SudoRefused
from hosts.ssh_channel import Ended
from hosts.sudo import (
    AS_USER,
    ASKS,
    FIND_OUT,
    IS_ROOT,
    LEFT_OVER,
    NO_PASSWORD_NEEDED,
    NO_SUDO,
    PROMPT,
    Elevation,
    find_elevation,
)

SECRET = "geheim"


class Machine:
    """Answers the first question with one exit code, and sudo's with another."""

    def __init__(self, found: int, exit_code: int = 1, stderr: str = "") -> None:
        self._answers = {FIND_OUT: Ended(found, b"", b"", True)}
        self._sudo = Ended(exit_code, b"", stderr.encode(), True)
        self.got: list[tuple[tuple[str, ...], bytes]] = []

    def run(self, argv: tuple[str, ...], stdin: bytes) -> Ended:
        self.got.append((argv, stdin))
        return self._answers.get(argv[-1], self._sudo)


def find(machine: Machine, password: str | None = SECRET) -> Elevation:
    return find_elevation("lab", "ana", machine.run, SecretStr(password) if password is not None else None)


def test_root_is_root() -> None:
    assert find(Machine(IS_ROOT)) == AS_USER


def test_no_password_is_sent_where_none_is_needed() -> None:
    machine = Machine(NO_PASSWORD_NEEDED)
    elevation = find(machine)
    assert (elevation.prefix, elevation.first_bytes) == (("sudo", "-n", "--"), b"")
    assert not any(stdin for _argv, stdin in machine.got)


def test_a_password_goes_by_standard_input_only() -> None:
    machine = Machine(ASKS, exit_code=0, stderr=PROMPT)
    elevation = find(machine)
    assert elevation.first_bytes == b"geheim\n"
    assert machine.got[-1][1] == b"geheim\n"
    assert not any(SECRET in word for argv, _stdin in machine.got for word in argv)
    assert SECRET not in repr(elevation)


@pytest.mark.parametrize("stderr", ["", PROMPT])
def test_a_password_that_sudo_does_not_take_is_never_sent_again(stderr: str) -> None:
    """It would be the first line of what the command reads, and might end in a file."""
    assert find(Machine(ASKS, exit_code=LEFT_OVER, stderr=stderr)).first_bytes == b""


@pytest.mark.parametrize(
    ("machine", "password", "message"),
    [
        (Machine(NO_SUDO), SECRET, "lab: ana is not root and there is no sudo; log in as root, or install sudo"),
        (Machine(126), SECRET, r"could not be found out \(exit code 126\)"),
        (Machine(ASKS, stderr="no tty"), SECRET, "refuses without asking .*; sudo's own words: no tty$"),
        (Machine(ASKS, stderr=""), None, "refuses without asking .*; sudo says nothing more$"),
        (Machine(ASKS, stderr=PROMPT), None, "wants ana's password and none is given; put LABELRIG_SUDO_PASSWORD"),
        (Machine(ASKS, stderr=PROMPT), SECRET, "takes the password of ana and still does not let ana become root"),
        (Machine(ASKS, stderr=f"{PROMPT}Nochmal.\n{PROMPT}"), SECRET, "does not take the password .*: Nochmal.$"),
        (Machine(ASKS), "two\nlines", "LABELRIG_SUDO_PASSWORD in .env has more than one line"),
    ],
)
def test_a_refusal_says_why_in_any_language(machine: Machine, password: str | None, message: str) -> None:
    with pytest.raises(SudoRefused, match=message) as caught:
        find(machine, password)
    assert SECRET not in str(caught.value)
