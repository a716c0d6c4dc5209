"""The stack whose backups are tested, and what spoils them: backups without a file, and kills at random moments."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.roles.docker.compose import run_docker
from infra.roles.stack.render import parse_stack_env
from tests.e2e.own_stack import TIMEOUT, OwnStack, png
from tests.e2e.people_made import Saved, annotation_count, tasks_of

PROJECT = f"labelrig-backup-{hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:6]}"
UPLOADS = 40


class Lab(OwnStack):
    """The stack that is backed up."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, PROJECT)

    def backups(self) -> list[str]:
        """The ids of the backups, the newest first."""
        return [row["id"] for row in self.inv("backup.list")["backups"]]

    def tasks(self) -> list[dict[str, Any]]:
        with self.api() as api:
            return tasks_of(api)

    def annotations(self) -> int:
        with self.api() as api:
            return annotation_count(api)


@contextmanager
def uploads(lab: Lab) -> Iterator[Saved]:
    """Someone uploads pictures, one after the other, until the context ends."""
    saved, stop, picture = Saved(), threading.Event(), png()

    def upload() -> None:
        while saved.count < UPLOADS and not stop.wait(0.5):
            try:
                lab.upload(picture)
                saved.count += 1
            except httpx.HTTPError as error:
                saved.failed.append(repr(error))

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        yield saved
    finally:
        stop.set()
        thread.join(TIMEOUT)


def left(lab: Lab) -> str:
    """What is left of a drill in the engine."""
    ours = f"label=com.docker.compose.project={PROJECT}-drill"
    parts = [
        run_docker(LocalHost(), "docker", kind, "ls", "-q", "--filter", ours).stdout for kind in ("volume", "network")
    ]
    parts.append(run_docker(LocalHost(), "docker", "ps", "-aq", "--filter", ours).stdout)
    return "".join(parts)


def restic(lab: Lab, script: str) -> str:
    """Run a script by hand, as root, where restic is and the repository with it, in a container of its own."""
    values = parse_stack_env((REPOSITORY / ".labelrig" / PROJECT / "backup" / "backup.env").read_bytes())
    mounts = (f"{lab.repository}:/repository", f"{values['LABELRIG_BACKUP_PASSWORD_FILE']}:/password:ro")
    given = ("RESTIC_REPOSITORY=/repository", "RESTIC_PASSWORD_FILE=/password")
    argv = (
        *("docker", "run", "--rm", "--user", "0:0", "--network", "none", "--entrypoint", "sh"),
        *(word for mount in mounts for word in ("--volume", mount)),
        *(word for one in given for word in ("--env", one)),
        *(values["LABELRIG_BACKUP_IMAGE"], "-euc", script),
    )
    return run_docker(LocalHost(), *argv, timeout=TIMEOUT).stdout


@contextmanager
def newest_lacks_an_upload(lab: Lab) -> Iterator[str]:
    """The newest backup once more without one of the uploaded files that its manifest names; the name of that file."""
    newest = lab.inv("backup.list")["backups"][0]
    tags = f"--tag labelrig --tag project:{PROJECT} --host {newest['machine']}"
    name = restic(
        lab,
        f"restic restore {newest['id']} --target / >&2; cd /label-studio/data/media; "
        'lost=$(find upload -type f | sort | head -n 1); rm "$lost"; '
        f"restic backup --quiet {tags} /staging/database /staging/files /label-studio/data/media /proxy-data >&2; "
        'basename "$lost"',
    ).strip()
    spoiled, before, *_ = lab.backups()
    assert before == newest["id"]
    try:
        yield name
    finally:
        restic(lab, f"restic forget {spoiled} >&2")


def kill_script() -> None:
    """Kill the script of the backup with all that it started: it has a session of its own."""
    script = str(REPOSITORY / ".labelrig" / PROJECT / "backup").encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes().startswith(b"sh\0" + script):
                os.killpg(int(path.parent.name), signal.SIGKILL)


def killed_after(seconds: float, lab: Lab, *arguments: str) -> None:
    """Start a task, kill it and all that it started here after so long, and the containers of the backup with it."""
    argv = [sys.executable, str(REPOSITORY / "tasks.py"), "--search-root", str(REPOSITORY), *arguments]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        argv, env=lab.environment, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
        kill_script()
        for name in (f"{PROJECT}-backup", f"{PROJECT}-backup-dump"):
            run_docker(LocalHost(), "docker", "kill", name, ok=(0, 1))


@dataclass(frozen=True)
class State:
    """A state of the stack: its backup, and what people saw of it."""

    snapshot: str
    view: dict[str, Any]


@dataclass(frozen=True)
class Kills:
    """Two states of the stack, and moments at which a restore of one over the other is killed.

    Attributes:
        seconds: how long a whole restore takes here.
        count: how many moments there are.
        seed: of the moments; LABELRIG_TEST_SEED gives the one of an earlier run.
    """

    states: tuple[State, State]
    seconds: float
    count: int
    seed: int

    def other_than(self, view: dict[str, Any]) -> State:
        """The state to restore where this one serves."""
        (found,) = [one for one in self.states if one.view != view]
        return found

    def moment(self, number: int) -> float:
        """Seconds after the begin: at random within this kill's part of the whole duration."""
        return self.seconds * (number + random.Random(f"{self.seed} {number}").random()) / self.count
