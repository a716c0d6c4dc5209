"""The mark of a restore that is exchanging what a stack works on: until it is done, nothing may serve."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from core.errors import LabelrigError
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


def read_restoring(site: Site) -> Restoring | None:
    """The restore that was begun and not finished; None where there is none.

    Raises:
        LabelrigError: the mark cannot be read.
    """
    path = f"{site.state}/{RESTORING}"
    content = site.host.read(path, as_root=not site.host.is_local)
    if content is None:
        return None
    try:
        found = json.loads(content)
        return Restoring(str(found["snapshot"]), str(found["before"]), str(found["stamp"]))
    except (ValueError, KeyError, TypeError):
        raise LabelrigError(
            f"{site.host.name}: {path} is damaged; give `./inv restore` the backup to restore"
        ) from None


def write_restoring(site: Site, mark: Restoring) -> None:
    """Mark the stack: from here on only a restore may start it."""
    facts: Mapping[str, str] = asdict(mark)
    content = (json.dumps(facts) + "\n").encode()
    site.host.write(f"{site.state}/{RESTORING}", content, 0o644, as_root=not site.host.is_local)


def remove_restoring(site: Site) -> None:
    """Take the mark away: what the stack works on is whole."""
    site.host.run("rm", "-f", f"{site.state}/{RESTORING}", as_root=not site.host.is_local)


def refuse_half_restored(site: Site) -> None:
    """A stack is never started on half of a backup.

    Raises:
        LabelrigError: a restore was cut off.
    """
    if site.host.read(f"{site.state}/{RESTORING}", as_root=not site.host.is_local) is None:
        return
    option = "" if site.host.is_local else f" --host {site.host.name}"
    raise LabelrigError(
        f"{site.host.name}: a restore was cut off while it exchanged the data, and the stack is half of two; "
        f"`./inv restore{option}` finishes it; nothing was started"
    )
