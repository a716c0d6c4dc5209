"""A session on a host: its connection, lock and audit line; and which folder a project has on a stack."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from docker.errors import DockerException

from core.errors import (
    ConnectFailed,
    ConnectionLost,
    FileAccessError,
    HostError,
    LabelrigError,
    LabelStudioError,
    LockHeld,
    RolledBack,
    SettingsError,
)
from core.report import Report
from core.repository import REPOSITORY
from infra.config.settings import Settings
from infra.fleet.choice import Choice
from infra.fleet.on_hosts import one_session, run_work
from infra.fleet.session import Session, causes_named, session
from infra.releases.audit import AuditLog
from infra.releases.lock import HostLock
from infra.roles.stack.image_folders import DEMO, ImageFolder, render_folders
from infra.stack.site import Site
from labelstudio.access import Access
from labelstudio.config import load_project
from tests.fakes import FakeHost
from tests.unit.infra.deploy_bench import Here, LabHost, host_settings, options, quiet
from tests.unit.infra.releases.lock_bench import alice, bob, leave

FLIGHT = ImageFolder("flight", "/nas/flight")
DEMO_PATH = "/state/demo/images"
SPEC = load_project(REPOSITORY, "rgbt-sar")


def on_stack(data: str | None = "/nas/flight") -> Session:
    """A session on this machine's stack."""
    host = FakeHost()
    host.files["/stack/folders.json"] = render_folders([FLIGHT])
    host.script("test", "-d", "/nas/flight/RGB ñ")
    host.script("test", "-d", "/nas/flight/none", exit_code=1)
    secrets = {"LABEL_STUDIO_SECRET_KEY": "key-of-the-stack", "LABELRIG_BACKEND_PASSWORD": "of-the-backend"}
    settings = Settings.model_validate(secrets | ({"LABELRIG_DATA": data} if data else {}))
    site = Site(host, settings, "/state", "/stack", "/.env", lambda: settings)
    one = Session(options(), host, Report(io.StringIO()), options().owner())
    one.site = site
    one.access = Access("http://label-studio.test", "me@lab", "password", None)
    return one


def test_without_a_folder_it_is_the_stacks_own() -> None:
    assert on_stack().resolved(SPEC) == (SPEC, FLIGHT)


def test_a_stack_with_demo_images_has_it_under_another_title() -> None:
    spec, folder = on_stack(None).resolved(SPEC)
    assert (spec.title, folder) == ("RGBT-SAR demo", ImageFolder(DEMO, DEMO_PATH))


@pytest.mark.parametrize("data", ["/nas/flight", None])
def test_a_named_folder_and_one_below_it(data: str | None) -> None:
    whole, below = replace(SPEC, images_folder="flight"), replace(SPEC, images_folder="flight/RGB ñ")
    assert on_stack(data).resolved(whole) == (whole, FLIGHT)
    assert on_stack(data).resolved(below) == (below, ImageFolder("flight/RGB ñ", "/nas/flight/RGB ñ"))


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        (
            "other",
            "projects.rgbt-sar.images.folder: no folder 'other' is connected here (there are: flight); `./inv up "
            "--data` with its path",
        ),
        ("flight/none", "projects.rgbt-sar.images.folder: there is no folder /nas/flight/none"),
    ],
)
def test_a_folder_that_is_not_there_is_said(folder: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        on_stack().resolved(replace(SPEC, images_folder=folder))
    assert str(caught.value) == message


def test_a_folder_that_was_never_connected_is_said() -> None:
    with pytest.raises(SettingsError, match=r"the image folder /nas/new is not connected yet; `\./inv up --data`"):
        on_stack("/nas/new").resolved(SPEC)


@pytest.mark.parametrize(
    ("error", "result"),
    [(None, "ok"), (LabelrigError("gpu01: no"), "failed"), (RolledBack("gpu01: r1 serves again"), "rolled-back")],
)
def test_work_is_locked_and_recorded(tmp_path: Path, error: LabelrigError | None, result: str) -> None:
    """The lock is held during the work, and the audit log says that it began and how it ended."""
    settings = host_settings(tmp_path)
    with contextlib.suppress(LabelrigError), session(options("x"), settings, quiet(), lock=True, audit=True) as one:
        held = HostLock(LabHost(), one.base, alice(), quiet()).status()
        assert held is not None
        assert held.owner is not None
        assert held.owner.id == one.owner.id
        (begun,) = AuditLog(LabHost(), one.base, quiet()).entries(5)
        assert (begun.result, begun.run, begun.exit_code) == ("began", one.owner.id, None)
        one.release_id = "20250301T100000Z-607e07e"
        if error is not None:
            raise error
    assert HostLock(LabHost(), one.base, alice(), quiet()).status() is None
    (event,) = AuditLog(LabHost(), one.base, quiet()).entries(5)
    assert (event.result, event.command, event.release) == (result, "./inv x", "20250301T100000Z-607e07e")
    assert event.error == (str(error) if error is not None else None)


@pytest.mark.parametrize("audit", [True, False])
@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (KeyboardInterrupt(), ("stopped", 130, "stopped by hand")),
        (KeyError("the password"), ("failed", 1, "an error that was not expected: KeyError")),
    ],
)
def test_work_that_is_cut_off_is_recorded(
    tmp_path: Path, error: BaseException, seen: tuple[str, int, str], audit: bool
) -> None:
    with pytest.raises(type(error)), session(options(), host_settings(tmp_path), quiet(), lock=True, audit=audit):
        raise error
    (event,) = AuditLog(LabHost(), f"{tmp_path}/labelrig", quiet()).entries(5)
    assert (event.result, event.exit_code, event.error) == seen


def test_a_run_that_was_killed_is_on_record(tmp_path: Path) -> None:
    """A line at its start; the run that takes its lock over writes its end."""
    settings = host_settings(tmp_path)
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        with session(options("upgrade"), settings, quiet(), lock=True, audit=True):
            os.write(writer, b"x")
            signal.pause()
    os.read(reader, 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with session(options(), settings, quiet(), lock=True, audit=True):
        pass
    found = AuditLog(LabHost(), f"{tmp_path}/labelrig", quiet()).entries(5)
    assert [(one.command, one.result) for one in found] == [("./inv upgrade", "died"), ("./inv deploy", "ok")]
    assert found[0].error == f"process {pid} of this machine has ended"
    assert found[0].run != found[1].run


@pytest.mark.parametrize("content", [None, b"a line that is none\n"])
def test_a_diagnosis_does_without_secrets(tmp_path: Path, content: bytes | None) -> None:
    """A file that cannot be read, or not be understood, blinds only what needs it."""
    secrets = tmp_path / "labelrig" / "secrets.env"
    secrets.parent.mkdir()
    if content is None:
        secrets.mkdir()
    else:
        secrets.write_bytes(content)
    with session(options(), host_settings(tmp_path), quiet()) as one:
        site = one.site_to_diagnose()
        assert (site.env_file, site.settings.password, one.site) == (str(secrets), None, site)
        with pytest.raises((SettingsError, FileAccessError)):
            site.reload()


def test_a_locked_host_is_left_alone(tmp_path: Path) -> None:
    settings = host_settings(tmp_path)
    leave(LabHost(), f"{tmp_path}/labelrig", bob())
    began = []
    with pytest.raises(LockHeld), session(options(), settings, quiet(), lock=True, audit=True):
        began.append("work")
    assert began == []
    assert AuditLog(LabHost(), f"{tmp_path}/labelrig", quiet()).entries(5) == []


def test_without_lock_nothing_is_written(tmp_path: Path) -> None:
    with session(options(), host_settings(tmp_path), quiet()) as one:
        assert one.current is None
    assert list(tmp_path.iterdir()) == []


def test_the_connection_is_closed_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[LabHost] = []

    def connect(*_arguments: object) -> LabHost:
        made.append(LabHost())
        return made[-1]

    monkeypatch.setattr(Here, "connect", connect)
    with pytest.raises(ZeroDivisionError), session(options(), host_settings(tmp_path), quiet(), lock=True):
        raise ZeroDivisionError
    assert [host.alive for host in made] == [False]


def test_this_machine_is_no_host_of_the_inventory() -> None:
    with session(options(), None, quiet(), lock=True, audit=True) as one:
        assert one.host.is_local
        with pytest.raises(SettingsError, match="this machine is not a host of the inventory"):
            _ = one.host_settings


@pytest.fixture
def choice(tmp_path: Path) -> Choice:
    """Two hosts, gpu01 and gpu02, that are folders of this machine."""
    names = ("gpu01", "gpu02")
    hosts = ", ".join(f"{name}: {{address: 10.0.0.{name[-1]}, root: {tmp_path / name}}}" for name in names)
    (tmp_path / "inventory.yaml").write_text(f"hosts: {{{hosts}}}\n")
    return Choice(groups=("all",), inventory=tmp_path / "inventory.yaml")


def test_work_on_hosts_is_summed_up(choice: Choice) -> None:
    outcome = run_work(choice, options("project.sync"), lambda one: f"done in {one.base}", changes=True)
    folder = choice.inventory.parent
    assert outcome.text.splitlines() == [f"{name}: done in {folder}/{name}/labelrig" for name in ("gpu01", "gpu02")]
    assert [one["text"] for one in json.loads(outcome.shown(json=True, junit=None))["hosts"]]
    for name in ("gpu01", "gpu02"):
        assert [one.command for one in AuditLog(LabHost(), f"{folder}/{name}/labelrig", quiet()).entries(5)] == [
            "./inv project.sync"
        ]


def test_work_on_this_machine_has_the_json_of_one_report() -> None:
    def work(one: Session) -> str:
        one.report.facts["counted"] = 3
        return "3 masks"

    outcome = run_work(Choice(), options("stats"), work)
    assert (outcome.text, outcome.exit_code) == ("3 masks", 0)
    assert json.loads(outcome.shown(json=True, junit=None))["counted"] == 3


def test_one_session_refuses_several_hosts(choice: Choice) -> None:
    expected = "this works on one host; these are gpu01, gpu02"
    with pytest.raises(SettingsError, match=expected), one_session(choice, options()):
        pass
    alone = dataclasses.replace(choice, limit="gpu02")
    with one_session(alone, options()) as one:
        assert one.host_settings.name == "gpu02"


class GoneHost(FakeHost):
    """A host whose connection is gone."""

    name = "gpu01"

    def lost(self) -> str | None:
        return "nothing came from there for 45 s"


def test_a_lost_connection_is_said_and_not_what_followed() -> None:
    with pytest.raises(ConnectionLost) as caught, causes_named(GoneHost()):
        raise LabelStudioError("cannot list the projects: Label Studio did not answer in time\nlook there")
    assert str(caught.value) == (
        "gpu01: the connection is gone (nothing came from there for 45 s); run the same command again: it goes on from "
        "where it was. What failed: cannot list the projects: Label Studio did not answer in time"
    )


def test_an_engine_that_stops_answering_is_said() -> None:
    said = r"^fake host: the docker engine stopped answering: read timed out$"
    with pytest.raises(HostError, match=said), causes_named(FakeHost()):
        raise requests.ReadTimeout("read timed out")
    said = r" gone .* What failed: gpu01: the docker engine stopped answering: "
    with pytest.raises(ConnectionLost, match=said), causes_named(GoneHost()):
        raise DockerException("broken pipe")


@pytest.mark.parametrize("error", [ConnectFailed("no route"), RolledBack("it serves again"), LockHeld("held")])
def test_errors_that_say_it_themselves_stay(error: LabelrigError) -> None:
    with pytest.raises(type(error)) as caught, causes_named(GoneHost()):
        raise error
    assert caught.value is error


def test_an_error_on_a_standing_connection_stays() -> None:
    error = LabelStudioError("it broke off")
    with pytest.raises(LabelStudioError) as caught, causes_named(FakeHost()):
        raise error
    assert caught.value is error
