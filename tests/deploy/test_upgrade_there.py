"""An upgrade of a host on PostgreSQL over SSH: one whose migration fails, and one that passes its gate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.command import Lab
from tests.deploy.first import First, redeploy
from tests.deploy.images import image_from
from tests.deploy.tunnel import api, url_of
from tests.e2e.old_tree import failing_migration_step
from tests.e2e.people_made import BRUSH, annotate, tasks_of, view
from tests.labhost.host import LabHost

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
REPOSITORY_THERE = "/srv/backup-before-upgrades"
MAINTENANCE = "Label Studio is not available right now"


@dataclass(frozen=True)
class Before:
    """What served before the first upgrade: its release, and what people had made."""

    release: str
    view: dict[str, Any]


def inventory_of(lab: Lab, **settings: object) -> Path:
    return lab.inventory("upgrade.yaml", backup_repository=REPOSITORY_THERE, **settings)


def made_and_migrated(lab: Lab) -> dict[str, Any]:
    """What people have made, and how far the tables have come."""
    with api(lab) as http:
        return {**view(http), "migrations": migrations(lab.hosts["lab1"])}


def migrations(host: LabHost) -> list[str]:
    psql = ("exec", "labelrig-db-1", "psql", "-U", "labelstudio", "-d", "labelstudio", "-At", "-c")
    query = "SELECT app || '.' || name FROM django_migrations ORDER BY 1"
    return host.inside_engine(*psql, query).stdout.splitlines()


@contextmanager
def visitor(lab: Lab) -> Iterator[list[str]]:
    """Opens the login page again and again, as a browser does; what was seen."""
    seen: list[str] = []
    stop = threading.Event()

    def visit(url: str) -> None:
        while not stop.wait(0.5):
            seen.append(login_page(url))

    with url_of(lab) as url:
        thread = threading.Thread(target=visit, args=(url,))
        thread.start()
        try:
            yield seen
        finally:
            stop.set()
            thread.join()


def login_page(url: str) -> str:
    """Status and text; empty where the proxy itself is made anew."""
    try:
        page = httpx.get(f"{url}/user/login/", headers={"Accept": "text/html"}, trust_env=False, timeout=20)
    except httpx.HTTPError:
        return ""
    return f"{page.status_code} {page.text}"


def saw_maintenance(seen: list[str]) -> bool:
    return any(page.startswith("503") and MAINTENANCE in page for page in seen)


def label_studio_serves(lab: Lab) -> None:
    with url_of(lab) as url:
        page = login_page(url)
    assert page.startswith("200 ")
    assert MAINTENANCE not in page


@pytest.fixture(scope="module")
def before(first: First, lab: Lab) -> Iterator[Before]:
    """A stack with a repository and an annotation; afterwards it serves as the other files expect it."""
    lab.hosts["lab1"].exec("mkdir", REPOSITORY_THERE)
    try:
        lab.on_host("deploy", "--yes", inventory=inventory_of(lab))
        with api(lab) as http:
            annotate(http, tasks_of(http)[0]["id"], BRUSH).raise_for_status()
        found = Before(lab.current(), made_and_migrated(lab))
        assert [one for _, _, results in found.view["tasks"].values() for one in results]
        yield found
    finally:
        redeploy(lab)


def test_failed_upgrade_leaves_release_and_data(lab: Lab, before: Before) -> None:
    """The first of two migrations changes every task, the second fails: exit code 5, all is as before."""
    steps = ("USER 0:0", failing_migration_step().strip(), "USER 61041:61041")
    with image_from(lab.hosts["lab1"], "label-studio", "failing-migration", *steps) as bad, visitor(lab) as seen:
        done = lab.inv("upgrade", "--host", "lab1", "--yes", inventory=inventory_of(lab, label_studio_image=bad))
    assert done.code == 5, done.said
    assert "this migration is made to fail" in done.said
    assert "the old version serves again with the data of before" in done.said
    assert saw_maintenance(seen)
    label_studio_serves(lab)
    assert lab.current() == before.release
    assert made_and_migrated(lab) == before.view
    assert next(one["gate"] for one in lab.releases() if not one["current"]) == "failed"


def test_good_upgrade_passes_and_keeps_data(lab: Lab, before: Before) -> None:
    """Another image of the same version; what was set aside goes after a verified backup."""
    with image_from(lab.hosts["lab1"], "label-studio", "other-label", "LABEL org.labelrig.test=other") as good:
        inventory = inventory_of(lab, label_studio_image=good)
        with visitor(lab) as seen:
            upgraded = lab.on_host("upgrade", "--yes", inventory=inventory)["upgraded"]
        assert upgraded["images"]["label-studio"][1] == good
        assert saw_maintenance(seen)
        label_studio_serves(lab)
        assert lab.current() != before.release
        assert made_and_migrated(lab) == before.view
        reasons = {one["id"]: one["reason"] for one in lab.on_host("backup.list", inventory=inventory)["backups"]}
        assert reasons[upgraded["backup"]] == "before-upgrade"
        lab.on_host("backup", inventory=inventory)
        lab.on_host("backup.verify", inventory=inventory)
        assert "data of before an upgrade" in lab.inv("prune", "--host", "lab1", "--dry-run", inventory=inventory).out
        lab.on_host("prune", "--yes", inventory=inventory)
        assert made_and_migrated(lab) == before.view
