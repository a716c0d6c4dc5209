"""What a container that starts is doing, in words for the line of progress. Nothing is decided by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docker.models.containers import Container

LOG_LINES = 30
STATES = {"created": "being created", "restarting": "restarting", "exited": "stopped", "paused": "paused"}
# A part of a log line, and what goes on from then. The newest line with any of them counts.
PHASES = {
    # Label Studio: the first start on PostgreSQL applies some 400 migrations, which takes most of the time.
    "Database and media directory": "loading",
    "Initializing database": "running database migrations",
    "Applying ": "running database migrations",
    "Label Studio serves with": "first health check",
    "Starting development server": "first health check",  # of an older release
    # SAM2
    "weights /": "loading the model",
    "converting ": "converting the model for OpenVINO",
    "self-check of": "comparing the engine's masks",
    "model ready": "first health check",
    # PostgreSQL
    "files belonging to this database system": "making the database",
    "database system was shut down": "starting the database",
    "ready to accept connections": "first health check",
}


def activity(container: Container) -> str:
    """What a container does at the moment: "running database migrations"."""
    if container.status != "running":
        return STATES.get(container.status, container.status)
    lines = container.logs(tail=LOG_LINES).decode("utf-8", "replace").splitlines()
    for line in reversed(lines):
        for part, words in PHASES.items():
            if part in line:
                return words
    return "starting"
