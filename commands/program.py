"""The program behind `./inv`: Invoke's own, except that a wrong call ends with the exit code that we promise."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from invoke.exceptions import Exit, ParseError
from invoke.program import Program

USAGE = 2
PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


class Front(Program):
    """Invoke with 2 for a call that it cannot read, where Invoke ends with 1, as for work that failed."""

    def __init__(self) -> None:
        version = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["version"]
        super().__init__(name="labelrig", binary="inv", version=version)

    def parse_core(self, argv: list[str] | None) -> None:
        """See Invoke."""
        with _told():
            super().parse_core(argv)

    def parse_tasks(self) -> None:
        """See Invoke."""
        with _told():
            super().parse_tasks()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except ParseError as error:
        name = error.context.name if error.context is not None else None
        help_ = f"`./inv --help {name}` says what it takes" if name else "`./inv --list` shows what there is"
        raise Exit(f"error: {error}\n{help_}", code=USAGE) from None
