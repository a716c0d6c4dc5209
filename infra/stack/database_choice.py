"""Which database a stack works on, and that it is never exchanged for an empty one by a changed setting."""

from __future__ import annotations

from core.errors import SettingsError
from infra.config.stack_settings import Database
from infra.roles.stack.render import POSTGRES
from infra.stack.site import Site


def refuse_other_database(now: Database | None, wanted: Database, host: str | None) -> None:
    """A stack is never started on an empty database while its work is in another one.

    Args:
        now: what the stack works on; None where there is none yet.
        host: the name of a host; None for this machine.

    Raises:
        SettingsError: the two differ.
    """
    if now is None or now == wanted:
        return
    where, option = ("this machine", "") if host is None else (host, f" --host {host}")
    raise SettingsError(
        f"the stack on {where} works on {now}, and the settings say {wanted}, which would begin empty; "
        f"`./inv database.move --to {wanted}{option}` moves the work there, or set it to {now} again"
    )


def database_of(site: Site) -> Database | None:
    """The kind of database that the stack's present files name; None where there are none."""
    as_root = not site.host.is_local
    if site.host.read(f"{site.stack_folder}/stack.env", as_root=as_root) is None:
        return None
    return "postgres" if site.host.read(f"{site.stack_folder}/{POSTGRES}", as_root=as_root) is not None else "sqlite"
