"""Three lab hosts that serve together: refused while something is wrong, from bare to clicks that each answers, and on.

In this order: each test goes on from the one before.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from PIL import Image

from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from core.waiting import wait_for
from hosts.local import LocalHost
from infra.config.settings import load_settings
from infra.roles.docker.role import docker_role
from infra.roles.images.role import images_role, plan_images
from infra.roles.images.tags import CLUSTER, DB, LABEL_STUDIO, PROXY
from labelstudio.config import load_project
from labelstudio.prompts import click_regions
from tests.deploy.clicking import mean_iou
from tests.deploy.command import Lab
from tests.deploy.first import BASE
from tests.deploy.tunnel import label_studio
from tests.labhost.host import DATA, LabHost, docker
from tests.labhost.machine_settings import MachineSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
HEAD, WORKERS = "lab1", ("lab2", "lab3")
BACK_SECONDS = 240.0
CLICKING_SECONDS = 40.0


@dataclass(frozen=True)
class Group(Lab):
    """Lab hosts of one group with `serve`."""

    def inventory(self, name: str = "inventory.yaml", **settings: object) -> Path:
        path = super().inventory(name, **settings)
        document = yaml.safe_load(path.read_text())
        addresses = {name: address_of(host) for name, host in self.hosts.items()}
        document["groups"] = {"lab": {"hosts": [*self.hosts], "serve": {"head": HEAD, "addresses": addresses}}}
        path.write_text(yaml.safe_dump(document, allow_unicode=True))
        return path

    def replicas(self) -> set[str]:
        """The replicas that the ingress has reports of."""
        ask = ("exec", "labelrig-sam2-1", "python", "-m", "backend.ask", "GET", "/metrics")
        text = self.hosts[HEAD].inside_engine(*ask, check=False).stdout
        return set(re.findall(r'^labelrig_(?!ingress)\w+\{[^}]*replica="([^"]+)"', text, re.MULTILINE))


def address_of(host: LabHost) -> str:
    """Where the others reach it: on the network of the engine that it is a container of."""
    shown = docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", host.name).stdout.strip()
    assert shown
    return shown


@pytest.fixture(scope="module")
def images_of_group(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The images of the group on this machine: each host gets them from here."""
    host, report = LocalHost(), Report()
    converge(docker_role(host, report), report)
    settings = load_settings(tmp_path_factory.mktemp("images") / ".env", {}, {})
    images = plan_images(host, REPOSITORY, settings, report, services=(DB, CLUSTER, LABEL_STUDIO, PROXY))
    converge(images_role(host, images, report), report)


@pytest.fixture(scope="module")
def group(
    lab_host_image: str,
    lab_settings: MachineSettings,
    lab_pictures: dict[str, Path],
    images_of_group: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Group]:
    hosts: dict[str, LabHost] = {}
    with ExitStack() as removals:
        for name in (HEAD, *WORKERS):
            host = LabHost(lab_host_image, tmp_path_factory.mktemp(name))
            removals.callback(host.remove)
            host.start(lab_settings, lab_pictures)
            host.wait_for_ssh()
            hosts[name] = host
        yield Group(tmp_path_factory.mktemp("group"), hosts)


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
    spec = load_project(REPOSITORY)
    with Image.open(next(iter(lab_pictures.values()))) as picture:
        size_wh = picture.size
    middle = (size_wh[0] // 2, size_wh[1] // 2)
    victim = group.hosts["lab3"]
    pid = victim.inside_engine("inspect", "--format", "{{.State.Pid}}", "labelrig-ray-1").stdout.strip()
    answered: Counter[str] = Counter()
    failed: list[str] = []
    stop = threading.Event()

    def annotate() -> None:
        with label_studio(group) as client:
            (project,) = client.projects(spec.title)
            (backend,) = client.backends(project.id)
            tasks = list(client.tasks(project.id, spec.labeling.images[0]))
            while not stop.is_set():
                for task in tasks:
                    regions = click_regions(spec.labeling, spec.labeling.labels[0], middle, size_wh)
                    try:
                        answer = client.click(backend.id, task.id, regions)
                    except httpx.HTTPError as error:
                        failed.append(repr(error))
                        continue
                    failed.extend(answer.errors)
                    answered["clicks"] += not answer.errors

    people = [threading.Thread(target=annotate) for _ in range(3)]
    for person in people:
        person.start()
    time.sleep(5)
    before = answered["clicks"]
    victim.exec("kill", "-9", pid)
    time.sleep(CLICKING_SECONDS)
    stop.set()
    for person in people:
        person.join()
    assert failed == []
    assert before > 0
    assert answered["clicks"] > before + 10, answered
    wait_for("lab3 to come back", lambda: True if "lab3/0" in group.replicas() else None, timeout=BACK_SECONDS, pause=2)
    assert group.inv("deploy", "--group", "lab", "--yes").code == 0
