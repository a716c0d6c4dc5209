"""What tasks share: expected errors in words, settings, output, and the question before something is done."""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task, task

from core.errors import INTERRUPTED, LabelrigError, SettingsError

if TYPE_CHECKING:
    from infra.bundle.reading import Bundle
    from infra.config.settings import Settings
    from infra.fleet.choice import Choice, Outcome
    from infra.fleet.run import RunOptions

P = ParamSpec("P")
T = TypeVar("T")
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
HOST_HELP = {
    "host": "a host of infra/inventory.yaml, or USER@NAME[:PORT]; may be given several times",
    "group": "a group of the inventory, `all` for every host; may be given several times",
    "limit": "only these of the chosen hosts: comma-separated names or globs, `!` in front excludes",
    "inventory": "another file than infra/inventory.yaml",
}
ONE_HOST = {
    "host": "a host of infra/inventory.yaml, or USER@NAME[:PORT] (default: this machine)",
    "inventory": HOST_HELP["inventory"],
}
HERE_HELP = "a host of infra/inventory.yaml, or USER@NAME[:PORT] (default: this machine); may be given several times"
LOCK_WAIT_HELP = "how long to wait when another run holds the host, such as 90s or 30m (default: not at all)"
RESULT_HELP = {
    "json": "print the result as JSON on stdout",
    "junit": "also write the result as JUnit XML into this file",
}


def expected_errors_in_words(body: Callable[P, T]) -> Callable[P, T]:
    """Turn an expected error into its message and exit code; any other keeps its traceback."""

    @functools.wraps(body)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return body(*args, **kwargs)
        except LabelrigError as error:
            raise Exit("" if error.shown else f"error: {error}", code=error.exit_code) from None
        except KeyboardInterrupt:
            raise Exit("stopped by hand; run the same command again to go on", code=INTERRUPTED) from None

    return wrapped


def local_settings(**arguments: str | None) -> Settings:
    """The settings of `.env`, the environment and the command line."""
    from infra.config.settings import env_file, load_settings

    return load_settings(env_file(os.environ), os.environ, arguments)


def out(text: str) -> None:
    """Print data. Progress goes elsewhere, to stderr."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def confirm(what: str, word: str | None = None) -> None:
    """Ask before something is done. `word` is what must be typed; None where `yes` will do."""
    if not sys.stdin.isatty():
        raise Exit(f"{what} Nothing was done: there is no terminal to ask; add --yes to do it.", code=2)
    wanted = word or "yes"
    sys.stderr.write(f"{what}\nType `{wanted}` to go on: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != wanted:
        raise Exit("Nothing was done.", code=2)


def seconds(option: str, text: str | None) -> float:
    """Read a duration: `90`, `90s`, `30m`, `2h`; nothing means 0."""
    if text is None:
        return 0.0
    found = re.fullmatch(r"(\d+)([smh]?)", text.strip())
    if found is None:
        raise SettingsError(f"{option} {text}: must be a duration such as 90s, 30m or 2h")
    return float(found[1]) * UNITS[found[2]]


def number(option: str, text: str | None) -> int | None:
    """Read a whole number that is not negative; nothing stays nothing."""
    if text is not None and not text.isdecimal():
        raise SettingsError(f"{option} {text}: must be a whole number")
    return None if text is None else int(text)


def decimal(option: str, text: str | None, default: float) -> float:
    """Read a number; nothing means the default."""
    try:
        return default if text is None else float(text)
    except ValueError:
        raise SettingsError(f"{option} {text}: must be a number") from None


def result_file(option: str, path: str | None) -> None:
    """Make sure that a file can be written, before the work whose result it gets."""
    if path is None:
        return
    file = Path(path)
    new = not file.exists()
    try:
        file.open("a").close()
        if new:
            file.unlink()
    except OSError as error:
        raise SettingsError(f"{option} {path}: cannot be written: {error.strerror}; nothing was done") from None


def choose(host: Sequence[str], group: Sequence[str], limit: str | None, inventory: str | None) -> Choice:
    """Which hosts a command line means."""
    from infra.fleet.choice import INVENTORY, Choice

    path = INVENTORY if inventory is None else Path(inventory).expanduser().absolute()
    return Choice(tuple(host), tuple(group), limit, path)


def host_task(
    help: Mapping[str, str] | None = None,
    iterable: Sequence[str] = (),
    *,
    here: bool = False,
    results: Sequence[str] = ("json",),
    name: str | None = None,
    default: bool = False,
) -> Callable[[Callable[Concatenate[Choice, ...], Outcome | None]], Task[Callable[..., None]]]:
    """Make a task of a function that gets the `Choice` of hosts and returns the `Outcome` to print.

    The task has the options of `choose` and `results`; the function's own parameters are its other options. Those that
    may be given by keyword only come behind `--limit` and `--inventory`: the order decides about the short flags.

    Args:
        help: the texts of the function's own options.
        iterable: those of them that may be given several times.
        here: without a host the task works on this machine.
        results: which of `--json` and `--junit` the task has.
        name: of the task, where it is not the function's.
        default: the task is what the name of its group alone means.
    """

    def make(body: Callable[Concatenate[Choice, ...], Outcome | None]) -> Task[Callable[..., None]]:
        @functools.wraps(body)
        def run(
            _context: Context,
            host: Sequence[str],
            group: Sequence[str],
            limit: str | None = None,
            inventory: str | None = None,
            json: bool = False,
            junit: str | None = None,
            **own: object,
        ) -> None:
            result_file("--junit", junit)
            outcome = body(choose(host, group, limit, inventory), **own)
            if outcome is not None:
                finish(outcome, json=json, junit=junit)

        shared = inspect.signature(run, follow_wrapped=False).parameters
        own = list(inspect.signature(body).parameters.values())[1:]
        order = [shared[name] for name in ("_context", "host", "group")]
        order += [one for one in own if one.kind is not one.KEYWORD_ONLY]
        order += [shared[name] for name in ("limit", "inventory")]
        order += [one for one in own if one.kind is one.KEYWORD_ONLY]
        order += [shared[name] for name in results]
        run.__signature__ = inspect.Signature([one.replace(kind=one.KEYWORD_ONLY) for one in order])  # type: ignore[attr-defined]
        texts = {**HOST_HELP, **({"host": HERE_HELP} if here else {}), **{name: RESULT_HELP[name] for name in results}}
        options = {**texts, **(help or {})}
        made: Task[Callable[..., None]]
        made = task(name=name, default=default, iterable=["host", "group", *iterable], help=options)(
            expected_errors_in_words(run)
        )
        return made

    return make


def verified_bundle(path: str | None) -> Bundle | None:
    """The bundle that `--bundle` names, read to its last byte; None without one."""
    if path is None:
        return None
    from core.report import Report
    from core.repository import REPOSITORY
    from infra.roles.images.bundled import usable_bundle

    return usable_bundle(Path(path).expanduser().absolute(), REPOSITORY, Report())


def run_options(
    command: str, *, accept_new_host_key: bool = False, lock_wait: str | None = None, bundle: str | None = None
) -> RunOptions:
    """What a command line says beside the hosts."""
    from core.repository import REPOSITORY
    from hosts.local import LocalHost
    from infra.config.settings import env_file, load_login_secrets
    from infra.fleet.commit import read_commit
    from infra.fleet.run import RunOptions

    return RunOptions(
        command,
        local_settings(),
        read_commit(LocalHost(), REPOSITORY),
        accept_new_host_key=accept_new_host_key,
        lock_wait=seconds("--lock-wait", lock_wait),
        secrets=load_login_secrets(env_file(os.environ), os.environ),
        bundle=verified_bundle(bundle),
    )


def finish(outcome: Outcome, *, json: bool, junit: str | None = None) -> None:
    """Print what a command on several hosts ended with, and end with its exit code."""
    out(outcome.shown(json=json, junit=junit))
    if outcome.exit_code:
        raise Exit("", code=outcome.exit_code)


def pairs(given: Sequence[str]) -> list[tuple[str, object]]:
    """Read `--set KEY=VALUE`."""
    found: list[tuple[str, object]] = []
    for text in given:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise SettingsError(f"--set {text}: must be KEY=VALUE; `./inv docs` lists the keys")
        found.append((key, value))
    return found
