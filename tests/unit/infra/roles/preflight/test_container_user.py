"""The number that the containers run as belongs to no account of the machine."""

from __future__ import annotations

import pytest

from core.errors import CommandTimedOut, HostError
from infra.config.settings import FIRST_UID, LAST_UID
from infra.roles.preflight.container_user import container_user_problems, free_number, taken
from tests.fakes import FakeHost

ALL = [str(number) for number in range(FIRST_UID, LAST_UID + 1)]


def machine(passwd: str = "", group: str = "", keys: list[str] = ALL) -> FakeHost:
    host = FakeHost()
    for database, found in (("passwd", passwd), ("group", group)):
        host.script("getent", database, *keys, exit_code=2, stdout=found)
    return host


def test_a_number_of_an_account_or_a_group_is_taken() -> None:
    host = machine("ana:x:61041:100::/home/ana:/bin/bash\n", "lab:x:61042:ana\n")
    assert taken(host, map(int, ALL)) == {61041: "the account ana", 61042: "the group lab"}


def test_the_chosen_number_is_free() -> None:
    """Whatever place of the range a project begins at, what others have is left out."""
    used = "".join(f"u{number}:x:{number}:1::/:/bin/sh\n" for number in ALL if number != "61050")
    assert {free_number(machine(used), f"project-{number}") for number in range(40)} == {61050}


def test_two_stacks_of_a_machine_get_two_numbers() -> None:
    assert free_number(machine(), "labelrig") != free_number(machine(), "second")
    assert free_number(machine(), "labelrig") == free_number(machine(), "labelrig")


def test_a_number_that_an_account_has_got_is_a_problem() -> None:
    kept = machine("guest:x:61044:61044::/home/guest:/bin/sh\n", keys=["61044"])
    (problem,) = container_user_problems(kept, 61044)
    assert problem.startswith("the containers run as number 61044, which the account guest has by now: it could read")
    assert "take the line LABELRIG_UID out of .env, and the next run chooses another number" in problem
    assert container_user_problems(machine(keys=["61044"]), 61044) == []


def test_a_machine_without_a_free_number_is_refused() -> None:
    used = "".join(f"u{number}:x:{number}:1::/:/bin/sh\n" for number in ALL)
    (problem,) = container_user_problems(machine(used), None)
    assert problem == "fake host: accounts have every number from 61041 to 61060; the containers need one of them"
    with pytest.raises(HostError, match="accounts have every number"):
        free_number(machine(used), "labelrig")
    assert container_user_problems(machine(), None) == []


def test_a_directory_of_accounts_that_hangs_is_a_problem() -> None:
    host = machine()
    host.answers["getent", "group", *ALL] = CommandTimedOut("late")
    (problem,) = container_user_problems(host, None)
    assert problem.startswith("fake host: `getent group` did not answer in 30 s, so whether the containers' user is")
