"""`./inv rollback`, `releases` and `audit` on hosts."""

from __future__ import annotations

from collections.abc import Callable

from core.errors import LabelrigError
from core.results import HostResult, recap
from infra.deploy.deployment import Deployment
from infra.deploy.group_rollback import roll_back_group
from infra.deploy.recovery import roll_back
from infra.deploy.units import Unit, on_units, units_of
from infra.fleet.choice import Choice, Outcome, failed_line
from infra.fleet.on_hosts import on_hosts
from infra.fleet.parallel import exit_code_of, reports_for
from infra.fleet.run import RunOptions
from infra.fleet.session import Session, session
from infra.releases.audit import AuditEvent
from infra.releases.store import Found


def run_rollback(
    choice: Choice, options: RunOptions, wanted: str | None, *, confirm: Callable[[str], None] | None
) -> Outcome:
    """Let an earlier release serve again: on the first host alone, or all of its group, then on the others.

    Hosts that serve together are one: the head goes first, whatever their order in the inventory.
    """
    units = units_of(choice.select(), parts=True)
    hosts = [host for unit in units for host in unit]
    if confirm is not None:
        what = f"release {wanted}" if wanted is not None else "the release before the current one"
        confirm(f"This lets {what} serve on {', '.join(host.name for host in hosts)}.")
    reports = reports_for(hosts)
    ended: dict[str, LabelrigError] = {}

    def work(unit: Unit) -> None:
        if unit[0].serving is not None:
            roll_back_group(options, unit, reports, ended, wanted)
            return
        with session(options, unit[0], reports[unit[0].name], lock=True, audit=True) as one:
            one.release_id = str(roll_back(Deployment.of(one), wanted, one.report).id)

    results = on_units(choice, units, reports, work, ended, fail_fast=True, barrier=True)
    return Outcome(results, recap(results), exit_code_of(results))


def list_releases(choice: Choice, options: RunOptions) -> Outcome:
    """List the releases of each host, the newest first."""

    def read(one: Session) -> None:
        found = one.releases.read()
        one.report.facts["releases"] = [_release(found, number) for number in range(len(found.releases))][::-1]

    def lines(result: HostResult) -> list[str]:
        rows = result.report.facts.get("releases", [])
        assert isinstance(rows, list)  # noqa: S101 - written above
        return [
            f"  {'*' if row['current'] else ' '} {row['id']}  {row['gate']:<7}  {row['model']:<9}  {row['by']}"
            for row in rows
        ] or ["    no release yet"]

    return _read_from_each(choice, options, read, lines)


def list_audit(choice: Choice, options: RunOptions, last: int) -> Outcome:
    """List the last entries of each host's audit log, oldest first."""

    def read(one: Session) -> None:
        entries = one.log.entries(last)
        one.report.facts["audit"] = [entry.model_dump() for entry in entries]

    def lines(result: HostResult) -> list[str]:
        rows = result.report.facts.get("audit", [])
        assert isinstance(rows, list)  # noqa: S101 - written above
        return [_audit_line(AuditEvent.model_validate(row)) for row in rows] or ["  nothing yet"]

    return _read_from_each(choice, options, read, lines)


def _read_from_each(
    choice: Choice,
    options: RunOptions,
    read: Callable[[Session], None],
    lines: Callable[[HostResult], list[str]],
) -> Outcome:
    results = on_hosts(choice, options, read)
    text = [failed_line(one) if one.error is not None else "\n".join([one.host, *lines(one)]) for one in results]
    return Outcome(results, "\n".join(text), exit_code_of(results))


def _release(found: Found, number: int) -> dict[str, object]:
    one = found.releases[number]
    manifest = one.manifest
    return {
        "id": str(one.id),
        "current": one.id == found.current_id,
        "gate": one.gate,
        "model": manifest.model if manifest is not None else "?",
        "by": manifest.by if manifest is not None else "release.json cannot be read",
        "made_at": manifest.made_at if manifest is not None else "",
    }


def _audit_line(entry: AuditEvent) -> str:
    error = f"  {entry.error}" if entry.error else ""
    # Of a run that goes on, or died, that is not known.
    done = f"  {entry.changes} changed  {entry.seconds:.0f} s" if entry.seconds is not None else ""
    return f"  {entry.at}  {entry.result:<11}  {entry.command:<14}  {entry.who}  {entry.commit[:7]}{done}{error}"
