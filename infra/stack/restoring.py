"""The mark of a restore that is exchanging what a stack works on: until it is done, nothing may serve."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from core.errors import LabelrigError, Unfinished
from infra.roles.backup.files import RESTORING
from infra.stack.site import Site


@dataclass(frozen=True)
class Restoring:
    """What a restore that was begun is about.

    Attributes:
        snapshot: what is put in place.
        before: the backup of the state before; empty: there was nothing, or it was left out on request.
        stamp: in the names of what is put aside.
    """

    snapshot: str
    before: str
    stamp: str

    def text(self) -> str:
        """What stands in the file."""
        facts: Mapping[str, str] = asdict(self)
        return json.dumps(facts)


class DamagedMark(LabelrigError):
    """The mark is there, and what it is about is unknown."""


def read_restoring(site: Site) -> Restoring | None:
    """The restore that was begun and not finished; None where there is none.

    Raises:
        DamagedMark: it cannot be read.
    """
    path = f"{site.state}/{RESTORING}"
    content = site.host.read(path, as_root=not site.host.is_local)
    if content is None:
        return None
    try:
        found = json.loads(content)
        return Restoring(str(found["snapshot"]), str(found["before"]), str(found["stamp"]))
    except (ValueError, KeyError, TypeError):
        raise DamagedMark(
            f"{site.host.name}: a restore was cut off, and which one is unknown, as {path} is damaged; "
            f"`./inv restore SNAPSHOT{site.host_option}` restores the backup that you name "
            f"(`./inv backup.list{site.host_option}`); nothing was changed"
        ) from None


def begun_restore(site: Site, wanted: str) -> Restoring | None:
    """The restore that goes on; see `read_restoring`.

    Args:
        wanted: the backup that was named, empty where none was. With it a damaged mark says no more than that what is
            there is half of two, which is not backed up.
    """
    try:
        return read_restoring(site)
    except DamagedMark:
        if not wanted:
            raise
        return Restoring(wanted, "", "")


def remove_restoring(site: Site) -> None:
    """Take the mark away: what the stack works on is whole."""
    site.host.run("rm", "-f", f"{site.state}/{RESTORING}", as_root=not site.host.is_local)


def refuse_half_restored(site: Site) -> None:
    """A stack is never started on half of a backup.

    Raises:
        Unfinished: a restore was cut off.
    """
    if site.host.read(f"{site.state}/{RESTORING}", as_root=not site.host.is_local) is None:
        return
    raise Unfinished(
        f"{site.host.name}: a restore was cut off while it exchanged the data, and the stack is half of two; "
        f"`./inv restore{site.host_option}` finishes it; nothing was started"
    )
