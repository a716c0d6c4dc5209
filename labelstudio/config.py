"""The versioned description of a project: `labeling_configs/projects.yaml` and the XML it names.

Reads files only: no network, nothing is changed, so that a broken file is found before anything is started.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import SettingsError
from core.strict_yaml import parse_yaml
from labelstudio.config_check import check_text
from labelstudio.labeling_checks import problems_in
from labelstudio.labeling_xml import LabelingConfig, XmlProblem, labeling_config, parse_xml
from labelstudio.versions import FOLDER as FOLDER

FILE = "projects.yaml"
NAME = "{name}"
VERSION_FILE = re.compile(r"v([1-9]\d*)\.xml")

Sampling = Literal["sequential", "uniform", "uncertainty"]


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return text


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _pattern(text: str) -> str:
    if text.count(NAME) != 1 or text.startswith("/"):
        raise ValueError(f"must be a path below the folder with {NAME} in it once, such as RGB/{NAME}.png")
    return text


def _email(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise ValueError("is no e-mail address")
    return text


class ImagesPart(_Part):
    """Which files become tasks.

    Attributes:
        folder: name of a connected folder, or of one below it; without one, the folder that `up` or `deploy` was given.
        filter: matched from the start of the file name.
        pairs: instead of a filter: for each image of a task its path, in which `{name}` is what the pair shares.
    """

    folder: Annotated[str | None, Field(pattern=r"^[^/\s](?:[^/]*[^/\s])?(?:/[^/]+)*$")] = None
    filter: Annotated[str, AfterValidator(_regular_expression)] = ".*png"
    pairs: Annotated[dict[str, Annotated[str, AfterValidator(_pattern)]], Field(max_length=8)] = {}

    @model_validator(mode="after")
    def _one_way(self) -> ImagesPart:
        if self.pairs and "filter" in self.model_fields_set:
            raise ValueError("give either `filter` or `pairs`")
        if len(self.pairs) == 1:
            raise ValueError("`pairs` needs two images or more")
        return self


class BackendPart(_Part):
    """How the SAM2 backend is called in the project's settings, and what the project chooses (docs/backend.md)."""

    title: Annotated[str, Field(min_length=1, max_length=100)] = "SAM2"
    options: Annotated[
        dict[str, bool | int | float | str], Field(validation_alias=AliasChoices("extra_params", "options"))
    ] = {}
    interactive: bool = True


class ProjectPart(_Part):
    """One project as `projects.yaml` says it. The title's length is Label Studio's own rule."""

    title: Annotated[str, Field(min_length=3, max_length=50, pattern=r"^\S(.*\S)?$")]
    description: str = ""
    config: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: Annotated[int, Field(ge=1, strict=True)]
    images: ImagesPart = ImagesPart()
    backend: BackendPart = BackendPart()
    sampling: Sampling = "sequential"
    members: tuple[Annotated[str, AfterValidator(_email)], ...] = ()


class ProjectsFile(_Part):
    """The whole `projects.yaml`."""

    projects: Annotated[dict[str, ProjectPart], Field(min_length=1)]


@dataclass(frozen=True)
class ProjectSpec:
    """One project, ready to be applied: everything in it was read and checked.

    `images_filter` is a regular expression for `re.match` on the file name. `backend_options` go to the backend as
    its extra params; it checks them. `labeling` holds the XML and what it says. `versions` holds the text of every
    version of that configuration.
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


def load_project(repository: Path, name: str) -> ProjectSpec:
    """Read one project and its labeling configuration, of the kind that a click can be proven with.

    Args:
        repository: the folder that holds `labeling_configs`.
        name: the project's key in `projects.yaml`.

    Raises:
        SettingsError: lists everything that is wrong, with file and line or path. Nothing was changed.
    """
    return load_projects(repository, [name], provable=True)[0]


def load_projects(repository: Path, names: Sequence[str] = (), *, provable: bool = False) -> list[ProjectSpec]:
    """Read several projects, all of them where no name is given; see `load_project`.

    Args:
        provable: only configurations with one image and a brush, which `up` proves with a click. Without it everything
            that `config.check` finds nothing wrong with: several images, polygons, bitmasks, boxes.
    """
    path = repository / FOLDER / FILE
    projects = _read_projects(path, f"{FOLDER}/{FILE}")
    unknown = [name for name in names if name not in projects]
    if unknown:
        raise SettingsError(
            f"{FOLDER}/{FILE}: there is no project {unknown[0]!r} (there are: {', '.join(sorted(projects))})"
        )
    return [_spec(repository, name, projects[name], provable) for name in names or projects]


def _spec(repository: Path, name: str, part: ProjectPart, provable: bool) -> ProjectSpec:
    relative = f"{FOLDER}/{part.config}/v{part.version}.xml"
    labeling = load_labeling(repository / relative, relative, provable=provable)
    _check_images(name, part, labeling.text, relative)
    return ProjectSpec(
        name=name,
        title=part.title,
        description=part.description,
        config=part.config,
        version=part.version,
        images_filter=part.images.filter,
        backend_title=part.backend.title,
        backend_options=part.backend.options,
        labeling=labeling,
        images_folder=part.images.folder,
        images_pairs=part.images.pairs,
        interactive=part.backend.interactive,
        sampling=part.sampling,
        members=part.members,
        versions=read_versions(repository, part.config),
    )


def _check_images(name: str, part: ProjectPart, text: str, relative: str) -> None:
    shown = {tag.attributes.get("value", "").removeprefix("$") for tag in parse_xml(text).walk() if tag.name == "Image"}
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
            found[int(match[1])] = _read_text(path, f"{FOLDER}/{config}/{path.name}")
    return dict(sorted(found.items()))


def load_labeling(path: Path, shown: str, *, provable: bool = True) -> LabelingConfig:
    """Read and check one labeling configuration. `shown` is its name in messages; `provable` as of `load_projects`.

    Raises:
        SettingsError: lists everything that is wrong, with the line.
    """
    text = _read_text(path, shown)
    try:
        root = parse_xml(text)
    except XmlProblem as problem:
        raise SettingsError(f"{shown}:{problem.line}: {problem.text}") from None
    found = problems_in(root)
    if found and not provable:
        found = check_text(text)
    problems = [f"{shown}:{line}: {what}" for line, what in found]
    if problems:
        raise SettingsError(_listed("the labeling configuration cannot be used", problems))
    return labeling_config(text, root)


def _read_projects(path: Path, shown: str) -> dict[str, ProjectPart]:
    try:
        projects = ProjectsFile.model_validate(parse_yaml(_read_text(path, shown), shown)).projects
    except ValidationError as error:
        problems = [
            f"{shown}: {'.'.join(map(str, one['loc'])) or 'the file'}: {_said(one)}"
            for one in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsError(_listed("the projects cannot be used", problems)) from None
    doubled = [f"{shown}: {one}" for one in _doubled_titles(projects)]
    if doubled:
        raise SettingsError(_listed("the projects cannot be used", doubled))
    return projects


def _said(error: Mapping[str, Any]) -> str:
    """A problem that pydantic found, in words for people."""
    if error["type"] != "extra_forbidden":
        return str(error["msg"]).removeprefix("Value error, ")
    *above, key = error["loc"]
    parts: dict[str, type[BaseModel]] = {"images": ImagesPart, "backend": BackendPart}
    part = parts.get(str(above[-1]), ProjectPart) if above[1:] else ProjectsFile
    known = list(part.model_fields)
    near = difflib.get_close_matches(str(key), known, 1)
    return f"is no key here; did you mean {near[0]}?" if near else f"is no key here (there are: {', '.join(known)})"


def _doubled_titles(projects: Mapping[str, ProjectPart]) -> Iterator[str]:
    first: dict[str, str] = {}
    for name, part in projects.items():
        other = first.setdefault(part.title, name)
        if other != name:
            yield (
                f"projects.{name}.title: {part.title!r} is the title of projects.{other} too; a project is found "
                "by its title, so each needs its own"
            )


def _read_text(path: Path, shown: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = sorted(file.name for file in path.parent.glob(f"*{path.suffix}"))
        hint = f" (there are: {', '.join(there)})" if there else ""
        raise SettingsError(f"{shown}: there is no such file{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SettingsError(f"{shown}: cannot be read: {reason}") from None


def _listed(what: str, problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return f"{what}, {len(problems)} problems:\n" + "\n".join(f"  - {one}" for one in problems)
