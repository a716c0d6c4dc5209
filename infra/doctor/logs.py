"""`./inv logs`: what the containers of a stack wrote, and write."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from core.errors import SettingsError
from core.text import TAIL_LINES
from infra.doctor.log_lines import Backlog, LogLine, read_line
from infra.roles.docker.compose import run_docker
from infra.stack.site import Site

READ_TIMEOUT = 300.0
FOLLOW_TIMEOUT = 30 * 24 * 3600.0
DEFAULT_LINES = 100
# Most lines of an idle stack are health checks: so many lines are read for one that is shown, and all where that is
# too few.
READ_FOR_ONE = 20
OVERLAP = timedelta(seconds=10)  # while one service was read, another may have written
AGO = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")
DAYS = re.compile(r"(\d+(?:\.\d+)?)d")


def logs(
    site: Site,
    services: Sequence[str] = (),
    *,
    follow: bool = False,
    since: str | None = None,
    lines: int | None = None,
    everything: bool = False,
    out: Callable[[str], None],
    prefix: str = "",
) -> None:
    """Pass on log lines, oldest first. With `follow` until it is interrupted; restarts do not end it.

    Args:
        services: of the stack; none means all.
        since: how long ago (`10m`, `2h`, `3d`), or a date and time in ISO form, of this machine's time zone where it
            names none.
        lines: the last so many of each service; None means 100, or all where `since` or `everything` is given.
        everything: health checks too, and the copies of lines that a service writes twice.
        out: gets each line as it comes, from another thread.
        prefix: in front of each line, where several hosts are shown.

    Raises:
        SettingsError: there is no such service, or `since` is not a time.
        LabelrigError: there is no stack, or its logs cannot be read.
    """
    site.refuse_unknown(services)
    begin: Sequence[str] = ("--since", _since(since)) if since is not None else ()
    if lines is None and since is None and not everything:
        lines = DEFAULT_LINES
    site.refuse_missing()

    def read(take: Callable[[LogLine], None], *options: str) -> None:
        run_docker(
            site.host,
            *site.compose.argv("logs", "--no-color", "--timestamps", *options, *services),
            timeout=FOLLOW_TIMEOUT if "--follow" in options else READ_TIMEOUT,
            on_line=lambda line: take(read_line(line)),
            tail=TAIL_LINES,
        )

    def show(line: LogLine) -> None:
        out(prefix + line.shown)

    if everything:
        read(show, *(("--follow",) if follow else ()), *begin, *_tail(lines))
        return
    tail = None if lines is None else lines * READ_FOR_ONE
    past = Backlog(lines)
    read(past.take, *begin, *_tail(tail))
    if tail is not None and past.is_short(tail):
        past = Backlog(lines)
        read(past.take, *begin)
    for line in past.lines():
        show(line)
    if follow:
        if past.newest:
            begin = ("--since", (past.moment - OVERLAP).strftime("%Y-%m-%dT%H:%M:%SZ"))
        elif lines == 0:
            begin = _tail(0)
        read(lambda line: show(line) if past.is_new(line) else None, "--follow", *begin)


def _tail(lines: int | None) -> Sequence[str]:
    return () if lines is None else ("--tail", str(lines))


def _since(text: str) -> str:
    """In a form that Docker reads: it knows no days, and takes a time without a zone for one of the server's."""
    if AGO.fullmatch(text):
        return DAYS.sub(lambda found: f"{float(found[1]) * 24:g}h", text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"since: {text!r} is neither a time ago such as 10m, 2h or 3d nor a date and time such as 2026-05-04T18:00"
        ) from None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
