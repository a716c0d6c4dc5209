"""Releases that break, rollbacks, locks, and hosts that go down: the stack that served goes on serving."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.errors import WaitTimeout
from core.waiting import wait_for
from tests.deploy.command import Ended, Lab, ended
from tests.deploy.first import BASE, First, secrets_on
from tests.deploy.images import broken_image
from tests.labhost.host import LabHost

HEALTHY_TIMEOUT = 240.0
# How often a deploy is killed with `--all`; the full run by hand takes 20.
KILLS = int(os.environ.get("LABELRIG_TEST_KILLS", "3"))


@pytest.fixture(autouse=True)
def _deployed(first: First) -> None:
    assert first.deploy.code == 0


@pytest.fixture
def host(lab: Lab) -> LabHost:
    return lab.hosts["lab1"]


def healths(host: LabHost) -> dict[str, str]:
    answer = host.inside_engine("ps", "--all", "--format", "{{.Names}} {{.Status}}").stdout
    return dict(line.split(" ", 1) for line in answer.splitlines())


def wait_until_healthy(host: LabHost) -> None:
    def all_healthy() -> bool | None:
        shown = host.inside_engine("ps", "--all", "--format", "{{.Status}}", check=False)
        states = shown.stdout.splitlines()
        return True if len(states) == 4 and all("(healthy)" in state for state in states) else None

    try:
        wait_for("the stack to come back", all_healthy, timeout=HEALTHY_TIMEOUT)
    except WaitTimeout as error:
        raise AssertionError(f"{error}: {healths(host)}") from error


def serves(lab: Lab) -> None:
    """A click is answered, and nothing has to be changed for it."""
    done = lab.inv("deploy", "--host", "lab1", "--yes", "--json")
    assert done.code == 0, done.err
    assert done.changed() == []


def rolled_back(lab: Lab, done: Ended, before: str, cause: str) -> None:
    assert done.code == 5, done.said
    assert cause in done.said
    assert f"release {before} serves again" in done.said
    assert lab.current() == before
    newest = lab.releases()[0]
    assert (newest["gate"], newest["current"]) == ("failed", False)
    serves(lab)


def test_a_release_that_breaks_the_backend_is_put_back(lab: Lab, host: LabHost) -> None:
    before = lab.current()
    with broken_image(host, "sam2") as tag:
        done = lab.inv("deploy", "--host", "lab1", "--yes", inventory=lab.inventory("bad.yaml", sam2_image=tag))
    rolled_back(lab, done, before, "sam2 does not start; its last lines:")
    assert "the disk of wonders is missing" in done.said


def _psql(host: LabHost, statement: str) -> None:
    host.inside_engine("exec", "labelrig-db-1", "psql", "-U", "labelstudio", "-d", "labelstudio", "-c", statement)


def owners(host: LabHost) -> tuple[str, ...]:
    """Who owns what is in the volumes with work, by the host."""
    volumes = [
        f"/var/lib/docker/volumes/labelrig_{name}/_data" for name in ("label-studio-data", "db-data", "db-client")
    ]
    return tuple(sorted(set(host.exec("find", *volumes, "-printf", "%U:%G\n").stdout.split())))


@contextmanager
def number_taken(host: LabHost) -> Iterator[str]:
    """Somebody gets an account with the number that the containers run as; afterwards it is theirs again."""
    (one,) = host.exec("sed", "-n", "s/^LABELRIG_UID='\\(.*\\)'$/\\1/p", f"{BASE}/secrets.env").stdout.split()
    host.exec("useradd", "--uid", one, "newcomer")
    try:
        yield one
    finally:
        host.exec("userdel", "newcomer")
        host.exec("sed", "-i", f"s/^LABELRIG_UID=.*/LABELRIG_UID='{one}'/", f"{BASE}/secrets.env")


def test_going_back_and_forth_and_what_stands_in_the_way(lab: Lab, host: LabHost) -> None:
    """The later release runs as another user: the volumes go with it, and come back with the one before."""
    with number_taken(host) as number:
        refused = lab.inv("plan", "--host", "lab1")
        assert refused.code == 3, refused.said
        assert f"the containers run as number {number}, which the account newcomer has by now" in refused.said
        assert owners(host) == (f"{number}:{number}",)
        go_back_and_forth(lab, host)
        assert owners(host) == (f"{number}:{number}",)


def go_back_and_forth(lab: Lab, host: LabHost) -> None:
    before, secrets, own = lab.current(), secrets_on(host), owners(host)
    host.exec("rm", f"{BASE}/secrets.env")  # on the way it is lost, and comes back from the release
    done = lab.inv(
        "deploy", "--host", "lab1", "--yes", inventory=lab.inventory("b.yaml", backend={"MASK_KEEP": "clicked"})
    )
    assert done.code == 0, done.said
    assert "recover LABEL_STUDIO_PASSWORD, LABEL_STUDIO_SECRET_KEY, LABELRIG_POSTGRES_PASSWORD from" in done.said
    changed = set(dict(secrets.items() ^ secrets_on(host).items()))
    # A token is shown once, and the backend's password stands in no release: others are made.
    assert changed == {"LABEL_STUDIO_API_KEY", "LABELRIG_BACKEND_PASSWORD"}
    after = lab.current()
    assert after != before
    assert len(owners(host)) == 1
    assert owners(host) != own
    assert "MASK_KEEP=clicked" in host.inside_engine("inspect", "labelrig-sam2-1").stdout
    assert lab.inv("rollback", "--host", "lab1", "--yes").code == 0
    assert lab.current() == before
    assert "MASK_KEEP" not in host.inside_engine("inspect", "labelrig-sam2-1").stdout
    unknown = lab.inv("rollback", "--release", "20200101T000000Z-0000000", "--host", "lab1", "--yes")
    assert (unknown.code, lab.current()) == (1, before)
    assert "there is no release 20200101T000000Z-0000000" in unknown.said
    # The database moves on: a migration that the other release does not know.
    migrated = "INSERT INTO django_migrations (app, name, applied) VALUES ('tasks', '9999_from_the_future', now())"
    _psql(host, migrated)
    refused = lab.inv("rollback", "--release", after, "--host", "lab1", "--yes")
    _psql(host, "DELETE FROM django_migrations WHERE name = '9999_from_the_future'")
    assert (refused.code, lab.current()) == (1, before)
    assert "the tables of the database are 1 migrations newer than its own; restore a backup" in refused.said


def test_a_deploy_that_may_not_wait_ends_with_its_own_code(lab: Lab, host: LabHost) -> None:
    assert lab.inv("lock.take", "--host", "lab1", "--message", "counting the fish").code == 0
    try:
        done = lab.inv("deploy", "--host", "lab1", "--yes")
        assert done.code == 4, done.said
        assert "counting the fish" in done.said
        assert "step 1 of" not in done.said, "it is said before anything is planned"
        other = lab.inv("lock.release", "--host", "lab1", "--own")
        assert other.code == 0
    finally:
        lab.inv("lock.release", "--host", "lab1", "--force")
    assert lab.inv("lock.status", "--host", "lab1").out == "lab1: free\n"


def test_after_a_power_cut_the_stack_comes_back_by_itself(lab: Lab, host: LabHost) -> None:
    host.kill()
    host.boot()
    host.wait_for_ssh()
    wait_until_healthy(host)
    done = lab.inv("doctor", "--host", "lab1", "--json")
    assert done.code in (0, 2), done.said  # 2: warnings, such as containers that were restarted just now
    click = done.json["hosts"][0]["doctor"]["checks"][-1]
    assert (click["id"], click["result"]) == ("click", "ok")
    plan = lab.inv("plan", "--host", "lab1", "--json")
    assert (plan.code, plan.changed()) == (0, []), plan.said


@contextmanager
def troubles(host: LabHost) -> Iterator[str]:
    """An edited file, secrets open to all, other settings of the engine, and an image without its name: all at once."""
    tag = host.inside_engine("inspect", "--format", "{{.Config.Image}}", "labelrig-sam2-1").stdout.strip()
    edited, kept = f"{BASE}/current/compose.yaml", "/root/kept"
    host.exec("sh", "-c", f"mkdir {kept} && cp -p {edited} /etc/docker/daemon.json {kept}/")
    host.exec("sh", "-c", f"echo '# by hand' >>{edited}; chmod 644 {BASE}/secrets.env")
    host.exec("sed", "-i", 's/"10m"/"999m"/', "/etc/docker/daemon.json")
    host.inside_engine("tag", tag, "kept:1")
    host.inside_engine("rmi", tag)
    try:
        yield tag
    finally:
        host.exec("sh", "-c", f"cp -p {kept}/compose.yaml {edited} && cp -p {kept}/daemon.json /etc/docker/")
        host.exec("sh", "-c", f"rm -r {kept}; chmod 600 {BASE}/secrets.env")
        host.inside_engine("tag", "kept:1", tag)
        host.inside_engine("rmi", "kept:1")


def test_the_doctor_names_each_of_several_troubles(lab: Lab, host: LabHost) -> None:
    """None hides another, and nothing is skipped; the plan then sends the one image that lacks and builds none."""
    with troubles(host) as tag:
        done = lab.inv("doctor", "--host", "lab1", "--json")
        plan = lab.inv("plan", "--host", "lab1", "--json")
    assert done.code == 1, done.said
    checks = {check["id"]: check for check in done.json["hosts"][0]["doctor"]["checks"]}
    results = {name: check["result"] for name, check in checks.items()}
    assert [name for name, result in results.items() if result == "broken"] == ["release"], done.said
    assert "skipped" not in results.values(), done.said
    assert {results[name] for name in ("secrets", "daemon", "images")} == {"warning"}, done.said
    assert "compose.yaml" in checks["release"]["seen"]
    assert "(mode 644)" in checks["secrets"]["seen"]
    assert '"999m"' in checks["daemon"]["seen"]
    assert tag in checks["images"]["seen"]
    assert plan.code == 0, plan.said
    images = [one for one in plan.changed() if one.startswith(("send labelrig/", "build ", "make labelrig/"))]
    assert images == [f"send {tag} to the host"]


@pytest.mark.slow
def test_a_release_that_breaks_label_studio_is_put_back(lab: Lab, host: LabHost) -> None:
    before = lab.current()
    with broken_image(host, "label-studio") as tag:
        done = lab.inv("deploy", "--host", "lab1", "--yes", inventory=lab.inventory("bad.yaml", label_studio_image=tag))
    rolled_back(lab, done, before, "label-studio does not start; its last lines:")
    assert "the disk of wonders is missing" in done.said


@pytest.mark.slow
@pytest.mark.usefixtures("redeployed_after")
def test_a_hook_can_refuse_and_is_told_how_it_went(lab: Lab, tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    before = lab.current()
    refuse = hooks / "pre-deploy"
    refuse.write_text("#!/bin/sh\necho not during the review of $LABELRIG_HOST\nexit 1\n")
    refuse.chmod(0o755)
    inventory = lab.inventory("hooks.yaml", hooks=str(hooks), backend={"MASK_KEEP": "clicked"})
    done = lab.inv("deploy", "--host", "lab1", "--yes", inventory=inventory)
    assert done.code == 1
    assert "not during the review of lab1" in done.said
    assert lab.current() == before
    refuse.unlink()
    told = hooks / "post-deploy"
    told.write_text(f"#!/bin/sh\nenv | grep ^LABELRIG_ >{tmp_path}/told\n")
    told.chmod(0o755)
    done = lab.inv("deploy", "--host", "lab1", "--yes", inventory=lab.inventory("hooks.yaml", hooks=str(hooks)))
    assert done.code == 0, done.err
    values = dict(line.split("=", 1) for line in (tmp_path / "told").read_text().splitlines())
    assert (values["LABELRIG_HOST"], values["LABELRIG_RESULT"]) == ("lab1", "ok")
    assert values["LABELRIG_RELEASE"] == before


@pytest.mark.slow
@pytest.mark.usefixtures("redeployed_after")
def test_only_the_last_releases_stay_and_one_can_still_go_back(lab: Lab) -> None:
    for keep in ("clicked", "all"):
        inventory = lab.inventory("few.yaml", keep_releases=2, backend={"MASK_KEEP": keep})
        done = lab.inv("deploy", "--host", "lab1", "--yes", inventory=inventory)
        assert done.code == 0, done.said
    left = lab.releases()
    assert len(left) <= 3
    assert left[0]["current"]
    assert lab.inv("rollback", "--host", "lab1", "--yes").code == 0


@pytest.mark.slow
def test_of_two_deploys_at_once_one_waits(lab: Lab) -> None:
    one = lab.start("deploy", "--host", "lab1", "--yes", "--lock-wait", "3m", "--json")
    two = lab.start("deploy", "--host", "lab1", "--yes", "--lock-wait", "3m", "--json")
    with one, two:
        done = [ended(one), ended(two)]
    assert [each.code for each in done] == [0, 0], [each.said for each in done]
    audit = lab.inv("audit", "--host", "lab1", "--json").json["hosts"][0]["audit"]
    assert [entry["result"] for entry in audit[-2:]] == ["ok", "ok"]


@pytest.mark.slow
@pytest.mark.usefixtures("redeployed_after")
def test_a_new_daemon_json_restarts_the_engine(lab: Lab, host: LabHost) -> None:
    inventory = lab.inventory("daemon.yaml", docker_daemon={"log-opts": {"max-size": "11m"}})
    done = lab.inv("deploy", "--host", "lab1", "--yes", "--json", inventory=inventory)
    assert done.code == 0, done.err
    (change,) = [one for one in done.changed() if "daemon.json" in one]
    assert change.startswith("update /etc/docker/daemon.json and restart the docker engine")
    config = json.loads(host.exec("cat", "/etc/docker/daemon.json").stdout)
    assert config["log-opts"] == {"max-size": "11m", "max-file": "3"}
    wait_until_healthy(host)
    assert lab.inv("deploy", "--host", "lab1", "--yes", "--json", inventory=inventory).changed() == []


@pytest.mark.slow
def test_a_killed_engine_is_started_again(lab: Lab, host: LabHost) -> None:
    """Its bridge, and the proxy on the published port, outlive it and are not taken for others'."""
    host.exec("sh", "-c", "kill -9 $(pgrep -x dockerd)")
    done = lab.inv("deploy", "--host", "lab1", "--yes", "--json")
    assert done.code == 0, done.said
    assert any(change.startswith("start the docker engine") for change in done.changed())
    wait_until_healthy(host)


def _wishes(number: int) -> Mapping[str, object]:
    """Something to do for each try: other settings of the backend, and every other time of the engine."""
    return {
        "backend": {"POLYGON_TOLERANCE_PIXELS": str(1 + number % 5)},
        "docker_daemon": {"log-opts": {"max-size": f"{12 + number // 2 % 3}m"}},
    }


@pytest.mark.slow
@pytest.mark.usefixtures("redeployed_after")
def test_a_run_that_was_killed_is_made_good_by_the_next(lab: Lab, host: LabHost) -> None:
    # What a run leaves that was killed while it made the base image.
    left = "/var/tmp/labelrig-base.labelrig.Ab12Cd34"
    host.exec("sh", "-c", f"mkdir -p {left}/root/proc && mount -t proc proc {left}/root/proc")
    chance = random.Random(os.environ.get("LABELRIG_TEST_SEED", "20"))
    moments: list[float] = []
    for number in range(KILLS):
        inventory = lab.inventory("killed.yaml", **_wishes(number))
        moments.append(round(chance.uniform(1.0, 14.0), 1))
        process = lab.start("deploy", "--host", "lab1", "--yes", inventory=inventory)
        with process:
            try:
                process.wait(moments[-1])
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
            process.communicate()
        done = lab.inv("deploy", "--host", "lab1", "--yes", "--json", inventory=inventory)
        assert done.code == 0, f"killed after {moments} s:\n{done.said}"
        time.sleep(0.1)
        again = lab.inv("deploy", "--host", "lab1", "--yes", "--json", inventory=inventory)
        assert (again.code, again.changed()) == (0, []), f"killed after {moments} s"
    assert host.exec("sh", "-c", f"ls -d {BASE}/releases/.*.part 2>/dev/null", check=False).stdout == ""
    assert host.exec("sh", "-c", "ls -d /var/tmp/labelrig-* 2>/dev/null", check=False).stdout == ""
    audit = lab.inv("audit", "--host", "lab1", "--json").json["hosts"][0]["audit"]
    assert "began" not in [entry["result"] for entry in audit], audit  # each has an end; of the killed ones: died
    assert lab.inv("lock.status", "--host", "lab1").out == "lab1: free\n"
