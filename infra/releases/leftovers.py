"""Commands that a dead run left running on the host: they end, or are ended, before the next run changes anything."""

from __future__ import annotations

import time

from core.errors import LabelrigError, WaitTimeout
from core.report import Report
from core.waiting import Clock, wait_for
from hosts.base import Host
from infra.releases.scripts import run_script

DEADLINE = 120.0
GRACE = 10.0
POLL = 1.0


def wait_for_leftovers(
    host: Host, run_id: str, report: Report, deadline: float = DEADLINE, *, clock: Clock = time, grace: float = GRACE
) -> None:
    """Wait until no process on the host carries `LABELRIG_RUN=<run_id>`; after the deadline they are ended.

    Raises:
        LabelrigError: some are still there after SIGKILL.
    """
    found = _leftovers(host, run_id)
    if not found:
        return
    listed = "\n".join(f"  {one}" for one in found)
    report.notice(
        f"{host.name}: the dead run left commands behind; waiting at most {deadline:.0f} s for them to end:\n{listed}"
    )
    for seconds, signal in ((deadline, "TERM"), (grace, "KILL"), (grace, None)):
        try:
            wait_for(
                "the commands of the dead run to end",
                lambda: True if not _leftovers(host, run_id) else None,
                timeout=seconds,
                pause=POLL,
                show=report.progress,
                clock=clock,
            )
        except WaitTimeout:
            if signal is not None:
                report.notice(f"{host.name}: sending {signal} to {'; '.join(_leftovers(host, run_id, signal))}")
        else:
            return
    raise LabelrigError(
        f"{host.name}: commands of a dead run do not end, not even after SIGKILL: "
        f"{'; '.join(_leftovers(host, run_id))}; restart the machine"
    )


def _leftovers(host: Host, run_id: str, *signal: str) -> list[str]:
    """Process number and command line of each, after sending them a signal."""
    return run_script(host, "leftovers", run_id, *signal).stdout.splitlines()
