from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest

from core.report import Report
from hosts.local import LocalHost
from infra.config.settings import secret_names
from infra.releases.hooks import ERROR_LENGTH, HookFailed, HookName, HookValues, run_hook
from tests.fakes import FakeHost

VALUES = HookValues("gpu01", "gpu01.lab", "labelrig", "deploy", commit="abc1234", url="http://127.0.0.1:8080")


def hook(folder: Path, name: HookName, body: str, mode: int = 0o755) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
    return path


def ran(folder: Path, name: HookName, values: HookValues = VALUES, timeout: float = 30.0) -> tuple[Report, str]:
    stream = io.StringIO()
    report = Report(stream)
    run_hook(name, folder, values, LocalHost(), report, timeout)
    return report, stream.getvalue()


def test_no_hook_is_nothing(tmp_path: Path) -> None:
    report = Report(io.StringIO())
    run_hook("pre-deploy", tmp_path, VALUES, FakeHost(), report)
    run_hook("pre-deploy", tmp_path / "no folder", VALUES, FakeHost(), report)
    assert (report.stages, report.notices) == ([], [])


def test_it_gets_what_happened_and_its_output_is_shown(tmp_path: Path) -> None:
    path = hook(tmp_path, "post-deploy", "env | grep ^LABELRIG_ | sort; echo trouble >&2")
    values = HookValues(**{**vars(VALUES), "error": "one\0\ntwo", "result": "ok", "release": "r1"})
    report, shown = ran(tmp_path, "post-deploy", values)
    lines = [line.strip() for line in shown.splitlines()]
    assert [line for line in lines if line.startswith("LABELRIG_")] == [
        "LABELRIG_ADDRESS=gpu01.lab",
        "LABELRIG_COMMAND=deploy",
        "LABELRIG_COMMIT=abc1234",
        "LABELRIG_ERROR=one",
        "LABELRIG_HOST=gpu01",
        "LABELRIG_PROJECT=labelrig",
        "LABELRIG_RELEASE=r1",
        "LABELRIG_RESULT=ok",
        "LABELRIG_URL=http://127.0.0.1:8080",
    ]
    assert "trouble" in lines
    assert [(stage.name, stage.ok, stage.failed) for stage in report.stages] == [
        ("hook post-deploy", [f"{path} ran"], False)
    ]


def test_a_long_error_is_cut_so_that_the_hook_can_start(tmp_path: Path) -> None:
    hook(tmp_path, "on-failure", 'printf %s "$LABELRIG_ERROR" | wc -c')
    values = HookValues(**{**vars(VALUES), "error": "x" * 1_000_000})
    assert str(ERROR_LENGTH) in ran(tmp_path, "on-failure", values)[1]


def test_it_never_sees_our_secrets_and_keeps_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in secret_names():
        monkeypatch.setenv(name, "hunter22")
    monkeypatch.setenv("CHAT_TOKEN", "of the lab")
    hook(tmp_path, "pre-deploy", "env; tr '\\0' ' ' </proc/$$/cmdline")
    shown = ran(tmp_path, "pre-deploy")[1]
    assert "CHAT_TOKEN=of the lab" in shown
    assert "hunter22" not in shown
    assert not any(name in shown for name in secret_names())


def test_pre_deploy_stops_the_deploy_with_its_last_lines(tmp_path: Path) -> None:
    path = hook(tmp_path, "pre-deploy", "seq 1 30; echo freeze until Monday >&2; exit 3")
    with pytest.raises(HookFailed) as caught:
        ran(tmp_path, "pre-deploy")
    assert str(caught.value) == "\n".join(
        [
            f"gpu01: the hook {path} ended with exit code 3; its last lines:",
            *(f"    {number}" for number in range(22, 31)),
            "    freeze until Monday",
            "Nothing was deployed to this host.",
        ]
    )
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("name", ["post-deploy", "on-failure"])
def test_the_others_leave_a_notice(tmp_path: Path, name: HookName) -> None:
    path = hook(tmp_path, name, "exit 4")
    report, _ = ran(tmp_path, name)
    assert report.notices == [f"gpu01: the hook {path} ended with exit code 4; its last lines:\n    (no output)"]
    assert [(stage.ok, stage.skipped, stage.failed) for stage in report.stages] == [([], [str(path)], False)]


def test_a_signal_is_named(tmp_path: Path) -> None:
    hook(tmp_path, "post-deploy", "kill -9 $$")
    assert "was ended by signal 9" in ran(tmp_path, "post-deploy")[0].notices[0]


def test_what_cannot_be_run_says_so(tmp_path: Path) -> None:
    path = hook(tmp_path, "pre-deploy", "true", mode=0o644)
    with pytest.raises(HookFailed, match=r"cannot be run: it is not an executable file; `chmod \+x .*pre-deploy`"):
        ran(tmp_path, "pre-deploy")
    (tmp_path / "post-deploy").symlink_to(tmp_path / "gone")
    (tmp_path / "on-failure").mkdir()
    for name in ("post-deploy", "on-failure"):
        notice = ran(tmp_path, name)[0].notices[0]
        assert notice.startswith(f"gpu01: the hook {tmp_path / name} cannot be run: it is not an executable file;")
    path.write_bytes(b"#!/no/such/interpreter\n")
    path.chmod(0o755)
    with pytest.raises(HookFailed, match=r"ended with exit code 12[67]; its last lines:\n +env: "):
        ran(tmp_path, "pre-deploy")


def test_one_that_does_not_end_is_stopped_with_its_children(tmp_path: Path) -> None:
    hook(tmp_path, "post-deploy", f"sleep 300 & echo $! >{tmp_path}/child; wait")
    began = time.monotonic()
    report, _ = ran(tmp_path, "post-deploy", timeout=1.0)
    assert time.monotonic() - began < 20
    assert report.notices == [f"gpu01: the hook {tmp_path / 'post-deploy'} did not end within 1 s and was stopped"]
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}/stat").exists() and _state(child) != "Z" and time.monotonic() < deadline:
        os.sched_yield()
    assert not Path(f"/proc/{child}").exists() or _state(child) == "Z"


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"
