"""The front door: every task and every option says what it is for, and nothing heavy is loaded to say so."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from invoke.tasks import Task

import commands
from commands.help import EXAMPLES, THEMES
from commands.program import Front, named
from core.repository import REPOSITORY
from tasks import namespace

SHORT = {"backup.make": "backup"}  # the task that the name of its group alone means
TASKS: dict[str, Task[Any]] = {name: namespace[name] for name in sorted(map(str, namespace.task_names))}
SHARED = ("host", "group", "limit", "inventory", "json")


@pytest.fixture(params=TASKS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@functools.cache
def every_option() -> dict[str, dict[str, str | None]]:
    """The options of each task with their help; Invoke gives the help once only, so another process is asked."""
    told = "{name: {one.name: one.help for one in tasks.namespace[name].get_arguments()} for name in names}"
    code = f"import json, tasks; names = tasks.namespace.task_names; print(json.dumps({told}))"
    done = subprocess.run((sys.executable, "-c", code), cwd=REPOSITORY, check=True, capture_output=True, text=True)
    found: dict[str, dict[str, str | None]] = json.loads(done.stdout)
    return found


def options(name: str) -> dict[str, str | None]:
    """The options of a task, each with its help."""
    return every_option()[name]


def test_every_task_of_the_commands_can_be_called() -> None:
    """A task that `tasks.py` does not list is one that `./inv` does not know."""
    written = {
        one
        for found in pkgutil.iter_modules(commands.__path__)
        for one in vars(importlib.import_module(f"commands.{found.name}")).values()
        if isinstance(one, Task)
    }
    assert {one.body for one in written} == {one.body for one in TASKS.values()}


def test_every_option_has_help_of_one_line(name: str) -> None:
    for option, text in options(name).items():
        assert text, f"{name} --{option}"
        assert text == " ".join(text.split()), f"{name} --{option}"
        assert not text.endswith("."), f"{name} --{option}"


def test_a_task_says_in_one_sentence_what_it_does(name: str) -> None:
    text = inspect.getdoc(TASKS[name].body) or ""
    first = text.splitlines()[0] if text else ""
    assert first.endswith("."), name
    assert len(first) <= 120, name


def test_help_is_shown_with_every_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Front().run(["inv", "--help", name], exit=False)
    shown = capsys.readouterr().out
    for option in options(name):
        assert f"--{option.strip('_').replace('_', '-')} " in shown.replace("\n", " ")
    assert (TASKS[name].__doc__ or "").splitlines()[0].split()[0] in shown
    assert shown.startswith(f"usage: ./inv {name}")
    assert "Docstring" not in shown
    assert "other tasks" not in shown


def test_an_option_of_several_tasks_means_the_same_everywhere() -> None:
    for option in SHARED:
        kinds = {argument.kind for name in TASKS for argument in TASKS[name].get_arguments() if argument.name == option}
        assert len(kinds) == 1, option


def test_no_option_is_a_number_to_invoke() -> None:
    """It would answer a slip with a traceback; see `commands.base.number`."""
    found = [
        f"{name} --{argument.name}"
        for name in TASKS
        for argument in TASKS[name].get_arguments()
        if argument.kind not in (str, bool, list)
    ]
    assert found == []


def test_every_task_turns_expected_errors_into_words(name: str) -> None:
    assert inspect.unwrap(TASKS[name].body) is not TASKS[name].body


def test_list_of_tasks_loads_nothing_heavy() -> None:
    """`./inv --list` answers at once: heavy modules are imported in the bodies."""
    heavy = ("docker", "paramiko", "fabric", "label_studio_sdk", "torch", "pydantic")
    code = f"import sys, tasks; print(sorted(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run((sys.executable, "-c", code), cwd=REPOSITORY, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def called(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, str(REPOSITORY / "tasks.py"), *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (["docs", "port"], ["docs", "--key", "port"]),
        (["rollback", "20250301", "--yes"], ["rollback", "--release", "20250301", "--yes"]),
        (["logs", "sam2", "--follow"], ["logs", "--service", "sam2", "--follow"]),
        (["config.check", "a folder"], ["config.check", "--path", "a folder"]),
        (["docs"], ["docs"]),
        (["logs", "--follow"], ["logs", "--follow"]),
        (["export", "coco"], ["export", "coco"]),
        (["import", "exports/x"], ["import", "--path", "exports/x"]),
        ([], []),
    ],
)
def test_value_by_position_gets_its_option(given: list[str], passed: list[str]) -> None:
    assert named(given) == passed


def test_value_by_position_works_from_any_folder(tmp_path: Path) -> None:
    done = called("docs", "port", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == called("docs", "--key", "port").stdout
    assert done.stdout.startswith("port (")


def test_call_without_task_lists_tasks() -> None:
    assert called().stdout == called("--list").stdout != ""


@pytest.mark.parametrize("call", ["export --help", "import --project demo --help", "logs --help"])
def test_help_after_a_task_is_its_help(call: str) -> None:
    """Invoke would take `--help` for the value that the task still needs."""
    done = called(*call.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == called("--help", call.split()[0]).stdout


@pytest.mark.parametrize(
    ("arguments", "seen", "next_step"),
    [
        (["export"], "export needs --format", "./inv export --help"),
        (["export", "--format"], "export --format needs a value", "./inv export --help"),
        (["up", "--modle", "tiny"], "up has no option --modle; did you mean --model, ", "./inv up --help"),
        (["export", "--format", "coco", "--xyzzy"], "export has no option --xyzzy\n", "./inv export --help"),
        (["expotr"], "there is no task 'expotr'; did you mean export?", "`./inv` lists"),
        (["expotr", "--help"], "there is no task 'expotr'; did you mean export?", "`./inv` lists"),
        (["--help", "expotr"], "there is no task 'expotr'; did you mean export?", "`./inv` lists"),
        (["lock"], "did you mean lock.status, lock.take, lock.release?", "`./inv` lists"),
        (["xyzzy"], "there is no task 'xyzzy'\n", "`./inv` lists"),
        (["--nonsense"], "there is no option --nonsense", "`./inv` lists"),
    ],
)
def test_a_wrong_call_ends_with_2_and_says_where_help_is(arguments: list[str], seen: str, next_step: str) -> None:
    done = called(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert seen in done.stderr
    assert next_step in done.stderr
    assert "Traceback" not in done.stderr


def test_overview_shows_each_task_once_under_a_theme() -> None:
    shown = called("--help").stdout
    assert shown == called("--list").stdout
    for name in TASKS:
        assert len(re.findall(rf"^  {re.escape(SHORT.get(name, name))} ", shown, re.MULTILINE)) == 1, name
    modules = {inspect.unwrap(TASKS[name].body).__module__.rpartition(".")[2] for name in TASKS}
    assert modules == set(THEMES)
    assert all(f"\n{theme}\n  " in shown for theme in THEMES.values())


@pytest.mark.parametrize("example", [one for examples in EXAMPLES.values() for one in examples])
def test_examples_can_be_called(example: str) -> None:
    """Each is read to the end: a task or an option that is gone fails here."""
    words = shlex.split(example)
    assert example in EXAMPLES[words[0]]
    program = Front()
    program.execute = lambda: None  # type: ignore[method-assign]
    program.run(["inv", *words], exit=False)
    assert [SHORT.get(str(context.name), context.name) for context in program.tasks] == [words[0]]


def test_usage_line_shows_what_a_call_needs() -> None:
    pages = {name: called(name, "--help").stdout.partition("\n")[0] for name in ("export", "import", "docs", "logs")}
    assert pages == {
        "export": "usage: ./inv export --format FORMAT [options]",
        "import": "usage: ./inv import PATH [options]",
        "docs": "usage: ./inv docs [KEY]",
        "logs": "usage: ./inv logs [SERVICE] [options]",
    }


def test_the_version_is_that_of_the_project() -> None:
    done = called("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"labelrig \d+\.\d+\.\d+\n", done.stdout)
