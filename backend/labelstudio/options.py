"""What a project may choose: the object that a project's owner writes into the ML backend's `extra_params`.

Label Studio sends `extra_params` with `/setup` only, so what a project said last is remembered for its clicks.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.errors import LabelingConfigError

logger = logging.getLogger(__name__)

OutputKind = Literal["brush", "bitmask", "polygon", "rectangle"]
LONGEST_TEXT = 65_536
SHOWN_KEYS = 5


class ProjectOptions(BaseModel):
    """How masks are answered in one project. Areas are pixels of the mask, which has the size the browser shows.

    `complete_maps` and `sequence` are for the page, which reads them from Label Studio's list of backends: nothing is
    answered otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    output: Annotated[OutputKind | None, Field(description="preferred tag; null takes what the configuration has")] = (
        None
    )
    polygon_tolerance_pixels: Annotated[
        float, Field(ge=0.1, le=100, allow_inf_nan=False, description="how far a polygon may be from the mask's edge")
    ] = 1.5
    fill_holes_pixels: Annotated[int, Field(ge=0, le=10**9, description="holes up to this area are filled")] = 0
    remove_specks_pixels: Annotated[int, Field(ge=0, le=10**9, description="parts up to this area are removed")] = 0
    keep: Annotated[
        Literal["all", "largest", "clicked"],
        Field(description="`largest` part only, or the parts under the positive points (`clicked`)"),
    ] = "all"
    crop_small_objects: Annotated[
        bool, Field(description="look again, closer, at an object that is small in its image")
    ] = False
    complete_maps: Annotated[bool, Field(description="the page says how much of an image has no label")] = False
    sequence: Annotated[
        str | None, Field(max_length=LONGEST_TEXT, description="which images follow on each other, as JSON in a string")
    ] = None


def read_options(extra_params: Any, defaults: ProjectOptions | None = None) -> ProjectOptions:
    """Read a project's `extra_params`: an object, the same as JSON in a string, or nothing.

    Args:
        defaults: for what the project does not say.

    Raises:
        LabelingConfigError: one sentence that names what is wrong; values are not repeated.
    """
    base = defaults or ProjectOptions()
    given = _from_text(extra_params) if isinstance(extra_params, str) else extra_params
    if given is None:
        return base
    if not isinstance(given, Mapping):
        raise LabelingConfigError("extra_params has to be a JSON object, or the same in a string")
    allowed = ", ".join(sorted(ProjectOptions.model_fields))
    unknown = sorted(str(key) for key in given if key not in ProjectOptions.model_fields)
    if unknown:
        shown = ", ".join(repr(key[:40]) for key in unknown[:SHOWN_KEYS])
        raise LabelingConfigError(f"extra_params holds {shown}, which no option is called; the options are {allowed}")
    try:
        return ProjectOptions.model_validate({**base.model_dump(), **given})
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
            for one in error.errors(include_input=False, include_url=False, include_context=False)
        ]
    raise LabelingConfigError(f"extra_params cannot be used: {'; '.join(problems)}")


def _from_text(text: str) -> Any:
    if not text.strip():
        return None
    if len(text) > LONGEST_TEXT:
        raise LabelingConfigError(f"extra_params is longer than {LONGEST_TEXT} characters")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise LabelingConfigError("extra_params is a string that holds no JSON") from None


class ProjectOptionsRegistry:
    """Remembers what each project said last. Safe to call from many threads.

    Kept is only what differs from the defaults, so a changed default reaches all projects. With a path it survives a
    restart: one JSON file, replaced as a whole.
    """

    def __init__(self, defaults: ProjectOptions | None = None, path: Path | None = None, limit: int = 1000) -> None:
        """
        Args:
            path: the file; its folder has to exist. None keeps everything in memory.
            limit: most projects that are remembered; the one that was unused for longest goes first.
        """
        self._defaults = defaults or ProjectOptions()
        self._path = path
        self._limit = limit
        self._lock = threading.Lock()
        self._differing: OrderedDict[str, ProjectOptions] = OrderedDict()
        if path is not None:
            self._differing.update(self._load(path))

    @property
    def defaults(self) -> ProjectOptions:
        """The options of a project that chose none."""
        return self._defaults

    def remember(self, project: str | None, extra_params: Any) -> ProjectOptions:
        """Take what `/setup` brought for a project.

        Args:
            project: Label Studio's name for it (id and time of creation); None is read and not remembered.

        Raises:
            LabelingConfigError: see `read_options`; what the project said before stays.
        """
        options = read_options(extra_params, self._defaults)
        if project is None:
            return options
        with self._lock:
            if options == self._differing.get(project, self._defaults):
                return options
            if options == self._defaults:
                del self._differing[project]
            else:
                self._differing[project] = options
                self._differing.move_to_end(project)
                while len(self._differing) > self._limit:
                    self._differing.popitem(last=False)
            self._save()
        return options

    def of(self, project: str | None) -> ProjectOptions:
        """The options of a project, or the defaults."""
        with self._lock:
            options = self._differing.get(project) if project is not None else None
            if project is None or options is None:
                return self._defaults
            self._differing.move_to_end(project)
            return options

    def _load(self, path: Path) -> dict[str, ProjectOptions]:
        try:
            stored = json.loads(path.read_bytes())
            if not isinstance(stored, dict):
                raise ValueError("not an object")
            return {key: read_options(given, self._defaults) for key, given in list(stored.items())[-self._limit :]}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError, LabelingConfigError) as error:
            logger.warning("the stored project options cannot be read and are ignored: %s", type(error).__name__)
            return {}

    def _save(self) -> None:
        """Under the lock. A failure costs the memory over a restart only: `/setup` comes with every page."""
        if self._path is None:
            return
        defaults = self._defaults.model_dump()
        stored = {
            project: {name: value for name, value in options.model_dump().items() if value != defaults[name]}
            for project, options in self._differing.items()
        }
        unfinished: str | None = None
        try:
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=self._path.parent, prefix=f".{self._path.name}.", delete=False
            ) as file:
                unfinished = file.name
                json.dump(stored, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, self._path)
        except OSError as error:
            logger.warning("the project options could not be stored: %s", error.strerror)
            if unfinished is not None:
                Path(unfinished).unlink(missing_ok=True)
