"""Tasks on the accounts of people: user.add, user.list, user.reset, user.remove."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from commands.base import (
    HOST_HELP,
    LOCK_WAIT_HELP,
    RESULT_HELP,
    choose,
    confirm,
    expected_errors_in_words,
    finish,
    host_task,
    run_options,
)
from core.errors import SettingsError
from core.terminal import is_live

if TYPE_CHECKING:
    from infra.fleet.choice import Choice, Outcome
    from infra.people.handover import Handover

EMAIL_HELP = "the e-mail address by which the person signs in"
ONE_HOST = {
    "host": "a host of infra/inventory.yaml, or USER@NAME[:PORT] (default: this machine)",
    "inventory": HOST_HELP["inventory"],
    "lock_wait": LOCK_WAIT_HELP,
    "json": RESULT_HELP["json"],
}
FILE_HELP = "write the password into this new private file instead of showing it; needed where there is no terminal"


@task(
    iterable=["host"],
    help={
        "email": EMAIL_HELP,
        "name": "the person's name, as annotations and exports show it",
        "members": "instead: everybody among the `members` of labeling_configs/projects.yaml who has no account",
        "password_file": FILE_HELP,
        **ONE_HOST,
    },
)
@expected_errors_in_words
def add(
    _context: Context,
    host: list[str],
    email: str = "",
    name: str = "",
    members: bool = False,
    password_file: str | None = None,
    inventory: str | None = None,
    lock_wait: str | None = None,
    json: bool = False,
) -> None:
    """Make an account in Label Studio with a new password, shown once; or let a removed one in again."""
    from infra.people.command import add_account, add_members
    from labelstudio.people import address, full_name

    if bool(email) == members:
        raise SettingsError("give either an e-mail address or --members")
    who, called = address(email) if email else "", full_name(name)
    choice, options = choose(host, [], None, inventory), run_options("user.add", lock_wait=lock_wait)
    handover = _handover(password_file, json=json)
    if members:
        finish(add_members(choice, options, handover), json=json)
    else:
        finish(add_account(choice, options, who, called, handover), json=json)


@host_task(here=True, name="list")
def list_(choice: Choice) -> Outcome:
    """List the accounts of people: address, name, last sign-in, how many annotations they made."""
    from infra.people.command import list_accounts

    return list_accounts(choice, run_options("user.list"))


@task(iterable=["host"], help={"email": EMAIL_HELP, "password_file": FILE_HELP, **ONE_HOST})
@expected_errors_in_words
def reset(
    _context: Context,
    email: str,
    host: list[str],
    password_file: str | None = None,
    inventory: str | None = None,
    lock_wait: str | None = None,
    json: bool = False,
) -> None:
    """Give an account a new password, shown once; its sessions and tokens from before are void."""
    from infra.people.command import reset_account
    from labelstudio.people import address

    who = address(email)
    choice, options = choose(host, [], None, inventory), run_options("user.reset", lock_wait=lock_wait)
    finish(reset_account(choice, options, who, _handover(password_file, json=json)), json=json)


@task(iterable=["host"], help={"email": EMAIL_HELP, "yes": "do not ask", **ONE_HOST})
@expected_errors_in_words
def remove(
    _context: Context,
    email: str,
    host: list[str],
    yes: bool = False,
    inventory: str | None = None,
    lock_wait: str | None = None,
    json: bool = False,
) -> None:
    """End an account's sign-in, its sessions and tokens; what the person annotated stays, under the same name."""
    from infra.people.command import remove_account
    from labelstudio.people import address

    who = address(email)
    choice, options = choose(host, [], None, inventory), run_options("user.remove", lock_wait=lock_wait)
    finish(remove_account(choice, options, who, confirm=None if yes else confirm), json=json)


def _handover(password_file: str | None, *, json: bool) -> Handover:
    from infra.people.handover import Handover

    file = None if password_file is None else Path(password_file).expanduser().absolute()
    return Handover(file, terminal=is_live(sys.stdout, os.environ) and not json)
