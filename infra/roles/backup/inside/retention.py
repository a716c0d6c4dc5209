"""Which snapshots count, and which may go.

restic writes a snapshot before anything can be said about it: also where it could not read a file, and where a run is
killed before the uploads were looked at again. Until then a snapshot has the tag `labelrig-unchecked` in place of
`labelrig`, so that neither a restore nor the rule of what stays ever takes it for a backup.
"""

from __future__ import annotations

from typing import Any

from infra.roles.backup.inside.request import BEFORE, Request
from infra.roles.backup.inside.restic import LONG, Failed, Restic, say

UNCHECKED = "labelrig-unchecked"
LAST = ("--keep-last", "3")
MARK_SECONDS = 6 * 3600.0  # how long a whole snapshot waits for its turn to become a backup
WAY_BACK_DAYS = 30  # how long a backup stays that was made before a restore, counted back from the newest such backup


def unchecked_tags(request: Request) -> list[str]:
    """The tags of a snapshot until it is known to be whole."""
    return [UNCHECKED, *request.tags[1:]]


def count_as_backup(request: Request, restic: Restic, snapshot: str) -> str:
    """Give a checked snapshot the tags of a backup. Returns: its id, which restic makes anew.

    Raises:
        Failed: it could not; the snapshot stays unchecked.
    """
    restic.run_in_turn("tag", "--set", ",".join(request.tags), snapshot, wait=MARK_SECONDS)
    for row in listed(request, restic, *request.tags):
        if str(row.get("original", row["id"])).startswith(snapshot):
            return str(row["short_id"])
    raise Failed(f"restic tag: the snapshot {snapshot} is not there with its new tags")


def forget_unchecked(request: Request, restic: Restic) -> None:
    """Forget what runs of this machine left that failed or were killed. Where it cannot be now, a later run does it."""
    try:
        if ids := [str(row["id"]) for row in listed(request, restic, *unchecked_tags(request)[:2], here=True)]:
            restic.run_in_turn("forget", *ids)
    except Failed as error:
        say(f"snapshots that never became backups stay for now: {error}")


def forget_old(request: Request, restic: Restic) -> None:
    """Forget what no rule keeps, of this machine, and free its room.

    Raises:
        Failed: the repository could not be had alone, or restic failed. Nothing that a rule keeps is gone.
    """
    usual = [word for reason in BEFORE for word in ("--keep-tag", reason)]
    _forget(request, restic, request.tags[:2], *LAST, *request.keep_arguments, *usual)
    for reason in BEFORE:
        _forget(request, restic, [*request.tags[:2], reason], *LAST, "--keep-within", f"{WAY_BACK_DAYS}d")
    restic.run_in_turn("prune", timeout=LONG, lines=say)


def listed(request: Request, restic: Restic, *tags: str, here: bool = False) -> list[dict[str, Any]]:
    """The snapshots that have all of some tags, as restic describes them.

    Args:
        here: only those of this machine.
    """
    host = ("--host", request.machine) if here else ()
    found: list[dict[str, Any]] = restic.facts("snapshots", "--json", *host, "--tag", ",".join(tags)) or []
    return found


def _forget(request: Request, restic: Restic, tags: list[str], *keep: str) -> None:
    where = ("--host", request.machine, "--group-by", "host,tags", "--tag", ",".join(tags))
    restic.run_in_turn("forget", *where, *keep, lines=say)
