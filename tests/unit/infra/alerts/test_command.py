"""`./inv doctor --tell`: each channel hears each change once, and what is not delivered is told again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.errors import CommandTimedOut, FileAccessError, SettingsError
from core.report import Report
from core.results import HostResult
from hosts.local import LocalHost
from infra.alerts import command as module
from infra.alerts.changes import Message
from infra.alerts.channels import Channel, NotDelivered
from infra.alerts.command import Teller, diagnosis_of, run_doctor_and_tell
from infra.config.alert_settings import AlertSettings
from infra.config.settings import Settings
from infra.fleet.choice import Choice, Outcome
from infra.fleet.commit import Commit
from infra.fleet.run import RunOptions
from tests.unit.infra.alerts.test_changes import diagnosis

NOW = datetime(2026, 5, 1, tzinfo=UTC)
OPTIONS = RunOptions("doctor", Settings(), Commit("abc", dirty=False))


class Chat:
    """A channel that takes messages while it is open."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.open = True
        self.refuses: str | None = None

    def take(self, message: Message) -> str | None:
        if not self.open:
            raise NotDelivered("the chat is shut")
        self.heard.append(message.title)
        return self.refuses


@pytest.fixture
def chats(monkeypatch: pytest.MonkeyPatch) -> tuple[Chat, Chat]:
    one, two = Chat(), Chat()
    channels = [Channel("webhook", one.take), Channel("mail", two.take)]
    monkeypatch.setattr(module, "channels_of", lambda *_: channels)
    return one, two


def test_a_channel_that_failed_hears_it_from_the_next_run(tmp_path: Path, chats: tuple[Chat, Chat]) -> None:
    webhook, mail = chats
    teller = Teller(AlertSettings(), tmp_path, LocalHost(), Report())
    mail.open = False
    assert teller.tell("gpu01", diagnosis(click="broken"), tmp_path, NOW) == ["not delivered: gpu01: the chat is shut"]
    mail.open = True
    assert teller.tell("gpu01", diagnosis(click="broken"), tmp_path, NOW) == []
    assert webhook.heard == mail.heard == ["labelrig gpu01: broken: click"]
    assert teller.tell("gpu01", diagnosis(click="ok"), tmp_path, NOW) == []
    assert webhook.heard[1:] == mail.heard[1:] == ["labelrig gpu01: well again"]


def test_hosts_are_told_of_apart(tmp_path: Path, chats: tuple[Chat, Chat]) -> None:
    teller = Teller(AlertSettings(), tmp_path, LocalHost(), Report())
    for host in ("gpu01", "lab@gpu02:2222", "this machine"):
        teller.tell(host, diagnosis(click="broken"), tmp_path, NOW)
    assert len(chats[0].heard) == len(list(tmp_path.iterdir())) == 3


def test_a_refused_person_repeats_nothing_to_the_others(tmp_path: Path, chats: tuple[Chat, Chat]) -> None:
    """The others got it, so it is told, and who did not is said."""
    teller = Teller(AlertSettings(), tmp_path, LocalHost(), Report())
    chats[1].refuses = "boss is refused"
    assert teller.tell("gpu01", diagnosis(click="broken"), tmp_path, NOW) == ["not delivered: gpu01: boss is refused"]
    assert teller.tell("gpu01", diagnosis(click="broken"), tmp_path, NOW) == []
    assert len(chats[1].heard) == 1


class FullDisk(LocalHost):
    def write(self, path: str, content: bytes, mode: int = 0o644, *, as_root: bool = False) -> None:
        raise FileAccessError(f"this machine: cannot write {path}: No space left on device")


def test_a_full_disk_keeps_no_channel_silent(tmp_path: Path, chats: tuple[Chat, Chat]) -> None:
    teller = Teller(AlertSettings(), tmp_path, FullDisk(), Report())
    problem = "not recorded, so the next run tells it again: gpu01: this machine: cannot write"
    (said,) = teller.tell("gpu01", diagnosis(disk="broken"), tmp_path, NOW)
    assert said.startswith(problem)
    assert [len(chat.heard) for chat in chats] == [1, 1]


def test_a_record_that_cannot_be_read_is_said(tmp_path: Path, chats: tuple[Chat, Chat]) -> None:
    (tmp_path / "gpu01.json").mkdir()
    teller = Teller(AlertSettings(), tmp_path, LocalHost(), Report())
    said = teller.tell("gpu01", diagnosis(click="broken"), tmp_path, NOW)
    assert said[0].startswith("not known what was told before: gpu01: this machine: cannot read")
    assert [len(chat.heard) for chat in chats] == [1, 1]


@pytest.mark.parametrize(
    ("of_doctor", "open_", "code"),
    [(0, True, 0), (0, False, 1), (1, True, 0), (2, True, 0), (6, True, 0), (6, False, 1)],
)
def test_what_is_not_delivered_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chats: tuple[Chat, Chat],
    of_doctor: int,
    open_: bool,
    code: int,
) -> None:
    report = Report()
    report.facts["doctor"] = diagnosis(click="broken")
    outcome = Outcome([HostResult("this machine", report, None, of_doctor, 1.0)], "all lines", of_doctor)
    monkeypatch.setattr(module, "run_doctor", lambda *_: outcome)
    monkeypatch.setattr(module, "TOLD", tmp_path)
    chats[1].open = open_
    shown = run_doctor_and_tell(Choice(), OPTIONS, AlertSettings())
    assert shown.exit_code == code
    assert shown.results[0].exit_code == of_doctor
    assert ("not delivered: this machine: the chat is shut" in shown.text) is not open_


def test_nobody_to_tell_is_a_problem_before_any_look(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def never(*_: Any) -> Outcome:
        raise AssertionError

    monkeypatch.setattr(module, "run_doctor", never)
    monkeypatch.setattr(module, "HOOKS", tmp_path)
    with pytest.raises(SettingsError, match="--tell: there is nobody to tell; set LABELRIG_ALERT_WEBHOOK"):
        run_doctor_and_tell(Choice(), OPTIONS, AlertSettings())


def test_a_host_without_a_diagnosis_is_broken() -> None:
    found = diagnosis_of(HostResult("gpu01", Report(), "the inventory is gone", 2, 0.1))
    (check,) = found["checks"]
    assert (check["id"], check["result"], check["seen"]) == ("doctor", "broken", "the inventory is gone")


def test_an_error_on_this_machine_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chats: tuple[Chat, Chat]
) -> None:
    """What ends the diagnosis before its first link is a result, as it is of a host."""

    def ends(*_: Any) -> Outcome:
        raise CommandTimedOut("this machine: `docker info` did not end")

    monkeypatch.setattr(module, "run_doctor", ends)
    monkeypatch.setattr(module, "TOLD", tmp_path)
    shown = run_doctor_and_tell(Choice(), OPTIONS, AlertSettings())
    assert chats[0].heard == chats[1].heard == ["labelrig this machine: broken: doctor"]
    assert (shown.exit_code, shown.results[0].exit_code) == (0, 1)
    assert shown.results[0].error == "this machine: `docker info` did not end"
