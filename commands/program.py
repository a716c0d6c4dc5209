"""The program behind `./inv`: Invoke's own, with arguments by position, `--help` after a task, and our exit codes."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from invoke.exceptions import Exit, ParseError
from invoke.program import Program

from core.repository import REPOSITORY
from core.terminal import shared_terminal

USAGE = 2
# Invoke has no argument that may be given by position or left out: the first word after these tasks is this option's.
BY_POSITION = {"docs": "--key", "rollback": "--release", "logs": "--service", "config.check": "--path"}


class Front(Program):
    """Invoke with 2 for a call that it cannot read, where Invoke ends with 1, as for work that failed."""

    def __init__(self) -> None:
        version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["version"]
        super().__init__(name="labelrig", binary="inv", version=version)

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:
        """See Invoke. Whoever writes to stdout or stderr erases the open progress line first."""
        with shared_terminal():
            super().run(argv, exit)

    def parse_core(self, argv: list[str] | None) -> None:
        """See Invoke. The tasks are those of this repository, from whichever folder they are called."""
        with _usage_errors():
            super().parse_core(argv)
        search_root = self.args["search-root"]
        search_root.value = search_root.value or str(REPOSITORY)

    def parse_tasks(self) -> None:
        """See Invoke. `TASK ... --help` is `--help TASK`."""
        words = self.core.unparsed
        if "--help" in words[1:] and words[0] in self.collection.task_names:
            self.args.help.value = words[0]
            words = []
        self.core.unparsed = named(words)
        with _usage_errors():
            super().parse_tasks()

    def no_tasks_given(self) -> None:
        """List the tasks."""
        self.list_tasks()
        raise Exit


def named(words: Sequence[str]) -> list[str]:
    """Return a task and its arguments with the option's name before a value given by position."""
    if len(words) > 1 and words[0] in BY_POSITION and not words[1].startswith("-"):
        return [words[0], BY_POSITION[words[0]], *words[1:]]
    return list(words)


@contextmanager
def _usage_errors() -> Iterator[None]:
    try:
        yield
    except ParseError as error:
        name = error.context.name if error.context is not None else None
        help_ = f"`./inv --help {name}` says what it takes" if name else "`./inv --list` shows what there is"
        raise Exit(f"error: {error}\n{help_}", code=USAGE) from None
