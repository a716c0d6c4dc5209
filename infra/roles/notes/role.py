"""The role "notes": `README` in the stack's folder, for the administrator of the server who did not deploy it."""

from __future__ import annotations

from core.operation import Operation
from hosts.base import Host
from infra.roles.stack.files import FilesWritten
from infra.roles.stack.render import RenderedFile

FILE = "README"
TEXT = """\
This folder belongs to labelrig: Label Studio with a SAM2 backend, in the containers of the compose project {project}.
It is written from another machine by `./inv deploy --host {host}`; the next deploy overwrites what is edited here.

  secrets.env   passwords and keys; without it the database cannot be used: back it up
  releases/     the files that compose read, `current` leads to those in use
  audit.jsonl   who deployed what, and how it went
  lock/         exists while a deploy runs

Annotations lie in the Docker volumes {project}_*: `docker compose down --volumes` and `docker volume prune --all`
delete them.

On this server:
  docker ps --filter label=com.docker.compose.project={project}
From a clone of labelrig, with an SSH login here:
  ./inv status --host {host}      what runs
  ./inv doctor --host {host}      the first thing that is broken, and its fix
  ./inv rollback --host {host}    back to the release before
"""


def notes_role(host: Host, folder: str, project: str) -> list[Operation]:
    """Return the operations that explain the stack on the server itself.

    Args:
        folder: where secrets and releases of the stack lie on the host.
        project: the compose project.
    """
    text = TEXT.format(project=project, host=host.name)
    return [FilesWritten(host, [RenderedFile(f"{folder}/{FILE}", text.encode(), 0o644)])]
