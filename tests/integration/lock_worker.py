"""One of several processes that take the lock again and again: BASE FOLDER TAKES [DIE_EVERY].

Whoever holds it claims FOLDER/holder; a claim of somebody else who still lives means that two hold it at once. With
DIE_EVERY the process ends by SIGKILL while it holds the lock, at every so-manieth take.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from core.report import Report
from hosts.local import LocalHost
from infra.releases.lock import HostLock
from infra.releases.lock_owner import process_started, this_run

OVERLAP = 9


def main(base: str, folder: Path, takes: int, die_every: int) -> int:
    counter, holder, log = folder / "counter", folder / "holder", folder / "log"
    for number in range(1, takes + 1):
        owner = this_run("race", "", environment={"USER": "racer"}, now=lambda: datetime.now(UTC))
        asked = time.monotonic()
        with HostLock(LocalHost(), base, owner, Report(io.StringIO()), poll=0.05).held(wait=300):
            if holder.exists() and process_started(int(holder.read_text())) is not None:
                return OVERLAP
            holder.write_text(str(os.getpid()))
            with log.open("a") as file:
                file.write(f"{os.getpid()} {asked} {time.monotonic()}\n")
            count = int(counter.read_text())
            time.sleep(0.002)
            counter.write_text(str(count + 1))
            if die_every and number % die_every == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            holder.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
