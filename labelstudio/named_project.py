"""What `--project` means: a key of `projects.yaml`, or a title; without one, the default project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import SettingsError
from core.text import inline
from labelstudio.config import ProjectSpec, demo_spec, load_project

if TYPE_CHECKING:
    from labelstudio.client import Client
    from labelstudio.models import Project


def named_project(client: Client, repository: Path, called: str | None, *, on_demo: bool = False) -> Project:
    """The project that `projects.yaml` has under this key or title; else the one of this title in Label Studio.

    Args:
        repository: the clone with `projects.yaml`.
        called: the key or title; None means the default project.
        on_demo: the stack works on the demo images: the project on them is meant before the one of the same key.

    Raises:
        SettingsError: there is none, or several have the title.
    """
    titles = client.titles()
    wanted = _titles_of(repository, called, on_demo=on_demo)
    for title in wanted:
        ids = [project_id for project_id, other in titles.items() if other == title]
        if len(ids) == 1:
            return client.project(ids[0])
        if ids:
            shown = ", ".join(map(str, ids))
            raise SettingsError(
                f"Label Studio has {len(ids)} projects called {title!r} (ids {shown}); rename all but one"
            )
    there = ", ".join(map(inline, sorted(set(titles.values())))) or "none"
    raise SettingsError(
        f"Label Studio has no project called {called or wanted[0]!r} (there are: {there}); --project takes the name in "
        "labeling_configs/projects.yaml, or the title as it is shown"
    )


def named_spec(repository: Path, called: str | None) -> ProjectSpec | None:
    """What `projects.yaml` says of a project; None of one that was made by hand, which it does not have.

    Raises:
        SettingsError: no project was named, and there is no default one.
    """
    try:
        return load_project(repository, called, provable=False)
    except SettingsError:
        if called is None:
            raise
        return None  # a broken file does not concern it


def _titles_of(repository: Path, called: str | None, *, on_demo: bool) -> list[str]:
    """The titles that the project may have, the likeliest first."""
    spec = named_spec(repository, called)
    if spec is None:
        return [] if called is None else [called]
    plain, demo = spec.title, demo_spec(spec).title
    titles = [demo, plain] if on_demo else [plain, demo]
    if called is None or called == spec.name:
        return [*titles, spec.name]
    return list(dict.fromkeys([called, *titles]))
