"""The number that the containers run as: one that no account of the machine has, so that nobody who logs in is it.

A process in a container is a process of the machine: whoever has its number there may read its memory and files.
"""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

from core.errors import CommandTimedOut, HostError
from hosts.base import Host
from infra.config.settings import FIRST_UID, LAST_UID, UID

ANSWERS = (0, 2)  # getent(1): 2 is "one or more keys were not found"
LOOK_TIMEOUT = 30.0  # accounts may come from a directory server
DATABASES = ("passwd", "group")


def taken(host: Host, numbers: Iterable[int]) -> dict[int, str]:
    """Those of the numbers that an account or a group of a machine has, each with its name there.

    Raises:
        HostError: the machine does not say.
    """
    found: dict[int, str] = {}
    keys = [str(number) for number in numbers]
    for database in DATABASES:
        try:
            lines = host.run("getent", database, *keys, ok=ANSWERS, timeout=LOOK_TIMEOUT).stdout.splitlines()
        except CommandTimedOut as error:
            raise HostError(
                f"{host.name}: `getent {database}` did not answer in {LOOK_TIMEOUT:.0f} s, so whether the containers' "
                "user is free is unknown; does the server of its accounts answer?"
            ) from error
        for line in lines:
            name, _, number, *_ = [*line.split(":"), "", "", ""]
            if number in keys:
                found.setdefault(int(number), f"the {'account' if database == 'passwd' else 'group'} {name}")
    return found


def free_number(host: Host, project: str) -> int:
    """A number that no account has. Two stacks of one machine get two, where there are enough.

    Raises:
        HostError: there is none.
    """
    numbers = range(FIRST_UID, LAST_UID + 1)
    used = taken(host, numbers)
    start = crc32(project.encode()) % len(numbers)
    number: int
    for number in [*numbers[start:], *numbers[:start]]:
        if number not in used:
            return number
    raise HostError(_none_free(host))


def container_user_problems(host: Host, chosen: int | None) -> list[str]:
    """Check that the containers' number belongs to no account, or that there is one to choose."""
    numbers = range(FIRST_UID, LAST_UID + 1) if chosen is None else (chosen,)
    try:
        used = taken(host, numbers)
    except HostError as error:
        return [str(error)]
    if chosen is None:
        return [_none_free(host)] if len(used) == len(numbers) else []
    if chosen not in used:
        return []
    where = ".env" if host.is_local else "the host's secrets.env"
    return [
        f"the containers run as number {chosen}, which {used[chosen]} has by now: it could read the stack's secrets; "
        f"take the line {UID} out of {where}, and the next run chooses another number and hands the volumes over"
    ]


def _none_free(host: Host) -> str:
    return f"{host.name}: accounts have every number from {FIRST_UID} to {LAST_UID}; the containers need one of them"
