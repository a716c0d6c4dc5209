"""The first deploy to a bare host, watched while it runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.deploy.command import Ended, Lab
from tests.labhost.host import LabHost

BASE = "/srv/labelrig/labelrig"
SECRET_NAMES = (
    "LABEL_STUDIO_PASSWORD",
    "LABEL_STUDIO_SECRET_KEY",
    "LABEL_STUDIO_API_KEY",
    "LABELRIG_POSTGRES_PASSWORD",
    "LABELRIG_BACKEND_PASSWORD",
)


@dataclass
class Watch:
    """Every command line that was seen on a host and on this machine."""

    lines: set[str] = field(default_factory=set)
    rounds: int = 0


@dataclass(frozen=True)
class First:
    """The plan before, the deploy, what `ps` showed meanwhile, and the second deploy."""

    plan: Ended
    deploy: Ended
    watch: Watch


def first_deploy(lab: Lab) -> First:
    """Plan, then deploy with a watch on the process lists."""
    plan = lab.inv("plan", "--host", "lab1", "--json")
    with watched(lab.hosts["lab1"]) as watch:
        deploy = lab.inv("deploy", "--host", "lab1", "--yes", "--json")
    assert deploy.code == 0, deploy.err + deploy.out
    return First(plan, deploy, watch)


def redeploy(lab: Lab) -> None:
    """Deploy with the plain inventory; where that fails, a stack on an empty database serves, and it is said."""
    deploy = ("deploy", "--host", "lab1", "--yes", "--lock-wait", "5m")
    done = lab.inv(*deploy)
    if done.code:
        lab.inv("down", "--host", "lab1", "--purge", "--yes")
        again = lab.inv(*deploy)
        assert again.code == 0, again.said
    assert done.code == 0, done.said


def secrets_on(host: LabHost) -> dict[str, str]:
    """The secrets that a host keeps, by name."""
    text = host.exec("cat", f"{BASE}/secrets.env").stdout
    pairs = (line.split("=", 1) for line in text.splitlines())
    found = {name: value.strip("'") for name, value in pairs}
    assert 61041 <= int(found.pop("LABELRIG_UID")) <= 61060  # kept with them, and no secret
    found.pop("LABELRIG_BACKUP_PASSWORD", None)  # of stacks that are backed up
    found.pop("LABELRIG_CLUSTER_TOKEN", None)  # of hosts that serve together
    assert set(SECRET_NAMES) == set(found)
    return found


@contextlib.contextmanager
def watched(host: LabHost) -> Iterator[Watch]:
    """Look at the host's process list, nested containers included, as often as it can be had."""
    watch, stop = Watch(), threading.Event()

    def look() -> None:
        while not stop.wait(0.5):
            watch.lines.update(host.ps())
            watch.rounds += 1

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join()
