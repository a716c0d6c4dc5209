"""Hosts of a command line that are changed as one: a host by itself, or those of a group that serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from core.errors import LabelrigError, SettingsError
from core.report import Report
from core.results import HostResult
from hosts.base import Host
from infra.config.host_settings import HostSettings
from infra.fleet.choice import Choice
from infra.fleet.parallel import SKIPPED, on_each
from infra.fleet.session import causes_named

Unit = tuple[HostSettings, ...]


def units_of(hosts: Sequence[HostSettings], *, parts: bool = False) -> list[Unit]:
    """The hosts that are changed as one: by itself each, or all of a group that serves, its head first.

    Args:
        parts: some hosts of a group will do.

    Raises:
        SettingsError: of a group that serves, some are missing.
    """
    named = {host.name: host for host in hosts}
    units: list[Unit] = []
    for host in hosts:
        serving = host.serving
        if serving is None:
            units.append((host,))
            continue
        lacking = [name for name in serving.members if name not in named]
        if lacking and not parts:
            raise SettingsError(
                f"{host.name} serves together with {', '.join(lacking)}; give `--group {serving.group}`: its hosts are "
                "changed as one"
            )
        there = [name for name in serving.members if name in named]
        if host.name == there[0]:
            units.append(tuple(named[name] for name in there))
    return units


def on_units(
    choice: Choice,
    units: Sequence[Unit],
    reports: dict[str, Report],
    work: Callable[[Unit], None],
    ended: Mapping[str, LabelrigError],
    *,
    fail_fast: bool,
    barrier: bool,
) -> list[HostResult]:
    """Do the work on each unit; how it went, a result for each of its hosts.

    Args:
        ended: gets the errors of hosts that are not the first of their unit.
    """
    by_leader = {unit[0].name: unit for unit in units}
    done = on_each(
        [unit[0] for unit in units],
        reports,
        lambda host, _report: work(by_leader[host.name]),
        parallel=choice.parallel,
        fail_fast=fail_fast,
        barrier=barrier,
    )
    results: list[HostResult] = []
    for one in done:
        results.append(one)
        for host in by_leader[one.host][1:]:
            error = ended.get(host.name)
            text = str(error) if error is not None else SKIPPED if one.exit_code else None
            code = error.exit_code if error is not None else int(text is not None)
            results.append(HostResult(host.name, reports[host.name], text, code, one.seconds))
    return results


@contextmanager
def on_member(host: Host, ended: dict[str, LabelrigError]) -> Iterator[None]:
    """What fails here failed on this host of a group, and ends the run of all.

    Args:
        ended: host -> the error with which it ended; gets it.
    """
    try:
        with causes_named(host):
            yield
    except LabelrigError as error:
        ended[host.name] = error
        text = str(error)
        raise LabelrigError(text if text.startswith(f"{host.name}: ") else f"{host.name}: {text}") from None
