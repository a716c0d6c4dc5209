"""Nothing starts a stack, or moves its data, while a restore or an upgrade was begun and has not ended."""

from __future__ import annotations

from infra.stack.restoring import refuse_half_restored
from infra.stack.site import Site
from infra.stack.upgrading import refuse_half_upgraded


def refuse_unfinished(site: Site, *, upgrading: bool = False) -> None:
    """Make sure that what a stack works on is of one state.

    Args:
        upgrading: this is a part of the upgrade that has marked the stack.

    Raises:
        Unfinished: a restore or an upgrade was cut off; names the command that ends it.
    """
    refuse_half_restored(site)
    if not upgrading:
        refuse_half_upgraded(site)
