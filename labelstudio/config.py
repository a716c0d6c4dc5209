"""The versioned description of a project: `labeling_configs/projects.yaml` and the XML it names.

Reads files only: no network, nothing is changed, so that a broken file is found before anything is started.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.errors import SettingsError
from labeling.config import LabelingConfig, read_config
from labelstudio.config_check import check_text
from labelstudio.labeling_checks import problems_in
from labelstudio.projects_file import (
    COMPLETE_MAPS,
    FILE,
    SEQUENCE,
    ProjectPart,
    Sampling,
    SequencePart,
    demo_title,
    key_of,
    listed,
    read_projects,
    read_text,
)
from labelstudio.versions import FOLDER

VERSION_FILE = re.compile(r"v([1-9]\d*)\.xml")


@dataclass(frozen=True)
class ProjectSpec:
    """One project, ready to be applied: everything in it was read and checked.

    `images_filter` is the filter as it is written, see `labeling.image_names.file_pattern`. `backend_options` go to
    the backend as its extra params, `complete_maps` and `sequence` among them, which the page reads there; it checks
    them.
    `labeling` holds the XML and what it says. `versions` holds the text of every version of that configuration.
    """

    name: str
    title: str
    description: str
    config: str
    version: int
    images_filter: str
    backend_title: str
    backend_options: Mapping[str, bool | int | float | str]
    labeling: LabelingConfig
    images_folder: str | None = None
    images_pairs: Mapping[str, str] = field(default_factory=dict)
    interactive: bool = True
    sampling: Sampling = "sequential"
    members: tuple[str, ...] = ()
    versions: Mapping[int, str] = field(default_factory=dict)
    sequence: SequencePart = field(default_factory=SequencePart)

    @property
    def wants_complete_maps(self) -> bool:
        """Whether every pixel is to have a label."""
        return self.backend_options.get(COMPLETE_MAPS) is True


def load_project(repository: Path, called: str | None = None, *, provable: bool = True) -> ProjectSpec:
    """Read one project and its labeling configuration.

    Args:
        repository: the folder that holds `labeling_configs`.
        called: its key in `projects.yaml` or its title; None means the default project, see `key_of`.
        provable: only configurations with one image and a brush, which `up` proves with a click. Without it everything
            that `config.check` finds nothing wrong with: several images, polygons, bitmasks, boxes.

    Raises:
        SettingsError: lists everything that is wrong, with file and line or path. Nothing was changed.
    """
    projects = _projects(repository)
    key = key_of(projects, called)
    return _spec(repository, key, projects[key], provable=provable)


def load_projects(repository: Path, called: Sequence[str] = ()) -> list[ProjectSpec]:
    """Read several projects by key or title, all of them where none is named; see `load_project`, not provable."""
    projects = _projects(repository)
    keys = dict.fromkeys(key_of(projects, one) for one in called) or projects
    return [_spec(repository, key, projects[key], provable=False) for key in keys]


def demo_spec(spec: ProjectSpec) -> ProjectSpec:
    """The project on the demo images: under a title of its own."""
    return replace(spec, title=demo_title(spec.title))


def _projects(repository: Path) -> dict[str, ProjectPart]:
    return read_projects(repository / FOLDER / FILE, f"{FOLDER}/{FILE}")


def _spec(repository: Path, name: str, part: ProjectPart, *, provable: bool) -> ProjectSpec:
    relative = f"{FOLDER}/{part.config}/v{part.version}.xml"
    labeling = load_labeling(repository / relative, relative, provable=provable)
    _check_images(name, part, labeling, relative)
    return ProjectSpec(
        name=name,
        title=part.title,
        description=part.description,
        config=part.config,
        version=part.version,
        images_filter=part.images.filter,
        backend_title=part.backend.title,
        backend_options=_options(part),
        labeling=labeling,
        images_folder=part.images.folder,
        images_pairs=part.images.pairs,
        interactive=part.backend.interactive,
        sampling=part.sampling,
        members=part.members,
        versions=read_versions(repository, part.config),
        sequence=part.sequence,
    )


def _options(part: ProjectPart) -> dict[str, bool | int | float | str]:
    """What the project chooses of the backend, and for the page."""
    chosen: dict[str, bool | str] = {} if part.complete_maps is None else {COMPLETE_MAPS: part.complete_maps}
    if part.sequence != SequencePart():
        chosen[SEQUENCE] = part.sequence.model_dump_json(exclude_defaults=True)
    return {**part.backend.options, **chosen}


def _check_images(name: str, part: ProjectPart, labeling: LabelingConfig, relative: str) -> None:
    shown = {image.key for image in labeling.images}
    if len(shown) > 1 and not part.images.pairs:
        raise SettingsError(
            f"{FOLDER}/{FILE}: projects.{name}.images: {relative} shows {', '.join(sorted(shown))}; say with `pairs` "
            "which files belong together"
        )
    if part.images.pairs and shown != set(part.images.pairs):
        raise SettingsError(
            f"{FOLDER}/{FILE}: projects.{name}.images.pairs: gives {', '.join(part.images.pairs)}, and {relative} "
            f"shows {', '.join(sorted(shown))}; the names must be the same"
        )


def read_versions(repository: Path, config: str) -> dict[int, str]:
    """The text of every version of a configuration, by its number."""
    found: dict[int, str] = {}
    for path in (repository / FOLDER / config).glob("v*.xml"):
        if match := VERSION_FILE.fullmatch(path.name):
            found[int(match[1])] = read_text(path, f"{FOLDER}/{config}/{path.name}")
    return dict(sorted(found.items()))


def load_labeling(path: Path, shown: str, *, provable: bool = True) -> LabelingConfig:
    """Read and check one labeling configuration. `shown` is its name in messages; `provable` as of `load_project`.

    Raises:
        SettingsError: lists everything that is wrong, with the line.
    """
    text = read_text(path, shown)
    found = problems_in(text)
    if found and not provable:
        found = check_text(text)
    problems = [f"{shown}:{line}: {what}" for line, what in found]
    if problems:
        raise SettingsError(listed("the labeling configuration cannot be used", problems))
    return read_config(text)
