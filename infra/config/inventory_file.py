"""The parts of an inventory file, each checked by itself; what is wrong goes into one list, by path, without values."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from infra.config.host_settings import problems_in, setting_fields
from infra.config.value_types import MACHINE_NAME

EVERYTHING = "all"
OF_ONE_HOST = "address"
FREE = "x-"
SECRET = re.compile(r"passw|passphrase|secret|token|(api|private)[-_]?key", re.IGNORECASE)

Layer = Mapping[str, object]


def named(value: object, where: str, problems: list[str]) -> list[tuple[str, object]]:
    """The entries of `hosts` or `groups` by name."""
    entries = without_free(mapping({} if value is None else value, where, problems))
    for name in entries:
        if not MACHINE_NAME.fullmatch(name) or (where == "groups" and name == EVERYTHING):
            wrong = "is not a name: letters, digits, `.`, `-`, `_`"
            problems.append(f"{where}.{name}: {'means every host already' if name == EVERYTHING else wrong}")
    return list(entries.items())


def settings_at(value: object, where: str, problems: list[str], also: tuple[str, ...] = ()) -> Layer:
    """The settings of one place in the file, checked by themselves. `also` is what the place may hold besides."""
    settings = _tidied(mapping({} if value is None else value, where, problems), where, problems, setting_fields())
    problems += problems_in(settings, where, also)
    return settings


def shared(settings: Layer, where: str, problems: list[str]) -> Layer:
    """Settings of several hosts, which cannot all have one address."""
    if OF_ONE_HOST in settings:
        problems.append(f"{where}.{OF_ONE_HOST}: belongs to one host; set it below `hosts`")
    return settings


def member_names(value: object, where: str, hosts: Mapping[str, object], problems: list[str]) -> tuple[str, ...]:
    """The hosts of a group, which must be there."""
    if value is None:
        return ()
    if not isinstance(value, list):
        problems.append(f"{where}: must be a list of host names")
        return ()
    problems += [
        f"{where}.{number}: is not one of the hosts ({', '.join(hosts) or 'there are none'})"
        for number, name in enumerate(value)
        if not isinstance(name, str) or name not in hosts
    ]
    return tuple(str(name) for name in value)


def mapping(value: object, where: str, problems: list[str]) -> dict[str, object]:
    """What must be a mapping; an empty one in its place where it is none."""
    if isinstance(value, dict):
        return value
    problems.append(f"{where}: must be a mapping of names to values")
    return {}


def without_free(values: Mapping[str, object]) -> dict[str, object]:
    """Leave out the keys that are for people and anchors."""
    return {key: value for key, value in values.items() if not key.startswith(FREE)}


def _tidied(
    values: Mapping[str, object], where: str, problems: list[str], known: Collection[str] = ()
) -> dict[str, object]:
    """Without free keys, and without secrets, which are a problem of their own.

    Args:
        known: names of settings, none of which is a secret whatever it is called: `backup_password_file` names a file.
    """
    kept: dict[str, object] = {}
    for key, value in without_free(values).items():
        if key not in known and SECRET.search(key):
            problems.append(f"{where}.{key}: looks like a secret; it belongs in .env, never in this file")
        else:
            kept[key] = _tidied(value, f"{where}.{key}", problems) if isinstance(value, dict) else value
    return kept
