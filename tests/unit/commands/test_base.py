"""What the tasks share: errors in words, durations, pairs, numbers, the question."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from commands import base, deploying
from commands.base import (
    choose,
    confirm,
    decimal,
    expected_errors_in_words,
    finish,
    host_task,
    number,
    out,
    pairs,
    result_file,
    seconds,
)
from core.errors import (
    HostError,
    LabelrigError,
    LockHeld,
    PreflightError,
    RolledBack,
    SettingsError,
)
from infra.deploy import command
from infra.fleet.choice import INVENTORY, Choice, Outcome


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, 0.0), ("0", 0.0), ("90", 90.0), ("90s", 90.0), ("30m", 1800.0), ("2h", 7200.0), (" 5m ", 300.0)],
)
def test_durations(text: str | None, expected: float) -> None:
    assert seconds("--lock-wait", text) == expected


@pytest.mark.parametrize("text", ["", "m", "-5", "1.5h", "1d", "5 m", "1h30m", "five", "5M", "1e3", "∞"])
def test_what_is_no_duration_is_named_with_its_option(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        seconds("--lock-wait", text)
    assert str(caught.value) == f"--lock-wait {text}: must be a duration such as 90s, 30m or 2h"


def test_pairs() -> None:
    assert pairs([]) == []
    assert pairs(["port=8090", "data=/NAS/a=b", "jump="]) == [("port", "8090"), ("data", "/NAS/a=b"), ("jump", "")]


@pytest.mark.parametrize("text", ["port", "=8090", "", "="])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        pairs(["port=1", text])
    assert str(caught.value) == f"--set {text}: must be KEY=VALUE; `./inv docs` lists the keys"


def test_whole_numbers() -> None:
    assert (number("--last", None), number("--last", "0"), number("--last", "25")) == (None, 0, 25)
    for text in ("", "-1", "1.5", "x", "²"):
        with pytest.raises(SettingsError, match=r"^--last .*: must be a whole number$"):
            number("--last", text)


def test_numbers() -> None:
    texts = (None, "0.5", "-2", "0")
    assert [decimal("--tolerance", text, 0.25) for text in texts] == [0.25, 0.5, -2, 0]
    for text in ("", "x", "1,5"):
        with pytest.raises(SettingsError, match=r"^--tolerance .*: must be a number$"):
            decimal("--tolerance", text, 0.25)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LabelrigError("x"), 1),
        (HostError("x"), 1),
        (SettingsError("x"), 2),
        (PreflightError(["x"]), 3),
        (LockHeld("x"), 4),
        (RolledBack("x"), 5),
    ],
)
def test_an_expected_error_is_its_message_and_its_code(error: LabelrigError, code: int) -> None:
    @expected_errors_in_words
    def task() -> None:
        raise error

    with pytest.raises(Exit) as caught:
        task()
    assert (caught.value.code, caught.value.message) == (code, f"error: {error}")
    assert caught.value.__suppress_context__


def test_ctrl_c_is_no_traceback_and_a_fault_of_ours_is_one() -> None:
    @expected_errors_in_words
    def stopped() -> None:
        raise KeyboardInterrupt

    @expected_errors_in_words
    def broken() -> None:
        raise ZeroDivisionError

    @expected_errors_in_words
    def fine(a: int, *, b: int) -> int:
        """Add."""
        return a + b

    with pytest.raises(Exit, match="stopped by hand") as caught:
        stopped()
    assert caught.value.code == 130
    with pytest.raises(ZeroDivisionError):
        broken()
    assert fine(1, b=2) == 3
    assert (fine.__name__, fine.__doc__) == ("fine", "Add.")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_nobody_is_asked_and_nothing_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    with pytest.raises(Exit) as caught:
        confirm("This changes gpu01.")
    assert caught.value.code == 2
    assert caught.value.message == (
        "This changes gpu01. Nothing was done: there is no terminal to ask; add --yes to do it."
    )


@pytest.mark.parametrize("answer", ["no\n", "\n", "", "y\n", "YES\n", "yes please\n"])
def test_anything_but_yes_is_no(
    answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    with pytest.raises(Exit, match="Nothing was done") as caught:
        confirm("This changes gpu01.")
    assert caught.value.code == 2


def test_yes_goes_on_and_the_question_is_no_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(" yes \n"))
    confirm("This changes gpu01.")
    assert capsys.readouterr() == ("", "This changes gpu01.\nType `yes` to go on: ")


def test_result_file_is_tried_before_the_work(tmp_path: Path) -> None:
    """A result file is tried before the work and left as it was."""
    result_file("--junit", None)
    new, old = tmp_path / "new.xml", tmp_path / "old.xml"
    old.write_text("old")
    result_file("--junit", str(new))
    result_file("--junit", str(old))
    assert not new.exists()
    assert old.read_text() == "old"


@pytest.mark.parametrize(("name", "reason"), [("none/x.xml", "No such file or directory"), (".", "Is a directory")])
def test_a_result_file_that_cannot_be_written_is_refused_first(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / name
    with pytest.raises(SettingsError) as caught:
        result_file("--junit", str(path))
    assert str(caught.value) == f"--junit {path}: cannot be written: {reason}; nothing was done"


def test_what_a_command_line_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose((), (), None, None).inventory == INVENTORY
    assert choose((), (), None, None).parallel == 4
    monkeypatch.chdir(tmp_path)
    one = choose(["a"], ["g"], "a*", "mine.yaml")
    assert (one.hosts, one.groups, one.limit, one.inventory) == (("a",), ("g",), "a*", tmp_path / "mine.yaml")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert choose((), (), None, "~/x.yaml").inventory == tmp_path / "x.yaml"


def test_host_task_gets_the_choice_and_its_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    seen = []

    @host_task({"own": "what is the task's own"}, here=True)
    def look(choice: Choice, name: str = "", *, own: bool = False) -> Outcome:
        """Look."""
        seen.append((choice.hosts, choice.limit, name, own))
        return Outcome([], "the recap", 0)

    look(Context(), host=["a"], group=[], limit="a*", own=True)
    assert seen == [(("a",), "a*", "", True)]
    assert capsys.readouterr().out == "the recap\n"
    assert list(look.argspec(look.body).parameters) == ["host", "group", "name", "limit", "inventory", "own", "json"]
    assert "this machine" in look.help["host"]


def test_plan_sets_overrides_over_the_inventory(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Choice] = []
    monkeypatch.setattr(deploying, "run_options", lambda *_, **__: None)
    monkeypatch.setattr(command, "run_plan", lambda choice, _: seen.append(choice))
    deploying.plan(Context(), host=["a"], group=[], set=["port=1"], data="/d", parallel="2")
    deploying.plan(Context(), host=["a"], group=[], set=[])
    assert (seen[0].overrides, seen[0].parallel) == ((("port", "1"), ("data", "/d")), 2)
    assert (seen[1].overrides, seen[1].parallel) == ((), 4)


@pytest.mark.parametrize("code", [0, 5])
def test_a_command_ends_with_its_text_and_its_code(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome([], "the recap", code)
    if code:
        with pytest.raises(Exit) as caught:
            finish(outcome, json=False)
        assert (caught.value.code, caught.value.message) == (code, "")
    else:
        finish(outcome, json=False)
    assert capsys.readouterr() == ("the recap\n", "")


def test_data_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    out("data")
    assert capsys.readouterr() == ("data\n", "")


def test_login_secrets_come_from_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The passwords of SSH and sudo are the only ones."""
    env = tmp_path / ".env"
    env.write_text("LABELRIG_SUDO_PASSWORD='of sudo'\n")
    monkeypatch.setenv("LABELRIG_ENV_FILE", str(env))
    said = base.run_options("deploy", accept_new_host_key=True, lock_wait="2m")
    assert (said.command, said.accept_new_host_key, said.lock_wait) == ("deploy", True, 120.0)
    assert said.secrets.sudo_password is not None
    assert "of sudo" not in repr(said)
    assert len(said.commit.digest) == 40
