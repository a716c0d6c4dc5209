"""What is deployed: the commit of this clone, and whether something in it differs from that commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hosts.base import ANY_EXIT_CODE, Host

NO_COMMIT = "0" * 40


@dataclass(frozen=True)
class Commit:
    """`digest` in hex, zeros where this is no clone; `dirty`: files differ from it."""

    digest: str
    dirty: bool


def read_commit(here: Host, repository: Path) -> Commit:
    """Ask git. An unpacked archive has no commit, which is no error."""
    git = ("git", "-C", str(repository))
    head = here.run(*git, "rev-parse", "--verify", "HEAD", ok=ANY_EXIT_CODE)
    if not head.ok:
        return Commit(NO_COMMIT, dirty=True)
    changed = here.run(*git, "status", "--porcelain", "--untracked-files=no", ok=ANY_EXIT_CODE)
    return Commit(head.stdout.strip(), dirty=bool(changed.stdout.strip()) or not changed.ok)
