"""Who holds the lock of a host, and when its owner is provably dead."""

from __future__ import annotations

import hashlib
import os
import pwd
import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

QUIET_LIMIT = 300.0  # seconds without a sign of life after which a run on another machine is dead
REBOOT_LIMIT = 60.0  # copies of one machine share their machine-id: one that is alive shows itself within this time
OWNERLESS_LIMIT = 60.0
ID_SALT = b"labelrig lock "  # a machine-id is not to be shown as it is: see machine-id(5)


class Machine(BaseModel):
    """Where a run is. Empty texts where the system does not say."""

    model_config = ConfigDict(frozen=True)

    name: str
    machine_id: str = ""
    boot_id: str = ""
    pid_namespace: str = ""


class Owner(BaseModel):
    """Who took the lock, from where and for what. `broke`: the dead runs whose lock it took over."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    id: str
    kind: Literal["run", "person"]
    who: str
    machine: Machine
    pid: int
    process_started: int | None
    ci_run: str | None
    command: str
    commit: str
    message: str = ""
    taken_at: str
    broke: tuple[str, ...] = ()

    def is_own(self, other: Owner) -> bool:
        """Whether both are the same CI run, or the same person on the same machine."""
        if self.ci_run or other.ci_run:
            return self.ci_run == other.ci_run
        return (self.who, self.machine.name, self.machine.machine_id) == (
            other.who,
            other.machine.name,
            other.machine.machine_id,
        )


@dataclass(frozen=True)
class LockInfo:
    """The lock as it was found. `quiet` and `age` are seconds by the host's own clocks.

    `abandoned`: there is no owner.json at all. One that cannot be read is no proof that its owner is dead.
    """

    id: str
    owner: Owner | None
    abandoned: bool
    beat: str
    quiet: float
    age: float

    def describe(self) -> str:
        """Who, from where, for what, since when: one clause for messages."""
        owner = self.owner
        if owner is None:
            what = "no owner.json" if self.abandoned else "an owner.json that cannot be read"
            return f"someone unknown (the lock folder has {what} and is {self.age:.0f} s old)"
        if owner.kind == "person":
            return f'{owner.who} in person since {owner.taken_at}, who says "{" ".join(owner.message.split())}"'
        what = f"`{owner.command}`" + (f" of commit {owner.commit[:7]}" if owner.commit else "")
        run = f", {owner.ci_run}" if owner.ci_run else ""
        return (
            f"{owner.who} ({what}{run}, process {owner.pid} there) since {owner.taken_at}, "
            f"last sign of life {self.quiet:.0f} s ago"
        )


def this_machine() -> Machine:
    """Read what tells this machine, its present boot and our process numbers from others."""
    machine_id = _text("/etc/machine-id")
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return Machine(
        name=socket.gethostname(),
        machine_id=hashlib.sha256(ID_SALT + machine_id.encode()).hexdigest()[:16] if machine_id else "",
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        pid_namespace=namespace,
    )


def this_run(command: str, commit: str, *, environment: Mapping[str, str], now: Callable[[], datetime]) -> Owner:
    """Return the owner that this process is. Its id is new with each call, and is the run's id everywhere."""
    machine = this_machine()
    return Owner(
        id=str(uuid.uuid4()),
        kind="run",
        who=who(environment, machine.name),
        machine=machine,
        pid=os.getpid(),
        process_started=process_started(os.getpid()),
        ci_run=ci_run(environment),
        command=command,
        commit=commit,
        taken_at=now().strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def who(environment: Mapping[str, str], machine: str) -> str:
    """Return `user@machine`; in CI the person who set it off stands for the user.

    Without a login (cron, systemd, a container) the system's user of this process counts.
    """
    for name in ("GITLAB_USER_LOGIN", "GITHUB_ACTOR", "LOGNAME", "USER"):
        if environment.get(name):
            return f"{environment[name]}@{machine}"
    try:
        return f"{pwd.getpwuid(os.getuid()).pw_name}@{machine}"
    except KeyError:
        return f"uid {os.getuid()}@{machine}"


def ci_run(environment: Mapping[str, str]) -> str | None:
    """Name the CI run that this process belongs to: all jobs of one GitHub run attempt, one job of GitLab."""
    if environment.get("GITHUB_RUN_ID"):
        names = ("GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT")
        return "GitHub run " + "/".join(environment.get(name, "?") for name in names)
    if environment.get("CI_PIPELINE_ID"):
        names = ("CI_PROJECT_PATH", "CI_PIPELINE_ID", "CI_JOB_ID")
        return "GitLab pipeline " + "/".join(environment.get(name, "?") for name in names)
    return None


def process_started(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot. None where it is not there, or has ended (a zombie)."""
    # The second field is a program name in brackets, which may hold anything; field 3 is the first one after it.
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[19]) if fields and fields[0] not in ("Z", "X") else None


def process_lives(pid: int, started: int | None) -> bool | None:
    """Whether this very process of this machine still runs; None where we are not let see."""
    now = process_started(pid)
    if now is not None:
        return None if started is None else now == started
    if _text(f"/proc/{pid}/stat"):
        return False
    try:
        os.kill(pid, 0)  # /proc hides the processes of others on some machines; the kernel still knows them
    except ProcessLookupError:
        return False
    except PermissionError:
        return None
    return None


def proven_alive(info: LockInfo, here: Machine) -> bool:
    """Whether the owner is a process of this machine that still runs."""
    owner = info.owner
    return owner is not None and _same_kernel(owner.machine, here) and bool(_lives(owner))


def why_dead(info: LockInfo, here: Machine) -> str | None:
    """Say why the owner cannot be alive any more; None where it may be, and always for a person."""
    owner = info.owner
    if owner is None:
        return "it has had no owner for a minute" if info.abandoned and info.age >= OWNERLESS_LIMIT else None
    if owner.kind == "person":
        return None
    if _same_kernel(owner.machine, here):
        alive = _lives(owner)
        if alive is not None:
            return None if alive else f"process {owner.pid} of this machine has ended"
    elif _other_boot(owner.machine, here) and info.quiet >= REBOOT_LIMIT:
        return f"{owner.machine.name} was started again since then"
    if info.quiet >= QUIET_LIMIT:
        return f"it has shown no sign of life for {info.quiet:.0f} s"
    return None


def parse_owner(text: str) -> Owner | None:
    """Read owner.json; None where it is missing, torn, or of another version."""
    try:
        return Owner.model_validate_json(text)
    except ValidationError:
        return None


def _lives(owner: Owner) -> bool | None:
    return process_lives(owner.pid, owner.process_started)


def _same_kernel(one: Machine, other: Machine) -> bool:
    """Whether a process number means the same in both: containers of one machine each count their own."""
    known = bool(one.boot_id and one.pid_namespace)
    return known and (one.boot_id, one.pid_namespace) == (other.boot_id, other.pid_namespace)


def _other_boot(one: Machine, other: Machine) -> bool:
    same = bool(one.machine_id) and (one.machine_id, one.name) == (other.machine_id, other.name)
    return same and bool(one.boot_id) and bool(other.boot_id) and one.boot_id != other.boot_id


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""
