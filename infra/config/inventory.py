"""The inventory: which hosts there are, what is set for each, and which of them a command means.

Precedence, weakest first: default of the setting, `defaults`, groups in the order of the file, the host, the command
line. Mappings (`backend`, `docker_daemon`) are merged key by key. Reads one file and no host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import ValidationError

from core.errors import SettingsError
from core.strict_yaml import parse_yaml
from core.text_file import read_text
from infra.config.address import address_problems
from infra.config.host_settings import HostSettings, in_words
from infra.config.inventory_file import (
    EVERYTHING,
    Layer,
    mapping,
    member_names,
    named,
    settings_at,
    shared,
    without_free,
)
from infra.config.overrides import option
from infra.config.serving import KEY as SERVE
from infra.config.serving import ServeSettings, Serving, read_serve, serving_groups
from infra.config.stack_settings import listed
from infra.config.value_types import Target, parse_target

PARTS = ("defaults", "groups", "hosts")
SSH_PORT = 22


@dataclass(frozen=True)
class Group:
    """Hosts that share settings, and may serve together."""

    hosts: tuple[str, ...]
    settings: Layer
    serve: ServeSettings | None = None


@dataclass(frozen=True)
class Inventory:
    """A checked inventory file. `select` says what a command is to do, and with which settings."""

    path: Path
    defaults: Layer
    groups: Mapping[str, Group]
    hosts: Mapping[str, Layer]
    serving: Mapping[str, Serving] = field(default_factory=dict)  # by the name of the group

    def select(
        self, hosts: Sequence[str], groups: Sequence[str], limit: str | None, overrides: Mapping[str, object]
    ) -> list[HostSettings]:
        """Return the hosts of a command line, in its order, each once, with everything that is set for them.

        Args:
            hosts: names of the inventory, or `user@name[:port]`; the latter may be a host that is not in it.
            groups: names of groups; `all` means every host.
            limit: names and globs with commas, `!` in front leaves out; alone it chooses from every host.
            overrides: settings of the command line, by name; see `infra.config.overrides`.

        Raises:
            SettingsError: a name or a value cannot be used, or no host is left.
        """
        chosen: dict[str, tuple[str | None, Layer]] = {}
        for text in hosts:
            name, entry, target = self._meant(text)
            chosen[name] = (entry, target)
        for group in groups or ([EVERYTHING] if limit and not hosts else []):
            for name in self._members(group):
                chosen.setdefault(name, (name, {}))
        if not chosen:
            raise SettingsError(f"no host was named; give --host, --group or --limit ({self._there_is()})")
        kept = [name for name in chosen if limit is None or name in _limited(limit, list(chosen))]
        if not kept:
            raise SettingsError(f"--limit leaves none of {', '.join(chosen)}")
        settings = [self._settings(name, *chosen[name], overrides) for name in kept]
        _refuse_twice_the_same(settings)
        others = (name for name in self.hosts if name not in kept)
        merged = ({**self._merged(one), "name": one} for one in others)
        _refuse_one_repository(settings, [HostSettings.model_validate(one) for one in merged])
        return settings

    def read_serving(self, problems: list[str]) -> dict[str, Serving]:
        """The groups that serve; what is wrong between hosts and groups goes into `problems`."""
        given = {name: (one.serve, one.hosts) for name, one in self.groups.items() if one.serve is not None}
        return serving_groups(given, self._merged, problems)

    def _meant(self, text: str) -> tuple[str, str | None, Layer]:
        """What `--host TEXT` means: its name, its entry in the inventory, and what the text itself sets."""
        try:
            target = Target(text) if text in self.hosts else parse_target(text)
        except ValueError as error:
            raise SettingsError(f"--host {text}: {error}") from None
        login = {"user": target.user, "ssh_port": target.port}
        given = {key: value for key, value in login.items() if value is not None}
        entries = [name for name in self.hosts if target.address in (name, self._merged(name).get("address"))]
        if target.address in entries:
            return target.address, target.address, given
        if len(entries) > 1:
            raise SettingsError(f"--host {text}: is the address of {', '.join(entries)}; give one of these names")
        if entries:
            return entries[0], entries[0], given
        if self.hosts and target.user is None:
            raise SettingsError(
                f"--host {text}: is not in the inventory ({self._there_is()}); write USER@{text} for a host outside it"
            )
        return _name_of(target), None, {"address": target.address, **given}

    def _members(self, group: str) -> Sequence[str]:
        if group == EVERYTHING:
            return list(self.hosts)
        if group not in self.groups:
            raise SettingsError(f"--group {group}: there is no such group ({self._there_is()})")
        return self.groups[group].hosts

    def _merged(self, name: str | None) -> Layer:
        """The settings of a host, or those of one that the inventory does not know."""
        layers = [{"docker_daemon": HostSettings(name="any").docker_daemon}, self.defaults]
        if name is not None:
            layers += [group.settings for group in self.groups.values() if name in group.hosts]
            layers.append(self.hosts[name])
        merged: Layer = {}
        for layer in layers:
            merged = _over(merged, layer)
        return merged

    def _settings(self, name: str, entry: str | None, target: Layer, overrides: Mapping[str, object]) -> HostSettings:
        if "name" in overrides:
            raise SettingsError(f"{option('name')}: is not a setting; a host's name is its key in the inventory")
        merged = _over(_over(self._merged(entry), target), overrides)
        try:
            settings = HostSettings.model_validate({**merged, "name": name})
        except ValidationError as error:  # the file was checked when it was read: it is the command line
            found = (in_words(one).partition(": ") for one in error.errors(include_input=False, include_url=False))
            raise SettingsError(listed([f"{option(key)}: {text}" for key, _, text in found], name)) from None
        if problems := [f"{key}: {text}" for key, text in address_problems(settings)]:
            raise SettingsError(listed(problems, name))
        return settings.with_serving(next((one for one in self.serving.values() if entry in one.members), None))

    def _there_is(self) -> str:
        hosts = f"hosts: {', '.join(self.hosts)}" if self.hosts else f"{self.path} names no hosts yet"
        return f"{hosts}; groups: {', '.join((*self.groups, EVERYTHING))}"


def load_inventory(path: Path) -> Inventory:
    """Read and check an inventory.

    Raises:
        SettingsError: it cannot be read, or lists everything that is wrong, by path, without values.
    """
    text = read_text(path)
    problems: list[str] = []
    content = parse_yaml(text, str(path))
    top = without_free(mapping({} if content is None else content, "the inventory", problems))
    problems += [f"{key}: is not a part of an inventory; known: {', '.join(PARTS)}" for key in top if key not in PARTS]
    defaults = shared(settings_at(top.get("defaults"), "defaults", problems), "defaults", problems)
    hosts = {
        name: settings_at(value, f"hosts.{name}", problems)
        for name, value in named(top.get("hosts"), "hosts", problems)
    }
    groups: dict[str, Group] = {}
    for name, value in named(top.get("groups"), "groups", problems):
        where = f"groups.{name}"
        body = dict(mapping({} if value is None else value, where, problems))
        members = member_names(body.pop("hosts", None), f"{where}.hosts", hosts, problems)
        serve = read_serve(body.pop(SERVE), f"{where}.{SERVE}", members, problems) if SERVE in body else None
        settings = shared(settings_at(body, where, problems, also=("hosts", SERVE)), where, problems)
        groups[name] = Group(members, settings, serve)
    if problems:
        raise SettingsError(listed(problems, str(path)))
    inventory = Inventory(path, defaults, groups, hosts)
    serving = inventory.read_serving(problems)
    if problems:
        raise SettingsError(listed(problems, str(path)))
    return replace(inventory, serving=serving)


def _over(below: Layer, above: Layer) -> Layer:
    """Lay settings over others: mappings are merged, everything else replaces."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _over(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return merged


def _limited(limit: str, names: Sequence[str]) -> set[str]:
    """The names that `--limit` lets through. A pattern that means no host is a slip, and with `!` a dangerous one."""
    wanted: set[str] = set()
    unwanted: set[str] = set()
    patterns = [pattern.strip() for pattern in limit.split(",") if pattern.strip()]
    for pattern in patterns:
        glob = pattern.removeprefix("!")
        found = {name for name in names if name == glob or fnmatchcase(name, glob)}
        if not found:
            raise SettingsError(f"--limit {limit}: `{glob}` means none of {', '.join(names)}")
        (unwanted if pattern.startswith("!") else wanted).update(found)
    only_unwanted = all(pattern.startswith("!") for pattern in patterns)
    return (set(names) if only_unwanted else wanted) - unwanted


def _refuse_twice_the_same(chosen: Sequence[HostSettings]) -> None:
    seen: dict[tuple[str, int, str], str] = {}
    for host in chosen:
        key = (host.address.lower(), host.ssh_port or SSH_PORT, host.project)
        if key in seen:
            raise SettingsError(
                f"{seen[key]} and {host.name} are the same machine ({host.address}, port {key[1]}) and project "
                f"`{host.project}`; name one of them, or give one another `project`"
            )
        seen[key] = host.name


def _refuse_one_repository(chosen: Sequence[HostSettings], others: Sequence[HostSettings]) -> None:
    """Two stacks of one name in one repository: on machines of one name, one could be restored over the other.

    A folder says nothing: it may be a disk of each machine's own.
    """
    for host in chosen:
        repository = host.backup_repository
        if repository is None or repository.startswith("/"):
            continue
        for other in (*chosen, *others):
            same = (other.address.lower(), other.ssh_port) == (host.address.lower(), host.ssh_port)
            if not same and (other.backup_repository, other.project) == (repository, host.project):
                raise SettingsError(
                    f"{host.name} and {other.name} keep backups of a stack `{host.project}` in one repository "
                    f"({repository}); give each a `backup_repository` of its own or another `project`, or take the one "
                    "that is gone out of the inventory"
                )


def _name_of(target: Target) -> str:
    """What a host outside the inventory is called: two ports of one address are two names."""
    if target.port is None:
        return target.address
    return f"[{target.address}]:{target.port}" if ":" in target.address else f"{target.address}:{target.port}"
