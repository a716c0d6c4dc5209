"""`labeling_configs/projects.yaml` as it is written: every key, and what is wrong with the file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from core import text_file
from core.errors import SettingsError
from core.strict_yaml import parse_yaml
from core.text import bulleted
from labeling.image_names import file_pattern
from labelstudio.versions import FOLDER

FILE = "projects.yaml"
NAME = "{name}"
DEMO = "demo"
COMPLETE_MAPS, SEQUENCE = "complete_maps", "sequence"  # as options of the ML backend, where the page reads them

BY_NAME, BY_TASK = "name", "task"  # orders of a sequence; any other is a key of the tasks' data

Sampling = Literal["sequential", "uniform", "uncertainty"]


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
        re.compile(file_pattern(text))
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
        filter: matched with the whole file name, in upper or lower case; see `labeling.image_names`.
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


class SequencePart(_Part):
    """Which images follow on each other, for `propagate`.

    Attributes:
        order: `name` (natural: 9 before 10), `task` (the tasks' numbers), or the key of the tasks' data to sort by.
        split: what the names of one sequence in a folder share, where a folder holds several: the expression's first
            group, or all that it finds.
        cuts: images, by name or path, with which a new sequence begins.
    """

    order: Annotated[str, Field(min_length=1, max_length=200)] = BY_NAME
    split: Annotated[str, AfterValidator(_regular_expression)] | None = None
    cuts: tuple[Annotated[str, Field(min_length=1)], ...] = ()


class ProjectPart(_Part):
    """One project of `projects.yaml`. The title's length is Label Studio's own rule.

    Attributes:
        default: the project of commands that work on one project where none is named.
        complete_maps: every pixel is to have a label; the page and `stats` say how many have none.
    """

    title: Annotated[str, Field(min_length=3, max_length=50, pattern=r"^\S(.*\S)?$")]
    description: str = ""
    config: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: Annotated[int, Field(ge=1, strict=True)]
    images: ImagesPart = ImagesPart()
    backend: BackendPart = BackendPart()
    sampling: Sampling = "sequential"
    members: tuple[Annotated[str, AfterValidator(_email)], ...] = ()
    default: Annotated[bool, Field(strict=True)] = False
    complete_maps: Annotated[bool | None, Field(strict=True)] = None
    sequence: SequencePart = SequencePart()


class ProjectsFile(_Part):
    """The whole `projects.yaml`."""

    projects: Annotated[dict[str, ProjectPart], Field(min_length=1)]


def read_projects(path: Path, shown: str) -> dict[str, ProjectPart]:
    """Read and check the file; `shown` is its name in messages.

    Raises:
        SettingsError: lists everything that is wrong. Nothing was changed.
    """
    try:
        projects = ProjectsFile.model_validate(parse_yaml(read_text(path, shown), shown)).projects
    except ValidationError as error:
        problems = [
            f"{shown}: {'.'.join(map(str, one['loc'])) or 'the file'}: {_said(one)}"
            for one in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsError(listed("the projects cannot be used", problems)) from None
    found = [f"{shown}: {one}" for one in (*_doubled_titles(projects), *_doubled_default(projects))]
    if found:
        raise SettingsError(listed("the projects cannot be used", found))
    return projects


def _said(error: Mapping[str, Any]) -> str:
    """A problem that pydantic found, in words for people."""
    if error["type"] != "extra_forbidden":
        return str(error["msg"]).removeprefix("Value error, ")
    *above, key = error["loc"]
    parts: dict[str, type[BaseModel]] = {"images": ImagesPart, "backend": BackendPart, "sequence": SequencePart}
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


def _doubled_default(projects: Mapping[str, ProjectPart]) -> Iterator[str]:
    marked = [name for name, part in projects.items() if part.default]
    if len(marked) > 1:
        yield f"{', '.join(marked)} are marked with `default: true`; one project at most can be the default"


def key_of(projects: Mapping[str, ProjectPart], called: str | None) -> str:
    """The key of a project that was named by its key or its title, or of the default project where none was named.

    The title of a project that stands on the demo images is followed by "demo" in Label Studio; both are read.

    Raises:
        SettingsError: there is no such project, or none was named and there are several without a default.
    """
    if called is None:
        marked = [name for name, part in projects.items() if part.default] or list(projects)
        if len(marked) == 1:
            return marked[0]
        raise SettingsError(
            f"{FOLDER}/{FILE} has {len(projects)} projects and no default: name one with --project, or mark one with "
            f"`default: true` (there are: {', '.join(sorted(projects))})"
        )
    if called in projects:
        return called
    for name, part in projects.items():
        if called in (part.title, demo_title(part.title)):
            return name
    raise SettingsError(
        f"{FOLDER}/{FILE}: there is no project {called!r} (there are: {', '.join(sorted(projects))}); a project is "
        "named by its key in this file, or by its title"
    )


def demo_title(title: str) -> str:
    """The title of a project on the demo images, which so never mixes with real work."""
    return f"{title} {DEMO}"


def read_text(path: Path, shown: str) -> str:
    """A file of the clone; `shown` is its name in messages.

    Raises:
        SettingsError: it is missing or cannot be read.
    """
    if not path.exists():
        there = sorted(file.name for file in path.parent.glob(f"*{path.suffix}"))
        hint = f" (there are: {', '.join(there)})" if there else ""
        raise SettingsError(f"{shown}: there is no such file{hint}")
    return text_file.read_text(path, shown)


def listed(what: str, problems: list[str]) -> str:
    """One problem as it is, several as a list below what they mean."""
    if len(problems) == 1:
        return problems[0]
    return f"{what}, {len(problems)} problems:\n{bulleted(problems)}"
