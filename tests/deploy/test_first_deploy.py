"""From a bare host to a proven click, and again: the main road."""

from __future__ import annotations

import io
import re
import time
from contextlib import closing
from pathlib import Path

import pytest

from core.report import Report
from infra.config.inventory import load_inventory
from infra.config.settings import load_settings
from infra.deploy.run import plan_host
from infra.fleet import run as fleet_run
from infra.fleet.commit import Commit
from infra.fleet.run import RunOptions
from infra.fleet.target import connect_to
from tests.deploy.clicking import mean_iou
from tests.deploy.command import Ended, Lab
from tests.deploy.first import BASE, First, secrets_on
from tests.labhost.host import DATA, LabHost
from tests.recorder import RecordingHost, changes_in
from tests.tcp_relay import TcpRelay

SERVICES = ("db", "sam2", "label-studio", "proxy")


def started(host: LabHost) -> dict[str, str]:
    """When each container of the stack was started, by its name."""
    names = host.inside_engine("ps", "--all", "--format", "{{.Names}}").stdout.split()
    answer = host.inside_engine("inspect", "--format", "{{.Name}} {{.State.StartedAt}}", *names).stdout
    return dict(line.strip("/").split() for line in answer.splitlines())


def _tags(host: LabHost) -> list[str]:
    tags = host.inside_engine("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    assert len(tags) >= len(SERVICES)
    return tags


def _logs(host: LabHost, service: str) -> str:
    done = host.exec("sh", "-c", 'docker logs "$1" 2>&1', "sh", f"labelrig-{service}-1")
    assert done.stdout
    return done.stdout


def _history(host: LabHost, tag: str) -> str:
    return host.inside_engine("history", "--no-trunc", tag).stdout


@pytest.fixture(scope="module")
def doctor(first: First, lab: Lab) -> Ended:
    """One look at the host after its first deploy."""
    assert first.deploy.code == 0
    return lab.inv("doctor", "--host", "lab1", "--json")


def test_the_plan_of_a_bare_host_says_what_is_unknown(first: First) -> None:
    """The plan of a bare host shows what it can and says what it cannot."""
    assert first.plan.code == 0, first.plan.err
    (host,) = first.plan.json["hosts"]
    changes = first.plan.changed()
    assert any(change.startswith("install docker.io") for change in changes)
    assert any(change.startswith("send labelrig/sam2:") for change in changes)
    assert {"containers", "project"} <= {one for stage in host["stages"] for one in stage["unknown"]}
    (release,) = [one["diff"] for one in host["diffs"] if one["change"].startswith("write release ")]
    assert "+LABEL_STUDIO_PASSWORD=(secret)" in release
    assert "+++ compose.yaml (new)" in release


def test_the_first_deploy_ends_in_a_proven_click(first: First) -> None:
    (host,) = first.deploy.json["hosts"]
    assert host["exit_code"] == 0
    assert host["model"] == "demo"
    assert host["device"] == "cpu"
    assert host["proof"]["covered"] > 0
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{7}(-dirty)?", host["release"])
    assert any("DEMO model" in notice for notice in host["notices"])


def test_images_below_a_private_home_are_served(doctor: Ended, lab: Lab) -> None:
    """Whoever logs in may not even see the image folder; the engine mounts it, and every look at it is root's."""
    seen = lab.hosts["lab1"].exec("setpriv", "--reuid=operator", "--clear-groups", "test", "-e", DATA, check=False)
    assert seen.returncode == 1
    status = lab.inv("status", "--host", "lab1", "--json").json["hosts"][0]["status"]
    assert [one["path"] for one in status["disks"]][1:] == [DATA]
    results = {one["id"]: one["result"] for one in doctor.json["hosts"][0]["doctor"]["checks"]}
    assert (results["storage"], results["image"]) == ("ok", "ok"), doctor.said


def test_sam2_finds_what_was_drawn(first: First, lab: Lab, lab_scenes: Path, lab_pictures: dict[str, Path]) -> None:
    assert first.deploy.code == 0
    assert mean_iou(lab, lab_scenes / "truth", lab_pictures) >= 0.75


def test_the_second_deploy_changes_and_restarts_nothing(first: First, lab: Lab) -> None:
    assert first.deploy.code == 0
    before = started(lab.hosts["lab1"])
    assert len(before) == len(SERVICES)
    again = lab.inv("deploy", "--host", "lab1", "--yes", "--json")
    assert again.code == 0, again.err
    assert again.changed() == []
    assert started(lab.hosts["lab1"]) == before


def test_a_plan_of_a_host_that_is_right_shows_nothing(first: First, lab: Lab) -> None:
    assert first.deploy.code == 0
    plan = lab.inv("plan", "--host", "lab1", "--json")
    assert (plan.code, plan.changed()) == (0, [])
    (host,) = plan.json["hosts"]
    assert [one for stage in host["stages"] for one in stage["unknown"]] == []


def test_a_hardened_ssh_server_is_enough(doctor: Ended, lab: Lab) -> None:
    """All of these tests talk to such a server: no port is forwarded, and a connection has two sessions at most."""
    allowed = lab.hosts["lab1"].exec("/usr/sbin/sshd", "-T").stdout.splitlines()
    assert {"allowtcpforwarding no", "maxsessions 2"} <= set(allowed)
    (host,) = doctor.json["hosts"]
    found = {check["id"]: check for check in host["doctor"]["checks"]}
    assert [check for check in found.values() if check["result"] in ("broken", "skipped")] == []
    assert found["token"]["result"] == "ok"


def test_a_lost_connection_is_named_within_the_keepalive(first: First, lab: Lab, tmp_path: Path) -> None:
    """As behind a jump host whose machine goes away: the connection stays open, and nothing comes any more."""
    assert first.deploy.code == 0
    host = lab.hosts["lab1"]
    ssh = tmp_path / ".ssh"
    ssh.mkdir()
    (ssh / "config").write_text("Host *\n  ServerAliveInterval 1\n")
    with closing(TcpRelay(host.port, cut_after=40_000)) as network:
        known = tmp_path / "known"
        known.write_text(host.known_hosts.read_text().replace(str(host.port), str(network.port)))
        far = Lab(tmp_path, lab.hosts)
        inventory = far.inventory(ssh_port=network.port, known_hosts=str(known), connect_timeout=1)
        began = time.monotonic()
        done = far.inv("doctor", "--host", "lab1", "--json", inventory=inventory)
        assert time.monotonic() - began < 30
    assert done.code == 6, done.said
    (told,) = done.json["hosts"]
    (broken,) = [check for check in told["doctor"]["checks"] if check["result"] == "broken"]
    assert broken["seen"] == "lab1: the connection is gone (nothing came from there for 3 s)"
    assert "lab1: the connection is gone: nothing came from there for 3 s" in done.err
    assert "did not answer" not in done.said


def test_no_secret_is_seen_anywhere(first: First, lab: Lab) -> None:
    host = lab.hosts["lab1"]
    secrets = secrets_on(host)
    assert first.watch.rounds > 20
    assert any("docker compose" in line or "docker-compose" in line for line in first.watch.lines)
    places = {
        "the plan": first.plan.said,
        "the output": first.deploy.said,
        "the process list": "\n".join(first.watch.lines),
        "the engine's log": host.exec("cat", "/var/log/labelrig-dockerd.log").stdout,
        "the audit log": host.exec("cat", f"{BASE}/audit.jsonl").stdout,
        **{f"the logs of {name}": _logs(host, name) for name in SERVICES},
        **{f"the history of {tag}": _history(host, tag) for tag in _tags(host)},
    }
    found = [(name, place) for place, text in places.items() for name, value in secrets.items() if value in text]
    assert found == []


def test_whoever_logs_in_reads_nothing_of_the_stack(first: First, lab: Lab) -> None:
    """guest has number 1001, which containers ran as; root finds no secret either where descriptions are shown."""
    assert first.deploy.code == 0
    host, secrets = lab.hosts["lab1"], secrets_on(lab.hosts["lab1"])
    names = [f"labelrig-{service}-1" for service in SERVICES]
    users = set(host.inside_engine("inspect", "--format", "{{.Config.User}}", *names).stdout.split())
    (number,) = {part for user in users for part in user.split(":")}
    for database in ("passwd", "group"):
        assert host.exec("getent", database, number, check=False).returncode == 2
    pids = host.exec("sh", "-c", 'ps -eo pid=,uid= | sed -n "s/ $1$//p"', "sh", number).stdout.split()
    assert len(pids) > len(SERVICES)
    shown = host.inside_engine("inspect", *names).stdout
    for pid in pids:
        shown += host.exec("cat", f"/proc/{pid}/environ", check=False).stdout  # one may have ended since
    assert "LABEL_STUDIO_USERNAME=" in shown
    assert [name for name, value in secrets.items() if value in shown] == []
    guest = ("setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", "--no-new-privs")
    assert host.exec(*guest, "id", "-u").stdout == "1001\n"
    look = (
        'for pid; do cat "/proc/$pid/environ" || ls "/proc/$pid/root/" || kill -0 "$pid"; done 2>/dev/null && echo seen'
    )
    assert host.exec(*guest, "sh", "-c", look, "sh", *pids, check=False).stdout == ""
    assert host.exec(*guest, "ls", "/var/lib/docker/volumes", check=False).returncode != 0


def test_no_secret_is_in_the_layers_of_the_images(first: First, lab: Lab) -> None:
    assert first.deploy.code == 0
    host = lab.hosts["lab1"]
    values = "\n".join(secrets_on(host).values())
    # Every file of every layer that the engine has; containers' own writable layers hold what they were given.
    layers = host.inside_engine("inspect", "--format", "{{.GraphDriver.Data.LowerDir}}", *_tags(host)).stdout
    folders = sorted({one for line in layers.splitlines() for one in line.split(":") if one.startswith("/")})
    assert folders
    looked = host.exec("grep", "-rlaF", "-f", "/dev/stdin", *folders, stdin=values, check=False, timeout=300)
    assert (looked.returncode, looked.stdout) == (1, "")


def test_the_secrets_lie_in_files_of_root_alone(first: First, lab: Lab) -> None:
    assert first.deploy.code == 0
    host = lab.hosts["lab1"]
    shown = host.exec("stat", "-c", "%a %U %n", BASE, f"{BASE}/secrets.env", f"{BASE}/current/stack.env").stdout
    assert shown.splitlines() == [
        f"750 root {BASE}",
        f"600 root {BASE}/secrets.env",
        f"600 root {BASE}/current/stack.env",
    ]


def test_the_proxy_is_published_on_the_host_itself_only(first: First, lab: Lab) -> None:
    assert first.deploy.code == 0
    ports = lab.hosts["lab1"].inside_engine("ps", "--format", "{{.Names}} {{.Ports}}").stdout.splitlines()
    published = [(line.split()[0], part) for line in ports for part in line.replace(",", " ").split() if "->" in part]
    assert published == [("labelrig-proxy-1", "127.0.0.1:8080->8080/tcp")]


def test_what_was_done_is_on_record(first: First, lab: Lab) -> None:
    assert first.deploy.code == 0
    audit = lab.inv("audit", "--host", "lab1", "--json").json["hosts"][0]["audit"]
    assert (audit[0]["command"], audit[0]["result"], audit[0]["exit_code"]) == ("./inv deploy", "ok", 0)
    releases = lab.inv("releases", "--host", "lab1", "--json").json["hosts"][0]["releases"]
    assert [(one["current"], one["gate"]) for one in releases] == [(True, "passed")]
    assert lab.inv("lock.status", "--host", "lab1").out == "lab1: free\n"


def test_a_plan_changes_nothing(first: First, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded at the host: every command, and every file that is newer than the moment before."""
    assert first.deploy.code == 0
    host = lab.hosts["lab1"]
    inventory = lab.inventory("other.yaml", backend={"MASK_KEEP": "clicked"}, docker_users=["guest"], port=8181)
    (host_settings,) = load_inventory(inventory).select(["lab1"], [], None, {})
    recorders: list[RecordingHost] = []

    def recorded(*arguments: object, **more: object) -> RecordingHost:
        recorders.append(RecordingHost(connect(*arguments, **more)))  # type: ignore[arg-type]
        return recorders[-1]

    connect = connect_to
    monkeypatch.setattr(fleet_run, "connect_to", recorded)
    host.exec("sh", "-c", "sleep 1.1; touch /tmp/before; sleep 1.1")
    report = Report(io.StringIO())
    options = RunOptions("plan", load_settings(tmp_path / ".env", {}, {}), Commit("0" * 40, dirty=True))
    plan_host(options, host_settings, report)
    (recorder,) = recorders
    assert len(recorder.commands) > 30
    assert recorder.writes == []
    assert changes_in(recorder) == []
    # Not what plan does: logins are logged, and the running stack works on (runc's file is a check of health's).
    newer = host.exec(
        "sh", "-c",
        "find / -xdev -newer /tmp/before -type f "
        r"! -path '/proc/*' ! -path '/sys/*' ! -path '/run/*' ! -path '/var/log/*' ! -path '/dev/*' "
        "! -path '/tmp/runc-process*'",
    ).stdout.split()  # fmt: skip
    assert newer == []
    assert report.changed > 0
