"""The front door: `./inv TASK`. Tasks say what will happen, call, and report; the work is in infra/.

Exit codes: 0 ok, 1 failed, 2 usage or settings, 3 preflight. Progress goes to stderr, data to stdout.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from infra.errors import LabelrigError

if TYPE_CHECKING:
    from infra.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")
INTERRUPTED = 130


def _expected_errors_in_words(body: Callable[P, T]) -> Callable[P, T]:
    """Turn an expected error into its message and exit code; any other keeps its traceback."""

    @functools.wraps(body)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return body(*args, **kwargs)
        except LabelrigError as error:
            raise Exit(f"error: {error}", code=error.exit_code) from None
        except KeyboardInterrupt:
            raise Exit("stopped by hand; run the same command again to go on", code=INTERRUPTED) from None

    return wrapped


def _settings(**arguments: str | None) -> Settings:
    from infra.settings import env_file, load_settings

    return load_settings(env_file(os.environ), os.environ, arguments)


def _out(text: str) -> None:
    sys.stdout.write(text + "\n")


@task(
    help={
        "data": "folder with images, mounted read-only (remembered in .env; without any: drawn demo images)",
        "model": "auto, demo, tiny, small, base-plus or large (remembered in .env; auto: a real one if it can be had)",
        "json": "print the result as JSON on stdout",
    }
)
@_expected_errors_in_words
def up(_context: Context, data: str | None = None, model: str | None = None, json: bool = False) -> None:
    """Start Label Studio with SAM2 on this machine and prove it with a click."""
    from infra.hosts.local import LocalHost
    from infra.report import Report
    from infra.up import up as bring_up

    folder = None if data is None else str(Path(data).expanduser().resolve())
    settings = _settings(LABELRIG_DATA=folder, LABELRIG_MODEL=model)
    remember = {
        name: value for name, value in (("LABELRIG_DATA", folder), ("LABELRIG_MODEL", model)) if value is not None
    }
    report = Report()
    summary = bring_up(settings, LocalHost(), report, remember)
    _out(report.as_json() if json else summary)


@task(
    help={
        "purge": "also remove the volumes (projects, annotations, models) and images of this project",
        "yes": "do not ask before --purge",
        "json": "print the result as JSON on stdout",
    }
)
@_expected_errors_in_words
def down(_context: Context, purge: bool = False, yes: bool = False, json: bool = False) -> None:
    """Stop the containers and keep everything; with --purge remove this project's volumes and images."""
    from infra.down import down as bring_down
    from infra.hosts.local import LocalHost
    from infra.report import Report

    settings = _settings()
    if purge and not yes:
        _confirm(f"This removes every project, annotation and image of `{settings.project}` on this machine.")
    report = Report()
    bring_down(settings, LocalHost(), report, purge=purge)
    _out(report.as_json() if json else report.recap())


@task(
    help={
        "project": "title of the project in Label Studio (default: the one that `up` made)",
        "folder": "instead: every image of a connected folder, by its name below /label-studio/files",
        "stop": "end the jobs that run; what was encoded stays",
        "json": "print the result as JSON on stdout",
    }
)
@_expected_errors_in_words
def embed(
    _context: Context,
    project: str | None = None,
    folder: str | None = None,
    stop: bool = False,
    json: bool = False,
) -> None:
    """Encode a project's images ahead of the clicks; run it again to go on, annotators go first."""
    from infra.embed_command import run_embed
    from infra.hosts.local import LocalHost
    from infra.report import Report

    if project is not None and folder is not None:
        raise Exit("error: give either --project or --folder", code=2)
    report = Report()
    outcome = run_embed(_settings(), LocalHost(), report, project=project, folder=folder, stop=stop)
    _out(report.as_json() if json else outcome)


@task(
    help={
        "fast": "leave out everything that needs Docker",
        "only": "run only the tests under this path, without lint and types",
    }
)
@_expected_errors_in_words
def test(_context: Context, fast: bool = False, only: str | None = None) -> None:
    """Run lint, types, unit, contract, integration and end-to-end tests."""
    from infra.checks import run_checks
    from infra.report import Report

    run_checks(Report(), fast=fast, only=only)


@task(name="test-e2e")
@_expected_errors_in_words
def test_e2e(_context: Context) -> None:
    """Bring both containers up in a project of their own and run the whole round trip."""
    from infra.checks import run_checks
    from infra.report import Report

    run_checks(Report(), only="tests/e2e")


@task(
    help={
        "models": "of demo, tiny, small, base-plus, large, with commas (default: demo,tiny; on a GPU also large)",
        "engines": "of torch, openvino, cuda, with commas (default: all that the machine has)",
        "sizes": "of 2, 12: megapixels, with commas",
        "quick": "the demo model and few repetitions",
        "out": "folder for bench.md and bench.json (default: .labelrig/bench)",
        "docs": "also write the tables into docs/performance.md",
        "machine": "the machine in plain words, for the table",
    }
)
@_expected_errors_in_words
def bench(
    _context: Context,
    models: str | None = None,
    engines: str | None = None,
    sizes: str | None = None,
    quick: bool = False,
    out: str | None = None,
    docs: bool = False,
    machine: str | None = None,
) -> None:
    """Measure what a click costs on this machine, beside the stock path, and print one table."""
    from infra.checks import install_test_environment
    from infra.hosts.local import LocalHost
    from infra.report import Report
    from infra.settings import REPOSITORY

    install_test_environment(LocalHost(), Report())
    given = {"models": models, "engines": engines, "sizes": sizes, "out": out, "machine": machine}
    flags = [f"--{name}" for name, wanted in (("quick", quick), ("docs", docs)) if wanted]
    options = [f"--{name}={value}" for name, value in given.items() if value is not None]
    done = subprocess.run((sys.executable, "-m", "bench", *flags, *options), cwd=REPOSITORY, check=False)
    if done.returncode:
        raise Exit("", code=done.returncode)


def _confirm(what: str) -> None:
    if not sys.stdin.isatty():
        raise Exit(f"{what} Nothing was done: there is no terminal to ask; add --yes to do it.", code=2)
    sys.stderr.write(f"{what}\nType `yes` to go on: ")
    if sys.stdin.readline().strip() != "yes":
        raise Exit("Nothing was done.", code=2)
