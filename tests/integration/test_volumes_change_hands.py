"""Volumes of a stack that ran as another user, on the real engine: handed over, used, and handed back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from core.waiting import wait_for
from hosts.local import LocalHost
from infra.config.settings import Settings
from infra.roles.docker.client import engine_client
from infra.roles.docker.compose import Compose
from infra.roles.images.role import images_role, plan_images
from infra.roles.images.tags import DB, SAM2
from infra.roles.stack.volumes import VolumesReady, Wanted

pytestmark = pytest.mark.docker
BEFORE, AFTER = 1001, 61050
# What Label Studio and PostgreSQL leave: closed folders, files for their owner alone, links.
FILL = """
umask 077
cd /data && mkdir -p media/upload/1 && echo picture >media/upload/1/a.png && ln -s media/upload link
echo rows >db.sqlite3
cd /made && touch x && cat /data/db.sqlite3
"""
USE = """
set -e
cd /data && echo more >>db.sqlite3 && cat db.sqlite3 link/1/a.png && echo new >media/upload/1/b.png && stat -c %u /made
"""


@dataclass
class Rig:
    """A compose project with one service, whose user can be changed."""

    project: str
    folder: Path
    image: str
    wanted: Wanted

    def compose(self, user: int) -> Compose:
        """Compose with the service running as a user; `made` is where the image's folder is another one's."""
        volumes = ["data:/data:nocopy", "made:/made:nocopy"]
        service = {"image": self.image, "user": f"{user}:{user}", "init": True, "volumes": volumes}
        service |= {"command": ["sleep", "600"], "entrypoint": [], "stop_grace_period": "2s", "network_mode": "none"}
        document = {"services": {"label-studio": service}, "volumes": {"data": None, "made": None}}
        path = self.folder / f"{user}.yaml"
        path.write_text(yaml.safe_dump(document))
        (self.folder / "none.env").touch()
        return Compose(LocalHost(), self.project, [str(path)], str(self.folder / "none.env"))

    def ready(self, user: int) -> int:
        """Bring the volumes to a user; returns how many changes that took."""
        wanted = replace(self.wanted, uid=user)
        with closing(engine_client(LocalHost())) as engine:
            one = VolumesReady(
                LocalHost(), self.project, str(self.folder), lambda: wanted, lambda: engine, Report(),
                compose=self.compose(user),
            )  # fmt: skip
            return converge([one], Report())

    def start(self, user: int, script: str) -> str:
        """Start the service as a user, and run a script in it."""
        compose = self.compose(user)
        compose.run("up", "--detach", "--wait", timeout=60)
        return compose.run("exec", "--no-TTY", "label-studio", "sh", "-c", script).stdout


@pytest.fixture(scope="module")
def images() -> dict[str, str]:
    """Two images of this tree."""
    host, report = LocalHost(), Report()
    found = plan_images(host, REPOSITORY, Settings(), report, services=[SAM2, DB])
    converge(images_role(host, found, report), report)
    return dict(found.tags)


@pytest.fixture
def rig(images: dict[str, str], tmp_path: Path) -> Iterator[Rig]:
    name = f"labelrig-test-{uuid4().hex[:8]}"
    made = Rig(name, tmp_path, images[SAM2], Wanted(AFTER, images[SAM2], ("data", "made")))
    yield made
    made.compose(AFTER).run("down", "--volumes", "--remove-orphans", "--timeout", "1", timeout=60)


def test_volumes_are_handed_over_and_back(rig: Rig) -> None:
    """A stack of an earlier version goes on as its new user, and after a rollback as the one before."""
    assert rig.ready(BEFORE) == 1, "made"
    assert rig.start(BEFORE, FILL) == "rows\n"
    rig.wanted = replace(rig.wanted, files={"data/.env": "SECRET_KEY='k'\n"})
    assert rig.ready(AFTER) == 1
    assert rig.compose(AFTER).run("ps", "--all", "--quiet").stdout == "", "the containers went first"
    assert rig.start(AFTER, f"{USE}\ncat .env; stat -c '%u %g %a' .env media/upload/1") == (
        f"rows\nmore\npicture\n{AFTER}\nSECRET_KEY='k'\n{AFTER} {AFTER} 600\n{AFTER} {AFTER} 700\n"
    )
    assert rig.ready(AFTER) == 0, "the container proves it"
    rig.wanted = replace(rig.wanted, files={})
    assert rig.ready(BEFORE) == 1
    assert rig.start(BEFORE, "cat /data/db.sqlite3 /data/link/1/b.png; ls -A /data") == (
        "rows\nmore\nnew\n.env\ndb.sqlite3\nlink\nmedia\n"
    )


def test_after_a_crash_in_the_middle_the_next_run_finishes(rig: Rig) -> None:
    """Killed when some files were handed over, and the containers were gone: nothing says that all was done."""
    rig.ready(BEFORE)
    rig.start(BEFORE, FILL)
    rig.compose(BEFORE).run("down", timeout=60)
    half = ("docker", "run", "--rm", "--user", "0:0", "--network", "none", "--entrypoint", "chown")
    volume = ("--volume", f"{rig.project}_data:/data")
    LocalHost().run(*half, *volume, rig.image, f"{AFTER}:{AFTER}", "/data", "/data/media", timeout=60)
    assert rig.ready(AFTER) == 1
    assert rig.start(AFTER, USE) == f"rows\nmore\npicture\n{AFTER}\n"
    rig.compose(AFTER).run("down", timeout=60)
    assert rig.ready(AFTER) == 0, "looked at, and nothing found"


def test_postgresql_goes_on_as_another_user(images: dict[str, str], rig: Rig) -> None:
    """Its server starts with no file that is not its user's, and keeps every row."""
    volumes = {"data": "/var/lib/postgresql/data", "made": "/var/lib/postgresql/client"}
    rig.wanted = replace(rig.wanted, files={"made/postgres_password": "of_the_database"})

    def serve(user: int, statement: str) -> str:
        mounts = [part for name, at in volumes.items() for part in ("--volume", f"{rig.project}_{name}:{at}:nocopy")]
        tmpfs = ("--tmpfs", "/tmp", "--tmpfs", f"/run/postgresql:uid={user},gid={user},mode=0700")
        name = f"{rig.project}-db"
        run = ("docker", "run", "--detach", "--init", "--read-only", "--network", "none", "--cap-drop", "ALL")
        host = LocalHost()
        host.run(*run, "--name", name, "--user", f"{user}:{user}", *mounts, *tmpfs, images[DB], timeout=60)
        try:
            check = ("docker", "exec", name, "sh", "/usr/local/lib/labelrig-postgres/healthcheck.sh")
            wait_for("the server", lambda: True if host.run(*check, ok=range(256)).ok else None, timeout=90, pause=0.2)
            return host.run("docker", "exec", name, "psql", "-XAtqc", statement).stdout
        finally:
            host.run("docker", "stop", "--time", "30", name, timeout=60)
            host.run("docker", "rm", "--force", name, timeout=60)

    assert rig.ready(61041) == 1
    assert serve(61041, "CREATE TABLE kept AS SELECT 7 AS number") == ""
    assert rig.ready(AFTER) == 1
    assert serve(AFTER, "SELECT number, current_setting('data_checksums') FROM kept") == "7|on\n"
