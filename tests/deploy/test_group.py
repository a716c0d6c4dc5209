"""Three lab hosts that serve together: refused while something is wrong, from bare to clicks that each answers, and on.

In this order: each test goes on from the one before.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from core.waiting import wait_for
from tests.deploy.clicking import mean_iou
from tests.deploy.first import BASE
from tests.deploy.serving_group import HEAD, WORKERS, Group, address_of, people_clicking
from tests.labhost.host import DATA, LabHost

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
BACK_SECONDS = 240.0
CLICKING_SECONDS = 40.0


def is_bare(host: LabHost) -> bool:
    looked = host.exec("sh", "-c", "command -v docker; ls -d /srv/labelrig /etc/docker 2>/dev/null", check=False)
    return looked.stdout == ""


def test_what_is_wrong_between_hosts_is_named_first(group: Group) -> None:
    """A picture that is another one, and a host that does not reach the head: nothing is made anywhere."""
    picture = f"{DATA}/mar abierto 01.png"
    head = address_of(group.hosts[HEAD])
    group.hosts["lab2"].exec("cp", picture, "/tmp/kept.png")
    group.hosts["lab2"].exec("sh", "-c", 'printf x >>"$1"', "sh", picture)
    group.hosts["lab3"].exec("ip", "route", "add", "prohibit", head)
    try:
        done = group.inv("deploy", "--group", "lab", "--yes")
    finally:
        group.hosts["lab2"].exec("cp", "/tmp/kept.png", picture)
        group.hosts["lab3"].exec("ip", "route", "del", "prohibit", head)
    assert done.code == 3, done.said
    assert "lab2: 1 of 4 files that were compared" in done.said
    assert f"lab3 does not reach {head} port 6379" in done.said
    assert all(is_bare(host) for host in group.hosts.values())


def test_one_host_of_the_group_alone_is_refused(group: Group) -> None:
    done = group.inv("deploy", "--host", "lab2", "--yes")
    assert (done.code, "give `--group lab`" in done.said) == (2, True), done.said
    assert is_bare(group.hosts["lab2"])


def test_from_bare_to_clicks_that_each_answers(group: Group, lab_scenes: Path, lab_pictures: dict[str, Path]) -> None:
    done = group.inv("deploy", "--group", "lab", "--yes", "--json")
    assert done.code == 0, done.said
    assert "a click answered by each replica: lab1/0, lab2/0, lab3/0" in done.err
    assert [(one["host"], one["error"]) for one in done.json["hosts"]] == [(name, None) for name in group.hosts]
    assert mean_iou(group, lab_scenes / "truth", lab_pictures) > 0.75
    names = {
        name: host.inside_engine("ps", "--format", "{{.Names}}").stdout.split() for name, host in group.hosts.items()
    }
    assert sorted(names[HEAD]) == [f"labelrig-{one}-1" for one in ("db", "label-studio", "proxy", "ray", "sam2")]
    assert all(names[name] == ["labelrig-ray-1"] for name in WORKERS)


def test_a_second_deploy_changes_nothing(group: Group) -> None:
    done = group.inv("deploy", "--group", "lab", "--yes", "--json")
    assert done.code == 0, done.said
    assert done.changed() == []


def test_every_host_has_a_release_that_passed(group: Group) -> None:
    """And a line of the deploy in its log, a free lock, and a status that says that all is well."""
    releases = group.inv("releases", "--group", "lab", "--json").json["hosts"]
    assert [[(one["current"], one["gate"]) for one in host["releases"]] for host in releases] == [
        [(True, "passed")]
    ] * 3
    audit = group.inv("audit", "--group", "lab", "--json").json["hosts"]
    assert {host["audit"][-1]["result"] for host in audit} == {"ok"}
    assert group.inv("lock.status", "--group", "lab").out.count("free") == 3
    status = group.inv("status", "--group", "lab")
    assert status.code == 0, status.said
    doctor = group.inv("doctor", "--group", "lab")
    assert doctor.code == 0, doctor.said


def test_the_token_is_the_same_and_shown_nowhere(group: Group) -> None:
    texts = [host.exec("cat", f"{BASE}/secrets.env").stdout for host in group.hosts.values()]
    (token,) = {match[1] for text in texts if (match := re.search(r"LABELRIG_CLUSTER_TOKEN='?([\w-]+)", text))}
    assert len(token) >= 40
    for host in group.hosts.values():
        names = host.inside_engine("ps", "--format", "{{.Names}}").stdout.split()
        shown = [*host.ps(), host.inside_engine("inspect", *names).stdout]
        shown += [host.inside_engine("logs", name).stdout for name in names]
        assert not [one for one in shown if token in one]


def test_wrong_token_gets_no_answer(group: Group) -> None:
    """Whoever reaches Ray's port on the lab's network and has another token is no member."""
    ask = f"import ray; ray.init(address='{address_of(group.hosts[HEAD])}:6379', logging_level='ERROR')"
    other = ("--env", f"RAY_AUTH_TOKEN={'f' * 43}")
    run = ("exec", *other, "labelrig-ray-1", "python", "-c", ask)
    ended = group.hosts["lab2"].inside_engine(*run, check=False, timeout=300)
    assert ended.returncode != 0
    assert "oken" in ended.stdout + ended.stderr


def test_killed_worker_fails_no_click(group: Group, lab_pictures: dict[str, Path]) -> None:
    """Its container's processes end at once while people click; it comes back by itself, and answers again."""
    victim = group.hosts["lab3"]
    pid = victim.inside_engine("inspect", "--format", "{{.State.Pid}}", "labelrig-ray-1").stdout.strip()
    with people_clicking(group, lab_pictures) as clicks:
        time.sleep(5)
        before = clicks.answered
        victim.exec("kill", "-9", pid)
        time.sleep(CLICKING_SECONDS)
    assert clicks.failed == []
    assert before > 0
    assert clicks.answered > before + 10, clicks
    wait_for("lab3 to come back", lambda: True if "lab3/0" in group.replicas() else None, timeout=BACK_SECONDS, pause=2)
    assert group.inv("deploy", "--group", "lab", "--yes").code == 0
