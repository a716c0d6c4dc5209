"""The states "base image there" and "images built"."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import CommandFailed, CommandTimedOut, HostError
from core.operation import Change, Operation
from core.report import Report
from hosts.base import Host
from infra.roles.docker.client import engine_client
from infra.roles.docker.compose import Compose, run_docker
from infra.roles.images.context import BUILD_NAMES, BUILD_VARIABLES, staged
from infra.roles.images.debootstrap import BaseBuilder
from infra.roles.images.packages import few, moved, package_names
from infra.roles.images.registry import builds_of_recipe, packages_of, present
from infra.roles.images.tags import CLUSTER, FOLDERS, LABEL_STUDIO, SAM2, Base, build_files

PULL_TIMEOUT = 1800.0
BUILD_TIMEOUT = 3600.0
BUILD_LINES = 15
# "#7 [sam2 2/6] RUN ..." names a step; "#7 12.3 Collecting numpy" is what it says.
STEP = re.compile(r"^#(\d+) \[([^\]]+)\]")
SAYS = re.compile(r"^#(\d+) (?:[\d.]+ )?(.+)")


@dataclass(frozen=True)
class ImageSet:
    """The images of this tree that a stack needs, and what they are built from.

    Attributes:
        tags: service -> tag.
        base: what they are built on.
        repository: the root of this repository.
        project: whose images they are; a label.
        own: the services that run an image of the lab's own, which is never built.
    """

    tags: Mapping[str, str]
    base: Base
    repository: Path
    project: str
    own: frozenset[str] = frozenset()

    @property
    def label_studio(self) -> str:
        """The tag of Label Studio's image."""
        return self.tags[LABEL_STUDIO]

    @property
    def sam2(self) -> str:
        """The tag of the SAM2 backend's image, of whichever kind."""
        return self.tags[CLUSTER] if CLUSTER in self.tags else self.tags[SAM2]

    def packages(self, service: str) -> dict[str, str]:
        """The versions that the suites offer of the Debian packages of an image."""
        return self.base.offered.of(package_names(self.repository, FOLDERS[service]))

    def only(self, services: Collection[str]) -> ImageSet:
        """The images of some of the services."""
        return replace(self, tags={service: tag for service, tag in self.tags.items() if service in services})

    def missing(self, host: Host) -> list[str]:
        """The services whose image the engine of `host` lacks."""
        with closing(engine_client(host)) as client:
            there = present(list(self.tags.values()), client)
        return [service for service, tag in self.tags.items() if tag not in there and service not in self.own]


class BaseThere(Operation):
    """What a missing image is built on is there; nothing is needed where no image is missing."""

    name = "base image there"

    def __init__(self, host: Host, images: ImageSet, report: Report) -> None:
        self._host = host
        self._images = images
        self._report = report

    def plan(self) -> Sequence[Change]:
        base = self._images.base
        missing = self._images.missing(self._host)
        needed = list(dict.fromkeys(one for service in missing for one in base.needed_by(service)))
        with closing(engine_client(self._host)) as client:
            there = present(needed, client)
        return [self._change(reference) for reference in needed if reference not in there]

    def _change(self, reference: str) -> Change:
        if self._images.base.choice == "official":
            return Change(f"pull {reference}", lambda: self._pull(reference))
        return Change(f"make {reference} with debootstrap", lambda: self._bootstrap(reference))

    def _pull(self, reference: str) -> None:
        try:
            run_docker(
                self._host,
                "docker",
                "pull",
                reference,
                timeout=PULL_TIMEOUT,
                on_line=lambda line: self._report.progress(f"pull: {line}"),
            )
        except (CommandFailed, CommandTimedOut) as error:
            raise HostError(
                f"{error}\n  The registry answered at first: repeat the command, or pull the image by hand to see more"
            ) from error

    def _bootstrap(self, tag: str) -> None:
        images = self._images
        BaseBuilder(self._host, self._report, images.repository, images.project, images.base.offered).build(tag)


class ImagesBuilt(Operation):
    """The images of this tree are there. Missing ones are built side by side, by one call of compose."""

    name = "images built"

    def __init__(self, host: Host, images: ImageSet, report: Report) -> None:
        self._host = host
        self._images = images
        self._report = report

    def plan(self) -> Sequence[Change]:
        missing = self._images.missing(self._host)
        if not missing:
            return []
        names = " and ".join(self._images.tags[service] for service in missing)
        return [Change(f"build {names}{self._why(missing)}", lambda: self._build(missing))]

    def _why(self, services: Sequence[str]) -> str:
        """The packages that moved since, where there are builds of the same files."""
        lines: set[str] = set()
        with closing(engine_client(self._host)) as client:
            before = builds_of_recipe(self._images.only(services).tags, client)
            for service, tag in before.items():
                lines |= set(moved(packages_of(tag, client), self._images.packages(service)))
        return f", since packages moved: {few(sorted(lines))}" if lines else ""

    def _build(self, services: Sequence[str]) -> None:
        images = self._images
        show = BuildProgress(self._report)
        with staged(self._host, images.repository, images.base, images.tags, services, images.project) as folder:
            compose = Compose(
                self._host,
                "labelrig-build",
                [f"{folder}/{path.name}" for path in sorted({path for one in services for path in build_files(one)})],
                f"{folder}/{BUILD_VARIABLES}",
                BUILD_NAMES,
            )
            try:
                # BuildKit whatever the variable says in the user's shell: the old builder knows no secrets.
                run_docker(
                    self._host,
                    "env",
                    "DOCKER_BUILDKIT=1",
                    *compose.argv("build", *services),
                    timeout=BUILD_TIMEOUT,
                    on_line=show.line,
                )
            except (CommandFailed, CommandTimedOut) as error:
                raise HostError(
                    f"the images could not be built ({' and '.join(services)}); the last lines of the build:\n"
                    + "\n".join(f"    {line}" for line in show.tail[-BUILD_LINES:])
                ) from error


class BuildProgress:
    """Turns BuildKit's log into lines for people: which step, and what it says."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._steps: dict[str, str] = {}
        self.tail: list[str] = []

    def line(self, text: str) -> None:
        """Take one line of the build's output. Safe to call from two reader threads: it appends and replaces only."""
        if not text.strip():
            return
        self.tail = [*self.tail[-BUILD_LINES:], text.rstrip()]
        if step := STEP.match(text):
            self._steps[step[1]] = step[2]
        if says := SAYS.match(text):
            self._report.progress(f"build {self._steps.get(says[1], '')}: {says[2]}")
