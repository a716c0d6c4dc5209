"""Hosts that serve together get another version of the backend while people click: none of their clicks fails.

In this order: each test goes on from the one before.
"""

from __future__ import annotations

import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from core.repository import REPOSITORY, own_version
from core.waiting import wait_for
from infra.roles.images.tags import CLUSTER
from tests.deploy.images import made_here
from tests.deploy.serving_group import HEAD, Group, people_clicking
from tests.e2e.old_tree import LEFT_OUT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]
VERSION, OTHER = own_version(REPOSITORY), "0.2.77"
REPLICAS = ("lab1/0", "lab2/0", "lab3/0")
STAND_IN = "labelrig-stand-in-1"
START_SECONDS = 900.0


@pytest.fixture(scope="module")
def other(serving: Group, tmp_path_factory: pytest.TempPathFactory) -> Group:
    """The same hosts, changed from a clone in which the backend has another version."""
    root = tmp_path_factory.mktemp("other") / "labelrig"
    shutil.copytree(REPOSITORY, root, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    for name in ("pyproject.toml", "backend/__init__.py"):
        text = (root / name).read_text()
        changed = re.sub(rf"^(_*version_* = ).{re.escape(VERSION)}.$", rf'\1"{OTHER}"', text, flags=re.MULTILINE)
        assert changed != text, name
        (root / name).write_text(changed)
    made_here(root.parent, (CLUSTER,), root)
    return replace(serving, root=root)


def haproxy(group: Group) -> str:
    """Which container Label Studio asks, and since when it runs."""
    look = ("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", "labelrig-sam2-1")
    return group.hosts[HEAD].inside_engine(*look).stdout


def test_plan_says_that_a_stand_in_is_used(other: Group) -> None:
    """And changes nothing."""
    planned = other.inv("plan", "--group", "lab")
    assert planned.code == 0, planned.said
    assert "a stand-in answers clicks meanwhile" in planned.err
    assert set(other.versions().values()) == {VERSION}
    assert STAND_IN not in other.containers(HEAD)


def test_no_click_fails_while_all_are_replaced(
    serving: Group, other: Group, lab_pictures: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = haproxy(serving)
    with people_clicking(serving, lab_pictures) as clicks:
        done = other.inv("deploy", "--group", "lab", "--yes")
    with capsys.disabled():
        print(f"\nupgrade: {clicks.answered} clicks, {len(clicks.failed)} failed, longest {clicks.longest:.1f} s")  # noqa: T201
    assert done.code == 0, done.said
    assert clicks.failed == [], done.said
    assert clicks.answered > 20
    assert other.versions() == dict.fromkeys(REPLICAS, OTHER)
    assert STAND_IN not in other.containers(HEAD)
    assert "stop the stand-in once a replica has answered a click" in done.err
    assert haproxy(serving) == before


def test_a_killed_upgrade_is_made_good_by_the_next(
    serving: Group, lab_pictures: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Back to the version before; the command is killed as soon as its stand-in is there."""
    with people_clicking(serving, lab_pictures) as clicks:
        process = serving.start("deploy", "--group", "lab", "--yes")
        with process:
            wait_for(
                "the stand-in",
                lambda: True if STAND_IN in serving.containers(HEAD) or process.poll() is not None else None,
                timeout=START_SECONDS,
                pause=0.5,
            )
            assert process.poll() is None, process.communicate()
            process.send_signal(signal.SIGKILL)
            process.communicate()
        status = serving.inv("status", "--host", HEAD)
        done = serving.inv("deploy", "--group", "lab", "--yes")
    with capsys.disabled():
        print(f"\nkilled: {clicks.answered} clicks, {len(clicks.failed)} failed, longest {clicks.longest:.1f} s")  # noqa: T201
    assert "stand-in" in status.out, status.said
    assert done.code == 0, done.said
    assert clicks.failed == [], done.said
    assert serving.versions() == dict.fromkeys(REPLICAS, VERSION)
    assert STAND_IN not in serving.containers(HEAD)
    again = serving.inv("deploy", "--group", "lab", "--yes", "--json")
    assert (again.code, again.changed()) == (0, []), again.said
