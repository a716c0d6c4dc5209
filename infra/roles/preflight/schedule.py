"""The time of the nightly backup, which the systemd of the machine reads: it is asked before anything is written."""

from __future__ import annotations

from hosts.base import Host
from infra.config.settings import Settings
from infra.config.value_types import NO_SCHEDULE
from infra.roles.docker.service import has_systemd

NOT_A_TIME = 1  # exit code of `systemd-analyze calendar`


def schedule_problems(host: Host, settings: Settings) -> list[str]:
    """Why there can be no timer at `backup_schedule`: at most one sentence, and none where there would be no timer."""
    schedule = settings.backup_schedule
    if host.is_local or settings.backup_repository is None or schedule == NO_SCHEDULE or not has_systemd(host):
        return []
    answer = host.run("systemd-analyze", "calendar", schedule, ok=(0, NOT_A_TIME))
    if answer.ok:
        return []
    return [
        f"`backup_schedule` is {schedule!r}, which the systemd of {host.name} does not take as a time; "
        "`systemd-analyze calendar TIME` there tries one, as in `Mon..Sat 02:30`"
    ]
