"""The accounts of people in one Label Studio, by our program inside its container: its API can do none of this."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from core.errors import SettingsError
from core.text import aligned
from hosts.base import Exec
from labelstudio.asking import ask_inside
from labelstudio.inside.people import PROGRAMS

ADDRESS = re.compile(r"[^@\s'\"<>\\]+@[^@\s'\"<>\\]+")
LONGEST_ADDRESS = 254
LONGEST_NAME = 100
# Letters and digits that nobody takes for one another: a password is read out, or typed from a screen.
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
GROUPS, GROUP = 4, 4


@dataclass(frozen=True)
class Person:
    """An account of a person.

    Attributes:
        email: by which they sign in.
        name: may be empty.
        active: False where it was removed.
        last_sign_in: ISO time; None for never.
        annotations: how many they submitted; skipped tasks do not count.
        projects: in how many projects those are.
        drafts: work that was saved and not submitted.
    """

    email: str
    name: str
    active: bool
    last_sign_in: str | None
    annotations: int
    projects: int
    drafts: int

    @property
    def belongings(self) -> str:
        """What is theirs, in words."""
        parts = [_counted(self.annotations, "annotation"), _counted(self.projects, "project")]
        return f"{' in '.join(parts)} and {_counted(self.drafts, 'draft')}"

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def new_password() -> str:
    """A password of some 79 bits that can be read out."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(GROUP)) for _ in range(GROUPS))


def address(text: str) -> str:
    """An e-mail address as Label Studio compares it.

    Raises:
        SettingsError: it is none, or that of a program's account.
    """
    email = text.strip().lower()
    if not ADDRESS.fullmatch(email) or len(email) > LONGEST_ADDRESS:
        raise SettingsError(f"{text!r} is no e-mail address; nothing was changed")
    if email.endswith(PROGRAMS):
        raise SettingsError(f"{email} is the account of a program of the stack and no person's; nothing was changed")
    return email


def full_name(text: str) -> str:
    """A person's name, its spaces set right.

    Raises:
        SettingsError: it is too long, or holds what is not printed.
    """
    name = " ".join(text.split())
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise SettingsError(f"--name: may have {LONGEST_NAME} characters, all of them printable; nothing was changed")
    return name


def list_people(run: Exec) -> list[Person]:
    """Every account of a person, by address. `run` runs a command in the label-studio container."""
    (told,) = ask_inside(run, "people", {"do": "list"}, doing="list its accounts")
    return [Person(**one) for one in told["people"]]


def find_person(run: Exec, email: str) -> Person:
    """The account with this address.

    Raises:
        SettingsError: there is none.
    """
    for one in list_people(run):
        if one.email.lower() == email:
            return one
    raise SettingsError(f"there is no account {email}; `./inv user.list` has all")


def add_person(run: Exec, email: str, name: str, password: str) -> tuple[Person, bool]:
    """Make an account. Returns it, and whether it was a removed one that is let in again.

    Raises:
        LabelStudioError: it is there already.
    """
    asked = {"do": "add", "email": email, "name": name, "password": password}
    (told,) = ask_inside(run, "people", asked, doing=f"make an account for {email}")
    return Person(**told["person"]), bool(told["back"])


def reset_person(run: Exec, email: str, password: str) -> Person:
    """Set another password; sessions and tokens from before are void.

    Raises:
        LabelStudioError: there is no such account, or it was removed.
    """
    asked = {"do": "reset", "email": email, "password": password}
    (told,) = ask_inside(run, "people", asked, doing=f"give {email} another password")
    return Person(**told["person"])


def remove_person(run: Exec, email: str) -> Person:
    """Take an account's way in away; what it made stays, and stays its own.

    Raises:
        LabelStudioError: there is no such account.
    """
    (told,) = ask_inside(run, "people", {"do": "remove", "email": email}, doing=f"remove the account of {email}")
    return Person(**told["person"])


def people_table(people: Sequence[Person]) -> str:
    """The accounts as a table for people."""
    head = ("e-mail", "name", "last sign-in", "annotations")
    rows = [
        (one.email, one.name or "-", _day(one.last_sign_in) if one.active else "removed", str(one.annotations))
        for one in people
    ]
    return "\n".join(aligned([head, *rows]))


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _day(moment: str | None) -> str:
    return moment[:16].replace("T", " ") if moment else "never"
