"""Lab hosts that serve together."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml
from PIL import Image

from core.repository import REPOSITORY
from labelstudio.config import load_project
from labelstudio.prompts import click_regions
from tests.deploy.command import Lab
from tests.deploy.tunnel import label_studio
from tests.labhost.host import LabHost, docker

HEAD, WORKERS = "lab1", ("lab2", "lab3")
PEOPLE = 3


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

    def versions(self) -> dict[str, str]:
        """Of each replica that answers clicks, the version of the backend."""
        ask = ("exec", "labelrig-ray-1", "python", "-m", "backend.ask", "GET", "/hosts")
        hosts = json.loads(self.hosts[HEAD].inside_engine(*ask).stdout)["hosts"]
        replicas = [one for host in hosts for one in host["replicas"]]
        return {one["replica"]: one["version"] for one in replicas if one["state"] in ("ready", "degraded")}

    def containers(self, name: str) -> list[str]:
        """The containers of a host."""
        return self.hosts[name].inside_engine("ps", "--all", "--format", "{{.Names}}").stdout.split()

    def metrics(self) -> str:
        """What the ingress says; empty where it does not answer."""
        ask = ("exec", "labelrig-ray-1", "python", "-m", "backend.ask", "GET", "/metrics")
        return self.hosts[HEAD].inside_engine(*ask, check=False).stdout

    def replicas(self) -> set[str]:
        """The replicas that the ingress has reports of."""
        return set(re.findall(r'^labelrig_(?!ingress)\w+\{[^}]*replica="([^"]+)"', self.metrics(), re.MULTILINE))

    def answered(self) -> Counter[str]:
        """How many requests each replica has answered, by its name."""
        found = re.findall(r'^labelrig_ingress_answered_total\{replica="([^"]+)"\} (\S+)', self.metrics(), re.MULTILINE)
        return Counter({name: int(float(count)) for name, count in found})


def address_of(host: LabHost) -> str:
    """Where the others reach it: on the network of the engine that it is a container of."""
    shown = docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", host.name).stdout.strip()
    assert shown
    return shown


@dataclass
class Clicks:
    """Of people who click through Label Studio: how many were answered, and what went wrong with the others.

    Attributes:
        longest: seconds that one of them waited at most.
    """

    answered: int = 0
    longest: float = 0.0
    failed: list[str] = field(default_factory=list)


@contextmanager
def people_clicking(group: Group, pictures: Mapping[str, Path], people: int = PEOPLE) -> Iterator[Clicks]:
    """Click without a pause through the head's Label Studio, on the middle of every image, while the context lasts."""
    spec = load_project(REPOSITORY)
    with Image.open(next(iter(pictures.values()))) as picture:
        size_wh = picture.size
    middle = (size_wh[0] // 2, size_wh[1] // 2)
    clicks, stop, counting = Clicks(), threading.Event(), threading.Lock()

    def annotate() -> None:
        with label_studio(group, HEAD) as client:
            (project,) = client.projects(spec.title)
            (backend,) = client.backends(project.id)
            tasks = list(client.tasks(project.id, spec.labeling.images[0]))
            while not stop.is_set():
                for task in tasks:
                    errors: Sequence[str]
                    # An object of its own: a newer click on the same one replaces an older that is under way.
                    regions = click_regions(spec.labeling, spec.labeling.labels[0], middle, size_wh)
                    began = time.monotonic()
                    try:
                        errors = client.click(backend.id, task.id, regions).errors
                    except httpx.HTTPError as error:
                        errors = [repr(error)]
                    with counting:
                        clicks.failed.extend(errors)
                        clicks.answered += not errors
                        clicks.longest = max(clicks.longest, time.monotonic() - began)

    threads = [threading.Thread(target=annotate) for _ in range(people)]
    for thread in threads:
        thread.start()
    try:
        yield clicks
    finally:
        stop.set()
        for thread in threads:
            thread.join()
