"""The time of the nightly backup is systemd's to judge, and it does before anything is written."""

from __future__ import annotations

import pytest

from infra.config.settings import Settings
from infra.roles.preflight.schedule import schedule_problems
from tests.fakes import FakeHost


class Server(FakeHost):
    """A machine that is not this one."""

    is_local = False


def settings(**given: object) -> Settings:
    return Settings.model_validate({"LABELRIG_BACKUP_REPOSITORY": "/NAS/backup", **given})


def server(schedule: str, code: int) -> Server:
    host = Server()
    host.script("test", "-d", "/run/systemd/system")
    host.script("systemd-analyze", "calendar", schedule, exit_code=code)
    return host


def test_a_time_of_systemd_is_no_problem() -> None:
    assert schedule_problems(server("02:30", 0), settings()) == []


def test_what_is_no_time_is_said() -> None:
    host = server("nightly", 1)
    assert schedule_problems(host, settings(LABELRIG_BACKUP_SCHEDULE="nightly")) == [
        "`backup_schedule` is 'nightly', which the systemd of fake host does not take as a time; "
        "`systemd-analyze calendar TIME` there tries one, as in `Mon..Sat 02:30`"
    ]


@pytest.mark.parametrize("given", [{"LABELRIG_BACKUP_SCHEDULE": "off"}, {"LABELRIG_BACKUP_REPOSITORY": None}])
def test_without_a_timer_nothing_is_asked(given: dict[str, object]) -> None:
    host = Server()
    assert schedule_problems(host, settings(**given)) == []
    assert host.commands == []


def test_without_systemd_nothing_is_asked() -> None:
    """Here it is a person's own cron, as on any machine without systemd."""
    host = Server()
    host.script("test", "-d", "/run/systemd/system", exit_code=1)
    assert schedule_problems(host, settings()) == []
    assert schedule_problems(FakeHost(), settings()) == []
