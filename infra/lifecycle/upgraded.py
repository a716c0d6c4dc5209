"""The upgrades of a stack whose old data are still kept, and when they may go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from core.errors import LabelrigError
from infra.roles.backup.files import FOLDER
from infra.roles.backup.result import read_run
from infra.stack.site import Site

FILE = "upgraded.json"  # in the state folder
STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Upgraded:
    """One upgrade that went well.

    Attributes:
        stamp: the moment, in the names of what is kept.
        postgres: the major version of the server's data before; empty where it stayed.
        backup: the backup of the state before; empty: none was made.
    """

    stamp: str
    postgres: str
    backup: str


def read_upgraded(site: Site) -> list[Upgraded]:
    """The upgrades whose old data are kept, oldest first.

    Raises:
        LabelrigError: the list cannot be read.
    """
    path = f"{site.state}/{FILE}"
    content = site.host.read(path, as_root=not site.host.is_local)
    if content is None:
        return []
    try:
        return [Upgraded(str(one["stamp"]), str(one["postgres"]), str(one["backup"])) for one in json.loads(content)]
    except (ValueError, KeyError, TypeError):
        raise LabelrigError(
            f"{site.host.name}: {path} is damaged; the data of before an upgrade stay where they are: remove it when "
            "you have looked at them (docs/upgrade.md)"
        ) from None


def write_upgraded(site: Site, rows: Sequence[Upgraded]) -> None:
    """Write the list."""
    content = (json.dumps([asdict(one) for one in rows]) + "\n").encode()
    site.host.write(f"{site.state}/{FILE}", content, as_root=not site.host.is_local)


def not_needed(site: Site) -> list[Upgraded]:
    """The upgrades whose old data may go: since then a backup was made, and after it every byte was read again."""
    folder = f"{site.state}/{FOLDER}"
    backup, verified = (read_run(site.host, folder, what, good=True) for what in ("backup", "verify"))
    if backup is None or verified is None:
        return []
    # The last good backup may be later than the verification: then an earlier one was verified, or none since.
    proven = verified.ended - verified.seconds
    return [one for one in read_upgraded(site) if _moment(one) < _made(backup.ended, backup.seconds, proven)]


def _made(ended: float, seconds: float, proven: float) -> float:
    """When the newest backup that is known to be verified was begun; 0 where none is known."""
    return ended - seconds if ended <= proven else 0.0


def _moment(one: Upgraded) -> float:
    return datetime.strptime(one.stamp, STAMP).replace(tzinfo=UTC).timestamp()
