"""The image folders that are mounted read-only in the containers that read them, under the same name.

A folder that was connected once stays mounted: the tasks made from it point at it. So switching from one
`--data` to another never turns finished work into broken images.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from core.errors import SettingsError
from hosts.base import Host
from labelstudio.projects_file import DEMO as DEMO

FILES_ROOT = "/label-studio/files"
SHARED_CACHE = "/shared-cache"  # inside the container
READERS = ("label-studio", "proxy")  # of images, beside the service that computes
NOT_IN_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class ImageFolder:
    """`path` on the server is mounted at `FILES_ROOT/name`."""

    name: str
    path: str

    @property
    def mount(self) -> str:
        """Where the folder is inside the containers."""
        return f"{FILES_ROOT}/{self.name}"


def folder_name(path: Path, taken: Sequence[str] = ()) -> str:
    """Return a name for `path` that is safe in URLs and regular expressions and not in `taken`."""
    base = NOT_IN_NAME.sub("-", path.name).strip("-.") or "images"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def read_folders(host: Host, state_file: str) -> list[ImageFolder]:
    """Return the folders connected so far.

    Raises:
        SettingsError: the state file is not what we wrote.
    """
    content = host.read(state_file, as_root=not host.is_local)
    if content is None:
        return []
    try:
        return [ImageFolder(str(one["name"]), str(one["path"])) for one in json.loads(content)]
    except (ValueError, TypeError, KeyError):
        raise SettingsError(
            f"{state_file}: is not the list of image folders that `up` writes; restore it, or delete it and "
            "run `up --data` once for each folder"
        ) from None


def with_folder(
    folders: Sequence[ImageFolder], path: Path, name: str | None = None
) -> tuple[list[ImageFolder], ImageFolder]:
    """Return all folders with `path` among them, and the one that stands for `path`.

    Args:
        name: what a new folder is called; by default after `path`.
    """
    for folder in folders:
        if folder.path == str(path):
            return list(folders), folder
    new = ImageFolder(name or folder_name(path, [DEMO, *(folder.name for folder in folders)]), str(path))
    return [*folders, new], new


def folder_called(folders: Sequence[ImageFolder], name: str) -> ImageFolder | None:
    """The folder that `images.folder` of a project names: a connected one, or one below it. None: none is connected.

    Args:
        name: `pairs`, or `pairs/rgb` for a folder below it.
    """
    first, _, below = name.partition("/")
    for folder in folders:
        if folder.name == first:
            return ImageFolder(name, f"{folder.path}/{below}") if below else folder
    return None


def not_connected(project: str, name: str, folders: Sequence[ImageFolder]) -> str:
    """What is wrong where `folder_called` finds none; a way to connect it is to follow."""
    there = ", ".join(one.name for one in folders) or "none"
    first = name.partition("/")[0]
    return f"projects.{project}.images.folder: no folder {first!r} is connected here (there are: {there})"


def with_folders(folders: Sequence[ImageFolder], more: Sequence[ImageFolder]) -> list[ImageFolder]:
    """Return all folders and those of another list whose name is free: tasks name a folder, whatever its path is."""
    names = {one.name for one in folders}
    return [*folders, *(one for one in more if one.name not in names)]


def render_folders(folders: Sequence[ImageFolder]) -> bytes:
    """Return the state file's content."""
    return (json.dumps([{"name": f.name, "path": f.path} for f in folders], indent=2) + "\n").encode()


def render_compose(
    folders: Sequence[ImageFolder],
    groups: Sequence[int],
    environment: Mapping[str, str],
    readers: Sequence[str],
    computing: Sequence[str],
    shared_cache: str | None = None,
) -> bytes:
    """Return the compose file with what is this machine's own: image folders for all services that read them,
    settings for those that compute.

    One file for all: merged with a second override, compose 2.26 takes `group_add` for a map.

    Args:
        groups: group ids that the containers' user joins, so that it can read folders open to a group only.
        environment: of the services that compute, beside what the other files set.
        readers: the services that read images, those that compute among them.
        computing: the services that get `environment`.
        shared_cache: a folder that those may write to, in which hosts share embeddings.
    """
    mounts = [
        {
            "type": "bind",
            "source": _literal(folder.path),
            "target": folder.mount,
            "read_only": True,
            "bind": {"create_host_path": False},
        }
        for folder in folders
    ]
    service = {"volumes": mounts, "group_add": [str(group) for group in groups]}
    services: dict[str, dict[str, object]] = {name: dict(service) for name in readers}
    if shared_cache is not None:
        environment = {**environment, "EMBEDDING_CACHE_SHARED_DIR": SHARED_CACHE}
        bind = {"type": "bind", "source": _literal(shared_cache), "target": SHARED_CACHE}
        for name in computing:
            services[name]["volumes"] = [*mounts, {**bind, "bind": {"create_host_path": False}}]
    if environment:
        for name in computing:
            services[name]["environment"] = {key: _literal(value) for key, value in environment.items()}
    return yaml.safe_dump({"services": services}, sort_keys=True, allow_unicode=True).encode()


def _literal(text: str) -> str:
    """Compose would read a `$` as the begin of a variable."""
    return text.replace("$", "$$")
