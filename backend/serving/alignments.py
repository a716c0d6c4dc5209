"""Where the pixels of one image of a pair lie on the other, for each project that was given it (`./inv pairs.apply`).

A file for each project, beside what else is kept of projects: it survives a restart, and can be given again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from backend.errors import BadRequest
from backend.labelstudio.protocol import Name, Pixels

logger = logging.getLogger(__name__)
MAX_OWN = 1_000_000
MAX_PROJECTS = 1000
Number = Annotated[float, Field(allow_inf_nan=False)]
Row = tuple[Number, Number, Number]
Rows = tuple[Row, Row, Row]
Matrix = NDArray[np.float64]  # (3, 3)


class PairImage(BaseModel):
    """One image of each pair: its tag in the labeling configuration, and the size of all of its pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    to_name: Name
    width: Pixels
    height: Pixels

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height


class Alignment(BaseModel):
    """The transforms of one project, from pixels of the first image to pixels of the second.

    The centre of a picture's first pixel is (0, 0). `own` has the tasks whose pair has a transform of its own,
    `refused` those whose pair follows none; both by `task/index`, the index of a list's image or 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    project: Annotated[str, Field(min_length=1, max_length=1000)]
    first: PairImage
    second: PairImage
    matrix: Rows
    own: Annotated[dict[Name, Rows], Field(max_length=MAX_OWN)] = {}
    refused: Annotated[frozenset[Name], Field(max_length=MAX_OWN)] = frozenset()

    @field_validator("matrix", "own")
    @classmethod
    def _invertible(cls, given: Rows | dict[str, Rows]) -> Rows | dict[str, Rows]:
        for rows in given.values() if isinstance(given, dict) else (given,):
            if abs(float(np.linalg.det(np.asarray(rows)))) < 1e-12:
                raise ValueError("a matrix cannot be inverted")
        return given

    def lead(self, task: str | None, to_name: str, item_index: int | None) -> tuple[Matrix, PairImage, PairImage]:
        """The matrix from an image of a task to the other image, and both images.

        Raises:
            BadRequest: the image is none of a pair, or its pair follows no transform.
        """
        key = f"{task}/{item_index or 0}"
        if key in self.refused:
            raise BadRequest("the registration refused this pair: its images do not show one place, as far as it sees")
        matrix = np.asarray(self.own.get(key, self.matrix), dtype=np.float64)
        if to_name == self.first.to_name:
            return matrix, self.first, self.second
        if to_name == self.second.to_name:
            return np.asarray(np.linalg.inv(matrix)), self.second, self.first
        raise BadRequest(f"the project's pairs are {self.first.to_name!r} and {self.second.to_name!r}, not {to_name!r}")


class AlignmentStore:
    """One file a project. Safe to call from many threads: a file is replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: made when the first is stored.
        """
        self._folder = folder
        self._unwritten: dict[str, Alignment] = {}  # count before the files

    def put(self, alignment: Alignment) -> None:
        """Keep what counts for a project from now on; of too many projects the one given first goes.

        Raises:
            OSError: it cannot be written; what counted before still does.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(alignment.project)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=self._folder, suffix=".part", delete=False) as file:
            try:
                file.write(alignment.model_dump_json())
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
                self._unwritten.pop(alignment.project, None)
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
        there = sorted(self._folder.glob("*.json"), key=lambda one: one.stat().st_mtime)
        for old in there[:-MAX_PROJECTS]:
            old.unlink(missing_ok=True)

    def take_over(self, alignment: Alignment) -> None:
        """As `put`, for whoever is told again after a restart: what cannot be written is kept in memory."""
        try:
            self.put(alignment)
        except OSError as error:
            logger.warning("the alignment of a project could not be stored: %s", error.strerror)
            self._unwritten[alignment.project] = alignment

    def of(self, project: str | None) -> Alignment:
        """What counts for a project.

        Raises:
            BadRequest: nothing was given for it, or it cannot be read any more; says what to do.
        """
        missing = BadRequest("this project has no alignment of its pairs: `./inv pairs.apply` gives it one")
        if project is None:
            raise missing
        unwritten = self._unwritten.get(project)
        if unwritten is not None:
            return unwritten
        try:
            return Alignment.model_validate_json(self._path(project).read_bytes())
        except FileNotFoundError:
            raise missing from None
        except (OSError, ValidationError) as error:
            logger.warning("the alignment of a project cannot be read: %s", type(error).__name__)
            raise missing from None

    def stamp(self, project: str) -> str | None:
        """Another one whenever something else counts for a project; None where nothing does."""
        try:
            status = self._path(project).stat()
        except OSError:
            return None
        return f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"

    def _path(self, project: str) -> Path:
        return self._folder / f"{hashlib.sha256(project.encode()).hexdigest()[:32]}.json"
