"""Owners and locks for the tests of the lock."""

from __future__ import annotations

import io
import subprocess
from datetime import UTC, datetime

from core.report import Report
from hosts.base import Host
from infra.releases.lock import HostLock
from infra.releases.lock_owner import Machine, Owner, this_run
from infra.releases.scripts import run_script

NOW = datetime(2025, 3, 1, 10, 0, tzinfo=UTC)
LAPTOP = Machine(name="laptop", machine_id="other", boot_id="other", pid_namespace="pid:[1]")


def alice(**changes: object) -> Owner:
    owner = this_run("deploy", "607e07e0abc", environment={"USER": "alice"}, now=lambda: NOW)
    return owner.model_copy(update={"who": "alice@desk", **changes})


def bob(**changes: object) -> Owner:
    return alice(who="bob@laptop", machine=LAPTOP, pid=77, process_started=1, **changes)


def lock(host: Host, base: str, owner: Owner | None = None, *, beat: float = 15.0) -> HostLock:
    return HostLock(host, base, owner or alice(), Report(io.StringIO()), poll=0.05, beat=beat)


def leave(host: Host, base: str, owner: Owner, *, quiet: int = 0) -> None:
    """Put a lock there as a run leaves it that was killed `quiet` seconds ago."""
    run_script(host, "lock", "take", base, owner.id, owner.model_dump_json(), "0")
    age = "read -r boot at <$1; printf '%s %s\\n' $boot $((at - $2)) >$1"
    host.run("sh", "-c", age, "sh", f"{base}/lock/heartbeat", str(quiet * 100), as_root=True)


def entries(host: Host, base: str) -> list[str]:
    return host.run("ls", "-A", base, as_root=True).stdout.split()


def ended_process() -> int:
    """The number of a process of this machine that has ended."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid
