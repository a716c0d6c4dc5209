"""What an image of Label Studio says of itself: its version, and the migrations that it knows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import LabelrigError
from hosts.base import Host
from infra.database.known_migrations import MARK
from infra.roles.docker.compose import run_docker
from labelstudio.program import program
from labelstudio.session import OWN_PYTHON

ASK_TIMEOUT = 180.0


@dataclass(frozen=True)
class LabelStudioImage:
    """One image of Label Studio.

    Attributes:
        version: of Label Studio.
        known: every migration that it knows, `app.name`, those among them that others have replaced.
        current: those that it applies to an empty database.
        final: those that cannot be undone.
    """

    version: str
    known: frozenset[str]
    current: frozenset[str]
    final: frozenset[str]

    def pending(self, applied: Sequence[str]) -> list[str]:
        """The migrations that it would apply to a database."""
        return sorted(self.current - set(applied))

    def unknown(self, applied: Sequence[str]) -> list[str]:
        """The migrations of a database that it does not know: a later Label Studio has applied them."""
        return sorted(set(applied) - self.known)


def label_studio_of(host: Host, image: str, uid: int) -> LabelStudioImage:
    """Ask an image, in a container that reaches nothing and is removed.

    Raises:
        LabelrigError: it does not say.
    """
    limits = ("--network", "none", "--read-only", "--cap-drop", "ALL", "--user", f"{uid}:{uid}", "--memory", "2g")
    places = ("--tmpfs", "/tmp:mode=1777", "--env", "LABEL_STUDIO_BASE_DATA_DIR=/tmp/data")  # noqa: S108 - its own
    silent = ("--env", "LABEL_STUDIO_SENTRY_DSN=", "--env", "LABEL_STUDIO_COLLECT_ANALYTICS=false")
    command = ("docker", "run", "--rm", "--interactive", *limits, *places, *silent, image, *OWN_PYTHON)
    done = run_docker(host, *command, timeout=ASK_TIMEOUT, stdin=program(["known_migrations"]))
    try:
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
        said = json.loads(line.removeprefix(MARK))
        lists = {name: frozenset(map(str, said[name])) for name in ("known", "current", "final")}
        return LabelStudioImage(str(said["version"]), **lists)
    except (ValueError, KeyError, TypeError):
        raise LabelrigError(
            f"{host.name}: {image} does not say which migrations it knows: {done.stdout[-200:]!r}"
        ) from None
