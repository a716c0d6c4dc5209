"""From Label Studio 1.22 to ours with what people did there: a migration that fails, a kill, and the page."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from core.repository import REPOSITORY
from labelstudio.session import sign_in
from tests.e2e.old_tree import OldTree
from tests.e2e.own_stack import TIMEOUT, OwnStack, png
from tests.e2e.people_made import BRUSH, annotate, tasks_of
from tests.warm_python import run_inv

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2700)]
OWNER = hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:6]
UPGRADED = "being upgraded"


class Lab(OwnStack):
    """The stack that is upgraded, run from a copy of the tree."""

    def __init__(self, folder: Path, database: str) -> None:
        self.tree = OldTree(folder / "tree")
        super().__init__(folder, f"labelrig-upgrade-{OWNER}-{database}", self.tree.path)
        self.repository.mkdir()
        self.write_env(f"LABELRIG_DATABASE={database}")

    @property
    def mark(self) -> Path:
        return self.root / ".labelrig" / self.project / "upgrading.json"

    def version(self) -> str:
        with self.api() as api:
            return str(api.get("/api/version").json()["label-studio-os-package"]["version"])

    def people_work(self) -> None:
        """Annotations, an uploaded picture, an account."""
        self.upload(png())
        with self.api() as api:
            for number, task in enumerate(tasks_of(api)):
                for _ in range(number % 3):
                    annotate(api, task["id"], BRUSH).raise_for_status()


@dataclass
class Visitor:
    """Opens the front page and asks the API, again and again, as people and their scripts do."""

    lab: Lab
    pages: list[str] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Visitor:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        url = self.lab.settings.url
        while not self.stop.wait(0.3):
            try:
                page = httpx.get(f"{url}/user/login/", headers={"Accept": "text/html"}, trust_env=False, timeout=20)
                said = httpx.get(f"{url}/api/version", trust_env=False, timeout=20)
            except httpx.HTTPError:
                continue  # the proxy itself is made anew
            self.pages.append(f"{page.status_code} {page.text}")
            self.answers.append((said.status_code, said.text))


def killed_once_begun(lab: Lab, seconds: float) -> None:
    """Kill an upgrade so long after the mark was written."""
    argv = [sys.executable, str(lab.root / "tasks.py"), "--search-root", str(lab.root), "upgrade", "--yes"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        argv, env=lab.environment, cwd=lab.root, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    ends = time.monotonic() + TIMEOUT
    while not lab.mark.exists():
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.2)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)


@pytest.fixture(scope="module", params=["sqlite", "postgres", "old postgres"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """On SQLite, on PostgreSQL, and on a PostgreSQL whose next major version cannot read its data."""
    made = Lab(tmp_path_factory.mktemp("upgrade"), request.param.split()[-1])
    made.tree.with_old_label_studio()
    if request.param == "old postgres":
        made.tree.with_old_postgres()
    try:
        made.inv("up")
        made.people_work()
        yield made
    finally:
        made.remove()


def test_failing_migration_leaves_the_old_one_serving(lab: Lab) -> None:
    """Exit code 5; what the first of the two had changed is as it was before it."""
    assert lab.version() == "1.22.0"
    before = lab.view()
    assert sum(len(results) for _, _, results in before["tasks"].values()) > 5
    lab.tree.with_failing_migration()
    with Visitor(lab) as visitor:
        code, said = lab.refused("upgrade", "--yes")
    assert code == 5, said
    assert "this migration is made to fail" in said
    assert "the old version serves again with the data of before" in said
    assert any(UPGRADED in text for _, text in visitor.answers)
    assert lab.version() == "1.22.0"
    assert lab.view() == before
    assert not lab.mark.exists()


def test_killed_then_repeated_ends_on_the_new_one(lab: Lab) -> None:
    """Everything is there; no one gets in between the beginning of the maintenance and its end."""
    lab.tree.pull()
    before = lab.view()
    killed_once_begun(lab, seconds=15)
    code, said = lab.refused("up")
    assert (code, "an upgrade was cut off" in said) == (1, True), said
    code, said = lab.refused("backup")
    assert (code, "an upgrade goes on, or was cut off" in said) == (1, True), said
    with Visitor(lab) as visitor:
        lab.inv("upgrade", "--yes")
        time.sleep(3)
    assert lab.version() == "1.23.2"
    assert lab.view() == before
    codes = [code for code, _ in visitor.answers]
    assert codes[-1] == 200
    first = codes.index(200)
    assert set(codes[:first]) <= {502, 503, 504}, codes
    assert set(codes[first:]) == {200}, codes
    assert any("503" in page and "Label Studio is not available right now" in page for page in visitor.pages)
    settings = lab.settings
    assert settings.password is not None
    with sign_in(settings.url, settings.username, settings.password.get_secret_value()):
        pass


def test_old_data_go_after_a_verified_backup(lab: Lab) -> None:
    def listed() -> str:
        return run_inv(lab.root, "prune", "--dry-run", environment=lab.environment, timeout=TIMEOUT).stdout

    assert "data of before an upgrade" not in listed()
    lab.inv("backup")
    lab.inv("backup.verify")
    assert "data of before an upgrade" in listed()
    lab.inv("prune", "--yes")
    assert "data of before an upgrade" not in listed()


def test_nothing_to_upgrade(lab: Lab) -> None:
    done = run_inv(lab.root, "upgrade", "--yes", environment=lab.environment, timeout=TIMEOUT)
    assert (done.returncode, "nothing to upgrade: Label Studio 1.23.2, as now" in done.stdout) == (0, True)
