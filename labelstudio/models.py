"""What labelrig knows of the things in Label Studio: the few fields it looks at, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.text import inline

CONNECTED = "CO"
SYNCING = "in_progress"


@dataclass(frozen=True)
class Project:
    """A project. `task_count` is what Label Studio counts at this moment."""

    id: int
    title: str
    description: str
    label_config: str
    show_collab_predictions: bool
    task_count: int
    sampling: str = ""
    key: str = ""  # what Label Studio calls it towards the backend: under this its options are known there


@dataclass(frozen=True)
class Storage:
    """A local-files import storage. `path` is absolute, as the label-studio container sees it."""

    id: int
    title: str
    path: str
    regex_filter: str
    use_blob_urls: bool
    recursive_scan: bool
    status: str = ""
    traceback: str = ""

    @property
    def syncing(self) -> bool:
        """Whether a sync is under way (or was, when the server died: Label Studio finds out after 25 s)."""
        return self.status == SYNCING


@dataclass(frozen=True)
class TaskRef:
    """A task and the URL of its image, as Label Studio stores it; `file` is the file that its storage knows it by."""

    id: int
    image: str
    annotations: int
    file: str | None = None


@dataclass(frozen=True)
class BasicAuth:
    """With what Label Studio opens an ML backend.

    It never shows the password again, and it does show the name: with another password goes another name, so that the
    name tells which one it holds. To our backend the name means nothing.
    """

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Backend:
    """An ML backend of a project, with the state that Label Studio found when it was asked."""

    id: int
    url: str
    title: str
    is_interactive: bool
    state: str
    error: str
    model_version: str
    options: object = None  # `extra_params` as Label Studio has it
    user: str = ""  # of its basic authentication; empty where it has none

    @property
    def shown(self) -> str:
        """Title and URL, for people."""
        return inline(f"{self.title} at {self.url}")

    @property
    def connected(self) -> bool:
        """Whether its health and setup answers were good just now."""
        return self.state == CONNECTED


@dataclass(frozen=True)
class ClickAnswer:
    """What `interactive-annotating` answered: `data` as the browser gets it, or `errors`. `seconds` is wall time."""

    data: Mapping[str, object] | None
    errors: tuple[str, ...]
    seconds: float
