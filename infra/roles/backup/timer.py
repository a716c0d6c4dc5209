"""The timer that makes a backup by itself, on a machine whose services systemd manages."""

from __future__ import annotations

from collections.abc import Sequence

from core.diff import masked_diff
from core.operation import Change, Operation
from hosts.base import Host
from infra.config.value_types import NO_SCHEDULE
from infra.roles.docker.service import has_systemd

UNITS = "/etc/systemd/system"
TIMEOUT = 120.0
SERVICE = """\
# Written by labelrig: a backup of the stack {project}. `systemctl status {name}` says how the last one went; for a mail
# where it failed, add OnFailure= in a drop-in.
[Unit]
Description=Backup of the labelrig stack {project}
After=docker.service network-online.target
Wants=network-online.target

[Service]
Type=oneshot
ExecStart=/bin/sh {script} run
TimeoutStartSec=2d
Nice=10
IOSchedulingClass=idle
"""
TIMER = """\
# Written by labelrig: when the stack {project} is backed up (`backup_schedule`).
[Unit]
Description=Backups of the labelrig stack {project}

[Timer]
OnCalendar={schedule}
Persistent=true
RandomizedDelaySec=5m

[Install]
WantedBy=timers.target
"""


class BackupTimer(Operation):
    """A timer starts the script of the backup; without a schedule there is none."""

    def __init__(self, host: Host, project: str, script: str, schedule: str) -> None:
        """
        Args:
            script: the path of `backup.sh` on the host.
            schedule: as OnCalendar has it; `off` for none.
        """
        self._host = host
        self._unit = f"labelrig-{project}-backup"
        words = {"project": project, "name": self._unit, "script": script, "schedule": schedule}
        wanted = {} if schedule == NO_SCHEDULE else {"service": SERVICE, "timer": TIMER}
        self._wanted = {f"{UNITS}/{self._unit}.{kind}": text.format(**words).encode() for kind, text in wanted.items()}

    @property
    def name(self) -> str:
        return "timer of the backup"

    def plan(self) -> Sequence[Change]:
        """Write the units where they differ and start the timer; remove them where there is no schedule."""
        if not has_systemd(self._host):
            return []
        there = {path: self._host.read(path, as_root=True) for path in self._paths()}
        if not self._wanted:
            found = [path for path, content in there.items() if content is not None]
            return [Change("remove the timer of the backup", lambda: self._remove(found))] if found else []
        enabled = self._host.read(f"{UNITS}/timers.target.wants/{self._unit}.timer", as_root=True) is not None
        if enabled and all(there[path] == content for path, content in self._wanted.items()):
            return []
        timer = self._paths()[1]
        diff = masked_diff(timer, there[timer] or b"", self._wanted[timer])
        return [Change(f"start the timer {self._unit}", self._write, diff)]

    def _paths(self) -> tuple[str, str]:
        return f"{UNITS}/{self._unit}.service", f"{UNITS}/{self._unit}.timer"

    def _write(self) -> None:
        for path, content in self._wanted.items():
            self._host.write(path, content, as_root=True)
        self._systemctl("daemon-reload")
        self._systemctl("enable", f"{self._unit}.timer")
        self._systemctl("restart", f"{self._unit}.timer")

    def _remove(self, paths: Sequence[str]) -> None:
        self._systemctl("disable", "--now", f"{self._unit}.timer")
        self._host.run("rm", "-f", *paths, as_root=True)
        self._systemctl("daemon-reload")

    def _systemctl(self, *arguments: str) -> None:
        self._host.run("systemctl", *arguments, timeout=TIMEOUT, as_root=True)
