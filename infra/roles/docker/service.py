"""The states "docker engine running" and "docker engine open to this user"."""

from __future__ import annotations

import getpass
import os
import shlex
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from core.errors import CommandFailed, CommandTimedOut, HostError, WaitTimeout
from core.operation import Change
from core.report import Report
from core.text import TAIL_LINES, indented
from core.waiting import wait_for
from hosts.base import ANY_EXIT_CODE, COMMAND_MARK, RUN_MARK, Host
from infra.roles.docker.client import (
    EngineState,
    access_help,
    engine_client,
    engine_state,
    find_endpoint,
)

START_TIMEOUT = 90.0
SERVICE_TIMEOUT = 120.0
SERVICE_GRACE = 20.0
SYSTEMD_MARK = "/run/systemd/system"
SYSV_SCRIPT = "/etc/init.d/docker"
# The engine outlives the run that starts it: without the mark by which a run's leftovers are found and ended.
NOT_OURS = ("env", "-u", RUN_MARK, "-u", COMMAND_MARK)


@dataclass(frozen=True)
class Daemon:
    """How `dockerd` is run where no service manager does it."""

    program: tuple[str, ...] = ("dockerd",)
    log: str = "/var/log/labelrig-dockerd.log"
    pidfiles: tuple[tuple[str, str], ...] = (
        ("/var/run/docker.pid", "dockerd"),
        ("/var/run/docker/containerd/containerd.pid", "containerd"),
    )
    arguments: tuple[str, ...] = ()


def has_systemd(host: Host) -> bool:
    """Whether systemd manages the services of a machine."""
    return host.run("test", "-d", SYSTEMD_MARK, ok=(0, 1)).ok


class EngineRunning:
    """An engine answers at the endpoint that docker's command line uses; this machine's own is started here."""

    name = "docker engine running"

    def __init__(
        self,
        host: Host,
        report: Report,
        daemon: Daemon | None = None,
        ask_engine: Callable[[], EngineState] | None = None,
    ) -> None:
        self._host = host
        self._report = report
        self._daemon = daemon or Daemon()
        self._ask_engine = ask_engine or (lambda: engine_state(host))

    def plan(self) -> Sequence[Change]:
        """See `core.operation.Operation.plan`.

        Raises:
            HostError: an engine elsewhere does not answer, or the one that answers cannot be used.
        """
        state = self._ask_engine()
        if state is EngineState.ANSWERS:
            with closing(engine_client(self._host)):
                return []
        if state is EngineState.FORBIDDEN:
            return []  # it runs; `EngineAccess` looks after the rest
        endpoint = find_endpoint(self._host)
        if not endpoint.is_default:
            raise HostError(
                f"the docker engine at {endpoint.url} (chosen by {endpoint.chosen_by}) does not answer, and it is "
                "not this machine's own, so it is not started from here; start it, or stop choosing it"
            )
        way = "with systemd" if has_systemd(self._host) else "with its service script, or by itself"
        return [Change(f"start the docker engine {way}", self.start)]

    def start(self) -> None:
        """Start the engine with what this machine has, and wait until it answers."""
        if has_systemd(self._host):
            self._start_with_systemd()
        elif not self._started_by_script():
            self.start_by_itself()

    def restart(self) -> None:
        """End the engine and start it again; its containers come back as their restart policies say.

        Raises:
            HostError: it does not end, or does not come back; with the last lines of its log.
        """
        if has_systemd(self._host):
            self._host.run("systemctl", "reset-failed", "docker", as_root=True, ok=ANY_EXIT_CODE)
            self._host.run("systemctl", "stop", "docker", as_root=True, timeout=SERVICE_TIMEOUT)
        else:
            self._end()
        self.start()

    def _end(self) -> None:
        path, program = self._daemon.pidfiles[0]
        number = (self._host.read(path, as_root=True) or b"").strip().decode("ascii", "replace")
        if not number.isdigit() or not self._runs(number, program):
            if self._ask_engine() is not EngineState.SILENT:
                raise HostError(
                    f"{self._host.name}: the docker engine runs, and {path} does not say as which process, so it "
                    "cannot be restarted from here; restart it by hand, then repeat the command"
                )
            return
        self._host.run("kill", "-TERM", number, as_root=True, ok=(0, 1))
        try:
            wait_for(
                f"{program} to end",
                # A process that ended and was not waited for has no command line left, only its name.
                lambda: None if self._host.read(f"/proc/{number}/cmdline") else True,
                timeout=SERVICE_TIMEOUT,
                show=self._report.progress,
            )
        except WaitTimeout as error:
            raise HostError(f"{error}; {self._log_tail()}") from error

    def start_by_itself(self) -> None:
        """Run `dockerd` detached: a session and a log file of its own, so that it outlives this process.

        Raises:
            HostError: it ended at once or does not answer; the last lines of its log are in the message.
        """
        self._remove_stale_pidfiles()
        log = shlex.quote(self._daemon.log)
        program = shlex.join((*NOT_OURS, *self._daemon.program, *self._daemon.arguments))
        started = self._host.run(
            "sh", "-c", f"setsid {program} </dev/null >>{log} 2>&1 & echo $!", as_root=True, timeout=30
        )
        process = started.stdout.strip()
        self._report.progress(f"dockerd runs as process {process}, its log is {self._daemon.log}")

        def answers() -> bool | None:
            if self._ask_engine() is not EngineState.SILENT:
                return True
            if self._host.read(f"/proc/{process}/comm") is None:
                raise HostError(f"dockerd ended at once; {self._log_tail()}")
            return None

        try:
            wait_for("the docker engine to answer", answers, timeout=START_TIMEOUT, show=self._report.progress)
        except WaitTimeout as error:
            raise HostError(f"{error}; {self._log_tail()}") from error

    def _start_with_systemd(self) -> None:
        try:
            self._host.run("systemctl", "enable", "--now", "docker", as_root=True, timeout=SERVICE_TIMEOUT)
            self._wait(START_TIMEOUT)
        except (CommandFailed, CommandTimedOut, WaitTimeout) as error:
            journal = self._host.run(
                "journalctl", "--unit=docker", "--no-pager", "--lines=10", ok=ANY_EXIT_CODE, as_root=True
            )
            raise HostError(f"systemd could not start docker: {error}\n{indented(journal.stdout)}") from error

    def _started_by_script(self) -> bool:
        """Whether the sysv script brought it up. Where ulimits are fixed from outside it fails."""
        if not self._host.run("test", "-x", SYSV_SCRIPT, ok=(0, 1)).ok:
            return False
        try:
            started = self._host.run(
                *NOT_OURS, SYSV_SCRIPT, "start", ok=ANY_EXIT_CODE, as_root=True, timeout=SERVICE_TIMEOUT
            )
            if started.ok:
                self._wait(SERVICE_GRACE)
        except (CommandTimedOut, WaitTimeout):
            return False
        return started.ok

    def _wait(self, timeout: float) -> None:
        wait_for(
            "the docker engine to answer",
            lambda: True if self._ask_engine() is not EngineState.SILENT else None,
            timeout=timeout,
            show=self._report.progress,
        )

    def _remove_stale_pidfiles(self) -> None:
        """Remove what a killed engine left: `dockerd` believes it even if another program has the number."""
        for path, program in self._daemon.pidfiles:
            number = (self._host.read(path, as_root=True) or b"").strip().decode("ascii", "replace")
            if number.isdigit() and not self._runs(number, program):
                self._host.run("rm", "-f", path, as_root=True)

    def _runs(self, number: str, program: str) -> bool:
        """Whether the process of this number is `program`: another one may have the number by now."""
        running = (self._host.read(f"/proc/{number}/comm") or b"").strip().decode("utf-8", "replace")
        return running.endswith(program)

    def _log_tail(self) -> str:
        tail = self._host.run("tail", "-n", str(TAIL_LINES), self._daemon.log, ok=ANY_EXIT_CODE, as_root=True)
        return f"the last lines of {self._daemon.log}:\n{indented(tail.stdout)}"


class EngineAccess:
    """Whoever runs labelrig may use the engine's socket; needed where that is not root."""

    name = "docker engine open to this user"

    def __init__(self, host: Host, ask_engine: Callable[[], EngineState] | None = None) -> None:
        self._host = host
        self._ask_engine = ask_engine or (lambda: engine_state(host))

    def plan(self) -> Sequence[Change]:
        """See `core.operation.Operation.plan`.

        Raises:
            HostError: the user is in the group already, and this session began before that.
        """
        if os.geteuid() == 0 or self._ask_engine() is not EngineState.FORBIDDEN:
            return []
        endpoint = find_endpoint(self._host)
        if not endpoint.is_default:
            raise HostError(access_help(endpoint))
        user = getpass.getuser()
        if "docker" in self._host.run("id", "-nG", user).stdout.split():
            raise HostError(self._next_step(user))

        def join() -> None:
            self._host.run("usermod", "-aG", "docker", user, as_root=True)
            raise HostError(self._next_step(user))

        return [Change(f"add {user} to the group docker (its members can become root)", join)]

    def _next_step(self, user: str) -> str:
        return (
            f"{user} is in the group docker, which counts from the next login on; to go on at once type "
            f"`sg docker -c './inv up'` in {Path.cwd()}"
        )
