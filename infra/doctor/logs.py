"""`./inv logs`: what the containers of a stack wrote, and write."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from core.errors import LabelrigError, SettingsError
from infra.roles.docker.compose import run_docker
from infra.stack.site import Site

READ_TIMEOUT = 300.0
FOLLOW_TIMEOUT = 30 * 24 * 3600.0
AGO = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")
ERASE_LINE = "\x1b[2K"  # compose 2.26 begins each line with it, whatever it is told about colours
DAYS = re.compile(r"(\d+(?:\.\d+)?)d")


def logs(
    site: Site,
    services: Sequence[str] = (),
    *,
    follow: bool = False,
    since: str | None = None,
    tail: int | None = None,
    out: Callable[[str], None],
    prefix: str = "",
) -> None:
    """Pass on log lines, oldest first. With `follow` until somebody interrupts it; restarts do not end it.

    Args:
        services: of the stack; none means all.
        since: how long ago (`10m`, `2h`, `3d`), or a date and time in ISO form, of this machine's time zone where it
            names none.
        tail: only so many of the last lines of each service.
        out: gets each line as it comes, from another thread.
        prefix: in front of each line, where several hosts are shown.

    Raises:
        SettingsError: there is no such service, or `since` is no time.
        LabelrigError: there is no stack, or its logs cannot be read.
    """
    if unknown := [one for one in services if one not in site.services]:
        raise SettingsError(f"there is no service {', '.join(unknown)} (there are: {', '.join(site.services)})")
    if tail is not None and tail < 0:
        raise SettingsError(f"tail: {tail} is no number of lines")
    options = [
        *(("--follow",) if follow else ()),
        *(("--since", _since(since)) if since is not None else ()),
        *(("--tail", str(tail)) if tail is not None else ()),
    ]
    host, env = site.host, site.files.env
    if not host.run("test", "-f", env, ok=(0, 1), as_root=not host.is_local).ok:
        task = "up" if host.is_local else f"deploy --host {host.name}"
        raise LabelrigError(f"{host.name}: there is no stack {site.settings.project} here; `./inv {task}` makes it")
    run_docker(
        host,
        *site.compose.argv("logs", "--no-color", "--timestamps", *options, *services),
        timeout=FOLLOW_TIMEOUT if follow else READ_TIMEOUT,
        on_line=lambda line: out(prefix + line.removeprefix(ERASE_LINE)),
    )


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
