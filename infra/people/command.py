"""`./inv user.add`, `user.list`, `user.reset` and `user.remove`: the accounts of people in a stack's Label Studio."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from core.errors import SettingsError
from core.report import Report
from core.repository import REPOSITORY
from hosts.base import Exec
from infra.fleet.choice import Choice, Outcome
from infra.fleet.on_hosts import one_session, only_one, run_work
from infra.fleet.run import RunOptions
from infra.fleet.session import Session
from infra.fleet.target import how_to_open
from infra.people.handover import Handover
from infra.stack.running import refuse_stopped
from labelstudio.asking import RefusedInside
from labelstudio.people import (
    Person,
    add_person,
    find_person,
    list_people,
    new_password,
    people_table,
    remove_person,
    reset_person,
)
from labelstudio.projects_file import FILE, read_projects
from labelstudio.versions import FOLDER

SERVICE = "label-studio"


def list_accounts(choice: Choice, options: RunOptions) -> Outcome:
    """List the accounts of each stack."""

    def work(one: Session) -> str:
        people = list_people(_inside(one))
        one.report.facts["people"] = [person.as_dict() for person in people]
        table = people_table(people)
        return table if one.host.is_local else f"\n{table}"

    return run_work(choice, options, work)


def add_account(choice: Choice, options: RunOptions, email: str, name: str, handover: Handover) -> Outcome:
    """Make an account, or let a removed one in again."""
    return _with_passwords(choice, options, handover, lambda one, inside: [_added(one, inside, email, name, handover)])


def add_members(choice: Choice, options: RunOptions, handover: Handover) -> Outcome:
    """Make the accounts of all `members` of projects.yaml that have none.

    Raises:
        SettingsError: no project has members.
    """
    wanted = members()
    if not wanted:
        raise SettingsError(f"{FOLDER}/{FILE}: no project has `members`; nothing was changed")

    def work(one: Session, inside: Exec) -> Iterator[str]:
        there = {person.email.lower(): person for person in list_people(inside)}
        missing = [email for email in wanted if email not in there]
        if removed := [email for email in wanted if email in there and not there[email].active]:
            one.report.notice(f"{', '.join(removed)}: removed, and left so; `./inv user.add` lets one in again")
        for email in missing:
            yield _added(one, inside, email, "", handover)
        if not missing:
            yield "every member has an account"

    return _with_passwords(choice, options, handover, work)


def reset_account(choice: Choice, options: RunOptions, email: str, handover: Handover) -> Outcome:
    """Give an account another password; sessions and tokens from before are void."""

    def work(one: Session, inside: Exec) -> list[str]:
        _refuse_first(one, email, "`./inv secrets.rotate password` gives it another password")
        with _taken(handover, email) as password:
            person = reset_person(inside, email, password)
        one.report.ok(
            f"account of {email}", [f"another password for {email}; sessions and tokens from before are void"]
        )
        one.report.facts["person"] = person.as_dict()
        return [f"{email}: {handover.shown(email)}; sessions and tokens from before are void"]

    return _with_passwords(choice, options, handover, work)


def remove_account(
    choice: Choice, options: RunOptions, email: str, *, confirm: Callable[[str], None] | None
) -> Outcome:
    """Take an account's way in away, after it was said what happens to its work.

    Args:
        confirm: asks a person, and raises where the answer is no; None: no question.
    """
    if confirm is not None:
        with one_session(choice, options, Report()) as one:
            _refuse_first(one, email, "it cannot be removed")
            confirm(what_removal_does(find_person(_inside(one), email), one.host.name))

    def work(one: Session) -> str:
        _refuse_first(one, email, "it cannot be removed")
        inside = _inside(one)
        find_person(inside, email)
        person = remove_person(inside, email)
        one.report.ok(f"account of {email}", [f"no sign-in for {email}; sessions and tokens are void"])
        one.report.facts["person"] = person.as_dict()
        if email in members():
            one.report.notice(f"{email} still stands among the `members` in {FOLDER}/{FILE}")
        return f"{email} cannot sign in any more; {person.belongings} stay under that name"

    return run_work(only_one(choice), options, work, changes=True)


def what_removal_does(person: Person, where: str) -> str:
    """What is said before an account is removed."""
    return (
        f"This ends the sign-in of {person.email} on {where}, with its sessions and tokens. Nothing that was drawn is "
        f"deleted: {person.belongings} stay under that name, in Label Studio and in exports. "
        f"`./inv user.add {person.email}` lets the person in again."
    )


def members() -> list[str]:
    """The addresses of all `members` of projects.yaml, each once, as Label Studio compares them."""
    projects = read_projects(REPOSITORY / FOLDER / FILE, f"{FOLDER}/{FILE}")
    return list(dict.fromkeys(email.lower() for part in projects.values() for email in part.members))


def _with_passwords(
    choice: Choice, options: RunOptions, handover: Handover, work: Callable[[Session, Exec], Iterable[str]]
) -> Outcome:
    """Do work that makes passwords, on one stack. Its lines are for the person at the terminal, and not in JSON.

    A password that was set is shown or in the file whatever comes after it.
    """
    lines: list[str] = []

    def keep(one: Session) -> str:
        for line in work(one, _inside(one)):
            lines.append(line)
        return ""

    choice = only_one(choice)
    handover.open()
    try:
        outcome = run_work(choice, options, keep, changes=True)
    except BaseException:
        stream = sys.stdout if handover.file is None else sys.stderr
        stream.writelines(f"{line}\n" for line in [*lines, *handover.doubtful_lines()])
        stream.flush()
        raise
    finally:
        handover.close()
    lines.extend(handover.doubtful_lines())
    for result in outcome.results:
        result.report.facts.pop("text", None)
    failed = [] if not outcome.exit_code else [outcome.text]
    return Outcome(outcome.results, "\n".join([*lines, *failed]), outcome.exit_code, outcome.alone)


def _added(one: Session, inside: Exec, email: str, name: str, handover: Handover) -> str:
    with _taken(handover, email) as password:
        person, back = add_person(inside, email, name, password)
    what = f"let {email} in again" if back else f"make an account for {email}"
    one.report.ok(f"account of {email}", [what])
    people = one.report.facts.setdefault("people", [])
    assert isinstance(people, list)  # noqa: S101 - written here
    people.append(person.as_dict())
    where = one.site.settings.address_for_people if one.host.is_local else how_to_open(one.host_settings)
    owns = f"; {person.belongings} are theirs as before" if back else ""
    return f"{email}: {handover.shown(email)}; sign in at {where}{owns}"


@contextmanager
def _taken(handover: Handover, email: str) -> Iterator[str]:
    """A new password, which the handover keeps unless Label Studio refused it."""
    password = new_password()
    handover.take(email, password)
    try:
        yield password
    except RefusedInside:
        handover.forget(email)
        raise
    except BaseException:  # the connection was lost, or a person stopped it: before it was set, or after
        handover.doubt(email)
        raise


def _inside(one: Session) -> Exec:
    one.site.refuse_missing()
    refuse_stopped(one.site, SERVICE)
    return one.site.exec_in(SERVICE)


def _refuse_first(one: Session, email: str, instead: str) -> None:
    if email == one.site.settings.username.lower():
        raise SettingsError(f"{email} is the account that labelrig itself works with; {instead}. Nothing was changed")
