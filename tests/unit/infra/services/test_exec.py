"""`./inv exec`: the command arrives as it was written, with its streams and its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import CommandFailed, CommandTimedOut, ConnectionLost, LabelrigError, SettingsError, SudoRefused
from core.repository import REPOSITORY
from hosts.attached import run_attached
from infra.services import exec_command as module
from infra.services.exec_command import ExecRequest, run_exec
from tests.unit.infra.deploy_bench import options, quiet
from tests.unit.infra.services.services_bench import ServicesBench, make_bench

SPEAK = "import sys; sys.stdout.write(repr(sys.argv[1:])); sys.stderr.write('oops'); sys.exit(7)"
ODD = ("two words", "--host", "a;b $HOME", "ñ")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServicesBench:
    return make_bench(tmp_path, monkeypatch)


def audit_lines(bench: ServicesBench) -> list[tuple[str, str, str | None]]:
    lines = [json.loads(line) for line in (bench.base / "audit.jsonl").read_text().splitlines()]
    return [(line["command"], line["result"], line["error"]) for line in lines]


def ask(*command: str, service: str = "sam2", timeout: float | None = 30.0) -> ExecRequest:
    return ExecRequest(service, command, timeout)


def test_words_streams_and_exit_code_are_kept(bench: ServicesBench, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_exec(bench.choice, options("exec sam2"), ask(sys.executable, "-c", SPEAK, *ODD), quiet())
    assert result.exit_code == 7
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == (repr(list(ODD)), "oops")
    (call,) = bench.compose_calls()
    assert call.startswith("exec --no-TTY sam2 ")


def test_what_is_piped_in_arrives(bench: ServicesBench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "piped").write_text("SELECT 1;\n")
    with (tmp_path / "piped").open("rb") as piped:
        assert run_exec(bench.choice, options("exec sam2"), replace(ask("cat"), stdin=piped), quiet()).ok
    assert capsys.readouterr().out == "SELECT 1;\n"


def test_the_log_names_the_service_and_not_the_command(bench: ServicesBench) -> None:
    """A command may hold anything, a secret too."""
    run_exec(bench.choice, options("exec sam2"), ask("true"), quiet())
    run_exec(bench.choice, options("exec sam2"), ask("sh", "-c", "exit 3"), quiet())
    assert audit_lines(bench) == [
        ("./inv exec sam2", "began", None),
        ("./inv exec sam2", "ok", None),
        ("./inv exec sam2", "began", None),
        ("./inv exec sam2", "failed", "the command ended with exit code 3"),
    ]
    assert not (bench.base / "lock").exists()


def test_a_command_that_does_not_end_is_stopped(bench: ServicesBench) -> None:
    with pytest.raises(CommandTimedOut, match=r"did not end in 0.3 s"):
        run_exec(bench.choice, options("exec sam2"), ask("sleep", "20", timeout=0.3), quiet())
    assert audit_lines(bench)[1:] == [
        ("./inv exec sam2", "failed", "the command did not end in its time and was stopped")
    ]


@pytest.mark.parametrize(
    ("error", "result", "text"),
    [
        (
            ConnectionLost("gpu01: lost while `psql s3cret` ran"),
            "failed",
            "the connection was lost while the command ran",
        ),
        (SudoRefused("gpu01: no sudo for `psql s3cret`"), "failed", "the command could not be run (SudoRefused)"),
        (KeyboardInterrupt(), "stopped", "stopped by hand"),
    ],
)
def test_the_log_has_a_command_that_was_cut_off(
    bench: ServicesBench, monkeypatch: pytest.MonkeyPatch, error: BaseException, result: str, text: str
) -> None:
    """It may have done its work all the same, so it stands there before it is run; its words do not."""

    def cut_off(*_: object) -> None:
        assert audit_lines(bench) == [("./inv exec db", "began", None)]
        raise error

    monkeypatch.setattr(module, "_captured", cut_off)
    with pytest.raises(type(error)):
        run_exec(bench.choice, options("exec db"), ask("psql", "s3cret"), quiet())
    assert audit_lines(bench)[1:] == [("./inv exec db", result, text)]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ask(), r"^exec: no command; write it behind `--`: \./inv exec sam2 -- ls -l$"),
        (ask("ls", service="sam3"), r"^there is no service sam3 \(there are: sam2, label-studio, proxy\)$"),
    ],
)
def test_a_wrong_call_runs_nothing(bench: ServicesBench, request_: ExecRequest, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        run_exec(bench.choice, options("exec"), request_, quiet())
    assert bench.compose_calls() == []


def test_a_container_that_does_not_run_is_said(bench: ServicesBench) -> None:
    bench.engine.there["sam2"].status = "exited"
    del bench.engine.there["proxy"]
    with pytest.raises(LabelrigError) as caught:
        run_exec(bench.choice, options("exec sam2"), ask("ls"), quiet())
    assert str(caught.value) == (
        "gpu01: the container of sam2 does not run (it is exited); `./inv restart --host gpu01` starts it, "
        "`./inv logs sam2 --host gpu01` shows what it said last"
    )
    with pytest.raises(LabelrigError, match=r"the container of proxy does not run \(it is not there\)"):
        run_exec(bench.choice, options("exec proxy"), ask("ls", service="proxy"), quiet())
    (bench.base / "current" / "stack.env").unlink()
    with pytest.raises(LabelrigError, match=r"there is no stack labelrig here; `\./inv deploy --host gpu01` makes it"):
        run_exec(bench.choice, options("exec sam2"), ask("ls"), quiet())


def test_several_hosts_are_refused(bench: ServicesBench) -> None:
    bench.choice.inventory.write_text("hosts: {gpu01: {address: 10.0.0.1}, gpu02: {address: 10.0.0.2}}\n")
    with pytest.raises(SettingsError, match="this works on one host; these are gpu01, gpu02"):
        run_exec(replace(bench.choice, groups=("all",)), options("exec"), ask("ls"), quiet())


def test_attached_command_has_our_streams(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_attached((sys.executable, "-c", SPEAK, *ODD), 30.0) == 7
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == (repr(list(ODD)), "oops")
    assert run_attached(("sh", "-c", "kill -TERM $$"), 30.0) == 143
    with pytest.raises(CommandTimedOut, match=r"did not end in 0.2 s"):
        run_attached(("sleep", "20"), 0.2)
    with pytest.raises(CommandFailed, match="no-such-program"):
        run_attached(("no-such-program",), 1.0)


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (["exec", "db"], "exec: no command; write it behind `--`"),
        (["exec", "--", "ls"], "exec needs --service"),
        (["up", "--", "ls"], "only `exec` takes words behind `--`"),
        (["exec", "sam2", "--", "ls", "--host", "x"], "there is no stack no-such-stack here"),
    ],
)
def test_words_behind_two_dashes(arguments: list[str], seen: str, tmp_path: Path) -> None:
    """They are no options of ours; and no other task takes any."""
    (tmp_path / ".env").write_text("LABELRIG_PROJECT=no-such-stack\n")
    done = subprocess.run(
        (sys.executable, str(REPOSITORY / "tasks.py"), *arguments),
        capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": "/usr/bin:/bin", "LABELRIG_ENV_FILE": str(tmp_path / ".env")},
    )  # fmt: skip
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("error: ")
    assert seen in done.stderr
