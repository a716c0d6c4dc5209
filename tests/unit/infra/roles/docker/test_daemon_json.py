"""daemon.json on a real disk, with an engine that is a function."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import HostError, NotConverged
from core.operation import converge
from core.report import Report
from hosts.base import DEFAULT_TIMEOUT, Result
from hosts.local import LocalHost
from infra.roles.docker.daemon_json import DaemonConfigured, merged, owe_restart, rendered
from tests.fakes import FakeHost

RUNTIME: dict[str, Any] = {"runtimes": {"nvidia": {"args": [], "path": "nvidia-container-runtime"}}}
THEIRS = """{
    "registry-mirrors": ["https://mirror.lab"],
    "log-driver": "json-file",
    "runtimes": {"kata": {"path": "/usr/bin/kata"}}
}
"""


class Unprivileged(LocalHost):
    """This machine, where the test's own folder needs no root."""

    name = "the lab"

    def run(
        self,
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = DEFAULT_TIMEOUT,
        stdin: bytes | IO[bytes] | None = None,
        on_line: Callable[[str], None] | None = None,
        tail: int | None = None,
        as_root: bool = False,
    ) -> Result:
        return super().run(*argv, ok=ok, timeout=timeout, stdin=stdin, on_line=on_line, tail=tail)

    def write(self, path: str, content: bytes, mode: int = 0o644, *, as_root: bool = False) -> None:
        super().write(path, content, mode)


class Lab:
    """A folder as /etc/docker, and an engine that starts with every file but those that hold a word."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "docker" / "daemon.json"
        self.started_with: list[str | None] = []
        self.refused_word = "refuse-me"
        self.killed_at_restart = False

    def restart(self) -> None:
        if self.killed_at_restart:
            raise KeyboardInterrupt
        content = self.file.read_text() if self.file.exists() else None
        if content is not None and self.refused_word in content:
            raise HostError("dockerd ended at once; the last lines of its log:\n    unable to configure: conflict")
        self.started_with.append(content)

    def operation(self, wanted: Mapping[str, object]) -> DaemonConfigured:
        return DaemonConfigured(Unprivileged(), Report(), wanted, self.restart, str(self.file))

    def apply(self, wanted: Mapping[str, object]) -> int:
        return converge([self.operation(wanted)], Report())

    def write(self, text: str, mode: int = 0o644) -> None:
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(text)
        self.file.chmod(mode)

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.file.parent.iterdir())

    @property
    def backups(self) -> list[Path]:
        return sorted(self.file.parent.glob("daemon.json.labelrig-2*"))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    dockerd(tmp_path, monkeypatch, "20.10.24+dfsg1")
    return Lab(tmp_path)


def dockerd(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str, validates: bool = True) -> Path:
    """A `dockerd` that only says its version and whether a file is good; returns what it was asked."""
    programs, asked = folder / "programs", folder / "asked"
    programs.mkdir(exist_ok=True)
    shim = programs / "dockerd"
    shim.write_text(
        f'#!/bin/sh\necho "$*" >>{asked}\n'
        f"case $1 in --version) echo 'Docker version {version}, build 1' ;;\n"
        f"*) echo 'unable to configure: unknown log opt'; exit {0 if validates else 1} ;; esac\n"
    )
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return asked


def test_ours_is_merged_and_theirs_stays_in_its_order(lab: Lab) -> None:
    lab.write(THEIRS)
    assert lab.apply({**RUNTIME, "log-opts": {"max-size": "10m"}}) == 1
    content = json.loads(lab.file.read_text())
    assert list(content) == ["registry-mirrors", "log-driver", "runtimes", "log-opts"]
    assert content["runtimes"] == {"kata": {"path": "/usr/bin/kata"}, **RUNTIME["runtimes"]}
    assert lab.file.read_text().startswith('{\n  "registry-mirrors": [\n    "https://mirror.lab"\n  ],\n')
    assert len(lab.started_with) == 1


def test_applied_twice_nothing_is_to_do(lab: Lab) -> None:
    assert lab.apply(RUNTIME) == 1
    assert lab.apply(RUNTIME) == 0
    assert len(lab.started_with) == 1
    assert lab.names == ["daemon.json"]


def test_what_another_tool_wrote_in_its_own_form_is_no_change(lab: Lab) -> None:
    lab.write('{"runtimes":{"nvidia":{"path":"nvidia-container-runtime","args":[]}}}')
    assert lab.operation(RUNTIME).plan() == []


def test_the_plan_shows_a_diff_and_changes_nothing(lab: Lab) -> None:
    lab.write(THEIRS)
    (change,) = lab.operation(RUNTIME).plan()
    assert change.summary == (f"update {lab.file} and restart the docker engine (running containers stop for a moment)")
    assert '+      "path": "nvidia-container-runtime"' in change.diff
    assert lab.file.read_text() == THEIRS
    assert lab.names == ["daemon.json"]


def test_no_login_of_a_proxy_and_no_token_is_in_the_diff(lab: Lab) -> None:
    lab.write(
        '{"proxies": {"http-proxy": "http://walker:pass-4711@proxy.lab:3128"},\n'
        ' "log-opts": {"splunk-token": "tok-0815", "max-size": "1m"}}'
    )
    (change,) = lab.operation(RUNTIME).plan()
    assert "pass-4711" not in change.diff
    assert "tok-0815" not in change.diff
    assert '"splunk-token": "(secret)"' in change.diff
    assert "http://(secret)@proxy.lab:3128" in change.diff


def test_mode_and_owner_stay_and_so_does_a_backup(lab: Lab) -> None:
    lab.write(THEIRS, 0o600)
    lab.apply(RUNTIME)
    (backup,) = lab.backups
    assert backup.read_text() == THEIRS
    assert stat.S_IMODE(backup.stat().st_mode) == stat.S_IMODE(lab.file.stat().st_mode) == 0o600
    assert lab.names == ["daemon.json", backup.name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_stays_theirs(lab: Lab) -> None:
    lab.write(THEIRS, 0o640)
    os.chown(lab.file, 4711, 4712)
    lab.apply(RUNTIME)
    for file in (lab.file, *lab.backups):
        assert (file.stat().st_uid, file.stat().st_gid, stat.S_IMODE(file.stat().st_mode)) == (4711, 4712, 0o640)


def test_a_link_stays_a_link(lab: Lab, tmp_path: Path) -> None:
    lab.file.parent.mkdir()
    real = tmp_path / "managed.json"
    real.write_text(THEIRS)
    lab.file.symlink_to(real)
    lab.apply(RUNTIME)
    assert lab.file.is_symlink()
    assert "nvidia" in real.read_text()


@pytest.mark.parametrize("text", ["", "  \n", "\ufeff{}"])
def test_an_empty_file_is_an_empty_object(lab: Lab, text: str) -> None:
    lab.write(text)
    lab.apply(RUNTIME)
    assert json.loads(lab.file.read_text()) == RUNTIME


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1,}', "is not valid JSON (Expecting property name"),
        ("\xff", "is not valid JSON"),
        ("[]", "holds no JSON object"),
        ('{"runtimes": "all"}', "`runtimes` is not an object in"),
        ('{"runtimes": {"nvidia": 1}}', "`nvidia` is not an object in"),
    ],
)
def test_a_broken_file_is_one_error_and_stays(lab: Lab, text: str, problem: str) -> None:
    lab.file.parent.mkdir()
    lab.file.write_bytes(text.encode("latin-1"))
    with pytest.raises(HostError) as caught:
        lab.operation(RUNTIME).plan()
    assert problem in str(caught.value)
    assert "so nothing was put into it; repair" in str(caught.value)
    assert lab.file.read_bytes() == text.encode("latin-1")


def test_an_engine_that_does_not_come_back_gets_its_old_file(lab: Lab) -> None:
    lab.write(THEIRS)
    with pytest.raises(HostError) as caught:
        lab.apply({"hosts": ["refuse-me"]})
    assert str(caught.value) == (
        f"the lab: the docker engine did not come back with the changed {lab.file}; {lab.backups[0]} was put back and "
        "the engine runs again. What it said: dockerd ended at once; the last lines of its log:\n"
        "    unable to configure: conflict"
    )
    assert lab.file.read_text() == THEIRS
    assert lab.started_with == [THEIRS]
    assert lab.names == ["daemon.json", lab.backups[0].name]


def test_a_new_file_that_the_engine_refuses_is_removed_again(lab: Lab) -> None:
    with pytest.raises(HostError, match="which was not there before, was removed and the engine runs again"):
        lab.apply({"hosts": ["refuse-me"]})
    assert lab.names == []
    assert lab.started_with == [None]


def test_an_engine_that_does_not_come_back_at_all(lab: Lab) -> None:
    lab.write(THEIRS)
    lab.refused_word = "registry-mirrors"
    with pytest.raises(HostError, match=r"neither with the changed .* nor after .* was put back; start it by hand"):
        lab.apply(RUNTIME)
    assert lab.file.read_text() == THEIRS
    lab.refused_word = "none"
    assert lab.apply(RUNTIME) == 1  # what was owed is not forgotten, and not done twice
    assert len(lab.started_with) == 1
    assert lab.apply(RUNTIME) == 0


def test_a_run_that_was_killed_before_the_restart_is_caught_up(lab: Lab) -> None:
    lab.write(THEIRS)
    lab.killed_at_restart = True
    with pytest.raises(KeyboardInterrupt):
        lab.apply(RUNTIME)
    lab.killed_at_restart = False
    (change,) = lab.operation(RUNTIME).plan()
    assert change.summary == "restart the docker engine: its files changed since it started"
    assert lab.apply(RUNTIME) == 1
    assert lab.apply(RUNTIME) == 0
    assert len(lab.started_with) == 1


def test_next_run_undoes_refused_file_of_a_killed_run(lab: Lab) -> None:
    """A killed run with a file that the engine refuses is undone by the next."""
    lab.write(THEIRS)
    lab.killed_at_restart = True
    with pytest.raises(KeyboardInterrupt):
        lab.apply({"hosts": ["refuse-me"]})
    lab.killed_at_restart = False
    with pytest.raises(HostError, match="was put back and the engine runs again"):
        lab.apply({"hosts": ["refuse-me"]})
    assert lab.file.read_text() == THEIRS


def test_a_restart_that_something_else_owes_is_done_once(lab: Lab) -> None:
    lab.apply(RUNTIME)
    owe_restart(Unprivileged(), str(lab.file))
    assert lab.apply(RUNTIME) == 1
    assert lab.apply(RUNTIME) == 0
    assert len(lab.started_with) == 2


def test_a_newer_engine_checks_the_file_first(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = dockerd(tmp_path, monkeypatch, "26.1.5+dfsg1", validates=False)
    lab.write(THEIRS)
    with pytest.raises(HostError) as caught:
        lab.apply(RUNTIME)
    assert str(caught.value).endswith("`dockerd --validate` says:\n    unable to configure: unknown log opt")
    assert lab.file.read_text() == THEIRS
    assert lab.names == ["daemon.json"]
    assert lab.started_with == []
    assert f"--validate --config-file {lab.file}.labelrig-new" in asked.read_text()
    dockerd(tmp_path, monkeypatch, "26.1.5+dfsg1", validates=True)
    assert lab.apply(RUNTIME) == 1


def test_an_older_engine_is_not_asked(lab: Lab, tmp_path: Path) -> None:
    lab.apply(RUNTIME)
    assert (tmp_path / "asked").read_text() == "--version\n"


def test_what_is_wanted_may_follow_from_what_is_there(lab: Lab) -> None:
    lab.write('{"debug": true}')
    operation = DaemonConfigured(
        Unprivileged(), Report(), lambda present: {} if "debug" in present else RUNTIME, lab.restart, str(lab.file)
    )
    assert operation.plan() == []


def test_something_that_changes_the_file_back_is_noticed(lab: Lab) -> None:
    def restart() -> None:
        lab.file.write_text("{}")

    operation = DaemonConfigured(Unprivileged(), Report(), RUNTIME, restart, str(lab.file))
    with pytest.raises(NotConverged, match="still to do: update"):
        converge([operation], Report())


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.text(max_size=3), values, max_size=4)


@given(documents, documents)
def test_merging_keeps_what_is_theirs_and_is_done_once(
    present: dict[str, object], wanted: Mapping[str, object]
) -> None:
    try:
        once = merged(present, wanted)
    except ValueError:
        return
    assert rendered(merged(once, wanted)) == rendered(once)
    assert list(once)[: len(present)] == list(present)
    assert all(once[key] == value for key, value in present.items() if key not in wanted)
    host = FakeHost()
    host.files["/etc/docker/daemon.json"] = rendered(once)
    assert DaemonConfigured(host, Report(), wanted, lambda: None).plan() == []
