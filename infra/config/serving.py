"""`serve` of a group in the inventory: hosts whose GPUs answer together, behind the Label Studio of one of them.

Pure. What is wrong goes into one list, by path, without values.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from infra.config.stack_settings import about, in_words
from infra.config.value_types import PathThere, Port

KEY = "serve"
OWN_PORTS = 9  # of Ray on each host, from `port` on
LEAST_WORKER_PORTS = 16
# What answers must not depend on which host they come from: the same on all of them.
SHARED = ("data", "model", "sam2_image", "backend")


def _port_range(text: str) -> str:
    first, dash, last = text.partition("-")
    if not (dash and first.isdigit() and last.isdigit()) or not 1024 <= int(first) <= int(last) <= 65535:
        raise ValueError("must be two ports such as 10100-10163, from 1024 on")
    if int(last) - int(first) + 1 < LEAST_WORKER_PORTS:
        raise ValueError(f"must be {LEAST_WORKER_PORTS} ports or more: each process of Ray on a host takes one")
    return text


def _network_address(text: str) -> str:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise ValueError("must be an IPv4 address") from None
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        raise ValueError("must be the host's own address on the lab's network, at which the others reach it")
    return str(address)


class ServeSettings(BaseModel):
    """What stands below `serve`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    head: Annotated[
        str,
        about("name of a host of the group", "The host with Label Studio; the others only answer clicks.", "gpu01"),
    ]
    addresses: Annotated[
        dict[str, Annotated[str, AfterValidator(_network_address)]],
        about(
            "mapping of hosts to IPv4 addresses",
            "Where the hosts reach each other on the lab's network. Without it, a host's `address` where that is an "
            "IPv4 address.",
            {"gpu01": "10.0.0.11"},
        ),
    ] = Field(default_factory=dict)
    port: Annotated[
        Port,
        about(
            "whole number, 1024 to 65527",
            f"The first of {OWN_PORTS} ports that Ray has on each host and the other hosts of the group reach.",
            ge=1024,
            le=65535 - OWN_PORTS + 1,
        ),
    ] = 6379
    worker_ports: Annotated[
        str,
        AfterValidator(_port_range),
        about("two ports, FIRST-LAST", "The ports of Ray's processes on each host, which the others reach."),
    ] = "10100-10163"
    shared_cache: Annotated[
        PathThere | None,
        about(
            "absolute path of a folder",
            "A folder that every host of the group has mounted, as from a NAS, and that the containers' user may "
            "write to: there each host finds what another has encoded.",
            "/NAS/labelrig-cache",
        ),
    ] = None


@dataclass(frozen=True)
class Serving:
    """The hosts of a group that serve together.

    Attributes:
        group: its name in the inventory.
        head: the host with Label Studio.
        addresses: member -> IPv4 address on the lab's network, the head first.
        port: the first of `OWN_PORTS` ports of Ray, the same on all hosts.
        worker_ports: the first and the last port of Ray's processes.
        shared_cache: a folder for embeddings that all hosts share; None: each keeps its own alone.
    """

    group: str
    head: str
    addresses: Mapping[str, str]
    port: int
    worker_ports: tuple[int, int]
    shared_cache: str | None = None

    @property
    def members(self) -> tuple[str, ...]:
        """All hosts, the head first."""
        return tuple(self.addresses)

    @property
    def workers(self) -> tuple[str, ...]:
        """All hosts but the head."""
        return tuple(name for name in self.addresses if name != self.head)

    @property
    def head_address(self) -> str:
        """Where Ray's head is reached, `ADDRESS:PORT`."""
        return f"{self.addresses[self.head]}:{self.port}"

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port that Ray may have on a host."""
        first, last = self.worker_ports
        return (*range(self.port, self.port + OWN_PORTS), *range(first, last + 1))


def serve_fields() -> dict[str, FieldInfo]:
    """What may stand below `serve`, in the order of the documentation."""
    return dict(ServeSettings.model_fields)


def read_serve(value: object, where: str, members: Sequence[str], problems: list[str]) -> ServeSettings | None:
    """Check `serve` of one group by itself.

    Args:
        members: the hosts of the group.
        problems: gets what is wrong.
    """
    if not isinstance(value, dict):
        problems.append(f"{where}: must be a mapping with `head`, the host with Label Studio")
        return None
    try:
        settings = ServeSettings.model_validate(value)
    except ValidationError as error:
        lines = error.errors(include_input=False, include_url=False)
        problems += [_sentence(where, in_words(one, serve_fields()), one["type"]) for one in lines]
        return None
    found = []
    if len(set(members)) < 2:
        found.append(f"{where}: needs two hosts or more in the group; one host serves without it")
    if settings.head not in members:
        found.append(f"{where}.head: is not a host of the group ({', '.join(members) or 'it has none'})")
    found += [
        f"{where}.addresses.{name}: is not a host of the group" for name in settings.addresses if name not in members
    ]
    first, last = map(int, settings.worker_ports.split("-"))
    if first < settings.port + OWN_PORTS and settings.port <= last:
        found.append(f"{where}.worker_ports: overlap the {OWN_PORTS} ports from {settings.port} on, which `port` names")
    problems += found
    return None if found else settings


def serving_groups(
    given: Mapping[str, tuple[ServeSettings, Sequence[str]]],
    merged: Callable[[str], Mapping[str, object]],
    problems: list[str],
) -> dict[str, Serving]:
    """The groups that serve, by their name.

    Args:
        given: group -> its settings, and its hosts.
        merged: everything that is set for a host.
        problems: gets what is wrong between hosts and groups.
    """
    taken: dict[str, str] = {}
    groups: dict[str, Serving] = {}
    for group, (settings, hosts) in given.items():
        where = f"groups.{group}.{KEY}"
        members = list(dict.fromkeys((settings.head, *hosts)))
        for name in members:
            if name in taken:
                problems.append(f"{where}: {name} serves in the group {taken[name]} already; a host serves in one")
            taken.setdefault(name, group)
        problems += _differing(where, members, merged)
        addresses = {name: settings.addresses.get(name) or _own_address(merged(name), name) for name in members}
        lacking = [name for name, address in addresses.items() if address is None]
        problems += [
            f"{where}.addresses.{name}: is needed: `address` of {name} is not an IPv4 address of the lab's network"
            for name in lacking
        ]
        known = {name: address for name, address in addresses.items() if address is not None}
        if len(set(known.values())) < len(known):
            problems.append(f"{where}.addresses: two hosts have the same address")
        first, last = map(int, settings.worker_ports.split("-"))
        data = merged(settings.head).get("data")
        if settings.shared_cache and data and PurePosixPath(settings.shared_cache).is_relative_to(str(data)):
            problems.append(f"{where}.shared_cache: lies in the image folder {data}; give it a folder of its own")
        groups[group] = Serving(group, settings.head, known, settings.port, (first, last), settings.shared_cache)
    return groups


def _own_address(layer: Mapping[str, object], name: str) -> str | None:
    try:
        return _network_address(str(layer.get("address", name)))
    except ValueError:
        return None


def _differing(where: str, members: Sequence[str], merged: Callable[[str], Mapping[str, object]]) -> list[str]:
    head = merged(members[0])
    return [
        f"{where}: `{key}` of {name} is not that of {members[0]}; the hosts of a group with `{KEY}` have it in common"
        for key in SHARED
        for name in members[1:]
        if merged(name).get(key) != head.get(key)
    ]


def _sentence(where: str, words: str, kind: str) -> str:
    """A problem with its path; what may stand there instead is not a setting of a host."""
    name, _, text = words.partition(": ")
    if kind == "extra_forbidden":
        return f"{where}.{name}: is not known here; there are {', '.join(serve_fields())}"
    if kind == "missing":
        return f"{where}.{name}: is missing; it names the host with Label Studio"
    return f"{where}.{name}: {text}"
