"""The program behind `./inv`: Invoke's own, with arguments by position, pages of help and exit codes of its own."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from invoke.exceptions import Exit, ParseError
from invoke.parser.context import ParserContext
from invoke.program import Program

from commands.base import out
from commands.help import meant, overview, task_page
from commands.running import BEHIND
from core.repository import REPOSITORY, own_version
from core.terminal import shared_terminal

USAGE = 2
# The first word after these tasks is this option's. Invoke has no argument that may be given by position or left out.
BY_POSITION = {
    "docs": "--key",
    "rollback": "--release",
    "restore": "--snapshot",
    "logs": "--service",
    "bundle.verify": "--path",
    "config.check": "--path",
    "import": "--path",
    "restart": "--service",
    "exec": "--service",
    "secrets.rotate": "--secret",
    "user.add": "--email",
    "user.reset": "--email",
    "user.remove": "--email",
}
TAKES_WORDS = "exec"  # the one task that takes words behind `--`


class Front(Program):
    """Invoke with 2 for a call that it cannot read, where Invoke ends with 1, as for work that failed."""

    def __init__(self) -> None:
        super().__init__(name="labelrig", binary="inv", version=own_version())
        self.behind: list[str] | None = None

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:
        """See Invoke. Whoever writes to stdout or stderr erases the open progress line first."""
        with shared_terminal():
            try:
                super().run(argv, exit)
            except Exception:  # noqa: BLE001 - shown whole, as the interpreter would
                # The interpreter would write past the screen, and words of others with it: see `core.text.visible`.
                traceback.print_exc()
                raise SystemExit(1) from None

    def parse_core(self, argv: list[str] | None) -> None:
        """See Invoke. The tasks are those of this repository, from whichever folder they are called.

        Invoke joins the words behind `--` to one text: here they stay what they were.
        """
        words = list(sys.argv if argv is None else argv)
        at = words.index("--") if "--" in words else len(words)
        self.behind = words[at + 1 :] if at < len(words) else None
        with _usage_errors():
            super().parse_core(words[:at])
        search_root = self.args["search-root"]
        search_root.value = search_root.value or str(REPOSITORY)

    def parse_tasks(self) -> None:
        """See Invoke. `TASK ... --help` is `--help TASK`."""
        words = self.core.unparsed
        names = self.collection.task_names
        if "--help" in words[1:] and words[0] in {*names, *(one for others in names.values() for one in others)}:
            self.args.help.value = words[0]
            words = []
        self.core.unparsed = named(words)
        with _usage_errors(self._problem):
            super().parse_tasks()
            if self.behind is not None and [one.name for one in self.tasks] != [TAKES_WORDS]:
                raise ParseError(f"only `{TAKES_WORDS}` takes words behind `--`")
            page = self.args.help.value
            if isinstance(page, str) and page not in self.parser.contexts:
                raise ParseError(self._no_task(page))

    def update_config(self, merge: bool = True) -> None:
        """See Invoke. The task finds the words behind `--` in the configuration."""
        super().update_config(merge)
        self.config.update({BEHIND: self.behind or []})

    def print_help(self) -> None:
        """Show all tasks by theme, in place of Invoke's own options."""
        if not hasattr(self, "collection"):
            self.load_collection()
        out(overview(self.collection))

    def list_flat(self) -> None:
        """See Invoke; `--list-format json` stays Invoke's."""
        if self.list_root or self.list_depth:
            super().list_flat()
        else:
            self.print_help()

    def print_task_help(self, name: str) -> None:
        """Show the page of a task."""
        out(task_page(name, self.collection, self.parser.contexts[name], BY_POSITION))

    def _problem(self, error: ParseError) -> str:
        """What is wrong with the call, in words; what Invoke says of it where that is not known."""
        words = self.core.unparsed
        if words and words[0].startswith("-"):
            return f"there is no option {words[0]}"
        if words and words[0] not in self.parser.contexts:
            return self._no_task(words[0])
        task: ParserContext | None = error.context
        if task is None or not task.name:
            return str(error)
        own = [*task.flags, *task.inverse_flags]
        for word in (word.partition("=")[0] for word in words[1:]):
            if word.startswith("--") and word not in own and word not in self.initial_context.flags:
                return f"{task.name} has no option {word}{meant(word, own)}"
        last = task.flags.get(words[-1])
        if last is not None and last.takes_value:
            return f"{task.name} {words[-1]} needs a value"
        if missing := [f"--{one.name}" for one in task.missing_positional_args]:
            return f"{task.name} needs {' and '.join(missing)}"
        return str(error)

    def _no_task(self, word: str) -> str:
        return f"there is no task {word!r}{meant(word, self.parser.contexts)}"

    def no_tasks_given(self) -> None:
        """Show all tasks."""
        self.print_help()
        raise Exit


def named(words: Sequence[str]) -> list[str]:
    """Return a task and its arguments with the option's name before a value given by position."""
    if len(words) > 1 and words[0] in BY_POSITION and not words[1].startswith("-"):
        return [words[0], BY_POSITION[words[0]], *words[1:]]
    return list(words)


@contextmanager
def _usage_errors(problem: Callable[[ParseError], str] = str) -> Iterator[None]:
    try:
        yield
    except ParseError as error:
        name = error.context.name if error.context is not None else None
        help_ = f"`./inv {name} --help` lists its options" if name else "`./inv` lists the tasks"
        raise Exit(f"error: {problem(error)}\n{help_}", code=USAGE) from None
