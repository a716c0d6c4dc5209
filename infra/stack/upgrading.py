"""The mark of an upgrade that was begun: until it has ended, nothing else starts the stack or exchanges its data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Literal

from core.errors import LabelrigError, Unfinished
from infra.roles.backup.files import UPGRADING
from infra.stack.site import Site

Phase = Literal["keeping", "forward", "served", "back"]
PHASES = ("keeping", "forward", "served", "back")
PRIVATE = 0o600


@dataclass(frozen=True)
class Upgrading:
    """What an upgrade that was begun is about.

    Attributes:
        stamp: the moment, in the names of what is kept.
        phase: `keeping`: the old data are being set aside, and nothing new has worked on them; `forward`: the new
            version may have; `served`: it passed its gate, people may be in, and there is no way back; `back`: the old
            data and the old version are being put back.
        previous: what served before: the id of a release, empty on this machine.
        backup: the backup of the state before; empty: none was made, on request.
        passing: what requests carry that the proxy lets through while people see the maintenance page.
        postgres: the major version of the server's data before; empty where it stays the same.
        cause: why it goes back.
    """

    stamp: str
    phase: Phase
    previous: str
    backup: str
    passing: str
    postgres: str = ""
    cause: str = ""


def read_upgrading(site: Site) -> Upgrading | None:
    """The upgrade that was begun and not ended; None where there is none.

    Raises:
        LabelrigError: the mark cannot be read.
    """
    path = f"{site.state}/{UPGRADING}"
    content = site.host.read(path, as_root=not site.host.is_local)
    if content is None:
        return None
    try:
        found = json.loads(content)
        mark = Upgrading(**{field.name: found[field.name] for field in fields(Upgrading)})
        if mark.phase not in PHASES or not all(isinstance(value, str) for value in asdict(mark).values()):
            raise ValueError(mark.phase)
    except (ValueError, KeyError, TypeError):
        raise LabelrigError(
            f"{site.host.name}: {path} is damaged, so how far an upgrade came is unknown; "
            f"`./inv restore{site.host_option}` brings the stack to a backup"
        ) from None
    return mark


def write_upgrading(site: Site, mark: Upgrading) -> None:
    """Write the mark, or how far it came."""
    content = (json.dumps(asdict(mark)) + "\n").encode()
    site.host.write(f"{site.state}/{UPGRADING}", content, PRIVATE, as_root=not site.host.is_local)


def remove_upgrading(site: Site) -> None:
    """Take the mark away: one version serves on its own data."""
    site.host.run("rm", "-f", f"{site.state}/{UPGRADING}", as_root=not site.host.is_local)


def is_half_upgraded(site: Site) -> bool:
    """Whether an upgrade was begun and not ended, whatever its mark says."""
    return site.host.read(f"{site.state}/{UPGRADING}", as_root=not site.host.is_local) is not None


def refuse_half_upgraded(site: Site) -> None:
    """Make sure that no upgrade was cut off.

    Raises:
        Unfinished: one was.
    """
    if not is_half_upgraded(site):
        return
    raise Unfinished(
        f"{site.host.name}: an upgrade was cut off; `./inv upgrade{site.host_option}` goes on from there, or puts the "
        "old version with the old data back; nothing was changed"
    )
