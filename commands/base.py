"""What tasks share: expected errors in words, settings, output, and the question before something is done."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from invoke.exceptions import Exit

from core.errors import LabelrigError, SettingsError

if TYPE_CHECKING:
    from infra.config.settings import Settings
    from infra.fleet.choice import Choice, Outcome
    from infra.fleet.run import RunOptions

P = ParamSpec("P")
T = TypeVar("T")
INTERRUPTED = 130
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
HOST_HELP = {
    "host": "a host of infra/inventory.yaml, or USER@NAME[:PORT]; may be given several times",
    "group": "a group of the inventory, `all` for every host; may be given several times",
    "limit": "of those only these: names and globs with commas, `!` in front leaves out",
    "inventory": "another file than infra/inventory.yaml",
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


def confirm(what: str) -> None:
    """Ask before something is done."""
    if not sys.stdin.isatty():
        raise Exit(f"{what} Nothing was done: there is no terminal to ask; add --yes to do it.", code=2)
    sys.stderr.write(f"{what}\nType `yes` to go on: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != "yes":
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


def decimal(option: str, text: str | None) -> float:
    """Read a number; nothing means 0."""
    try:
        return 0.0 if text is None else float(text)
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


def choose(
    host: Sequence[str],
    group: Sequence[str],
    limit: str | None,
    inventory: str | None,
    *,
    overrides: Sequence[tuple[str, object]] = (),
    parallel: int | None = None,
    fail_fast: bool = False,
) -> Choice:
    """Which hosts a command line means."""
    from infra.fleet.choice import INVENTORY, Choice

    path = INVENTORY if inventory is None else Path(inventory).expanduser().absolute()
    at_once = Choice.parallel if parallel is None else parallel
    return Choice(tuple(host), tuple(group), limit, path, tuple(overrides), at_once, fail_fast)


def run_options(command: str, *, accept_new_host_key: bool = False, lock_wait: str | None = None) -> RunOptions:
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
