"""`./inv exec SERVICE -- COMMAND...`: a command inside the running container of a service."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from core.errors import CommandTimedOut, ConnectionLost, HostError, LabelrigError, SettingsError
from core.report import Report
from hosts.attached import run_attached
from hosts.base import ANY_EXIT_CODE, Result
from infra.fleet.choice import Choice
from infra.fleet.on_hosts import one_session
from infra.fleet.run import RunOptions
from infra.fleet.session import Session
from infra.stack.running import refuse_stopped
from infra.stack.site import Site

EXEC_TIMEOUT = 3600.0


@dataclass(frozen=True)
class ExecRequest:
    """What to run where.

    Attributes:
        service: of the stack.
        command: the program and its arguments; each arrives as it is.
        timeout: seconds; None means an hour, or no limit for a person at a terminal.
        capture: keep the output for the result instead of passing it on.
        stdin: what is piped in; None where that is nothing.
    """

    service: str
    command: Sequence[str]
    timeout: float | None = None
    capture: bool = False
    stdin: IO[bytes] | None = None


def run_exec(choice: Choice, options: RunOptions, request: ExecRequest, report: Report) -> Result:
    """Run a command in a container of one stack. Its exit code is the result's; on a host the audit log has it.

    On this machine the command has this process's terminal and streams. On a host it gets what is piped in, and no
    terminal; its output is passed on when it has ended.

    Raises:
        SettingsError: there is no command or no such service, or several hosts were named.
        LabelrigError: the container does not run.
        CommandTimedOut: it did not end in time.
    """
    if not request.command:
        raise SettingsError(f"exec: no command; write it behind `--`: ./inv exec {request.service} -- ls -l")
    with one_session(choice, options, report) as one:
        site = one.site_to_diagnose()
        site.refuse_unknown([request.service])
        site.refuse_missing()
        refuse_stopped(site, request.service)
        if one.host.is_local and not request.capture:
            return _attached(site, request)
        result = _captured(one, request) if one.host.is_local else _recorded(one, request)
        if not request.capture:
            sys.stdout.write(result.stdout)
            sys.stderr.write(result.stderr)
            sys.stdout.flush()
        return result


def _attached(site: Site, request: ExecRequest) -> Result:
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    flags = () if terminal else ("--no-TTY",)
    limit = request.timeout if request.timeout is not None or terminal else EXEC_TIMEOUT
    argv = site.compose.argv("exec", *flags, request.service, *request.command)
    return Result(argv, run_attached(argv, limit), "", "")


def _recorded(one: Session, request: ExecRequest) -> Result:
    """Run the command; the host's audit log says that it began, whatever comes of the connection, and how it ended."""
    one.record("began")
    try:
        result = _captured(one, request)
    except LabelrigError as error:
        one.record("failed", _without_command(error))
        raise
    except KeyboardInterrupt as error:
        one.record("stopped", error)
        raise
    ended = None if result.ok else LabelrigError(f"the command ended with exit code {result.exit_code}")
    one.record("ok" if ended is None else "failed", ended)
    return result


def _without_command(error: LabelrigError) -> LabelrigError:
    """The error as the audit log may hold it: its text names the command, and a command may hold a secret."""
    if isinstance(error, CommandTimedOut):
        return CommandTimedOut("the command did not end in its time and was stopped")
    if isinstance(error, ConnectionLost):
        return ConnectionLost("the connection was lost while the command ran")
    return HostError(f"the command could not be run ({type(error).__name__})")


def _captured(one: Session, request: ExecRequest) -> Result:
    return one.host.run(
        *one.site.compose.argv("exec", "--no-TTY", request.service, *request.command),
        ok=ANY_EXIT_CODE,
        timeout=request.timeout or EXEC_TIMEOUT,
        stdin=request.stdin,
        on_line=one.report.progress,
        as_root=not one.host.is_local,
    )
