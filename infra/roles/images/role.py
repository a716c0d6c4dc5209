"""The role "images": the images of this tree, built only when something in them changed, or sent from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import CannotKnow, HostError
from core.operation import Operation
from core.report import Report
from hosts.base import Host
from infra.config.settings import Settings
from infra.roles.docker.client import EngineState, engine_client, engine_state
from infra.roles.images.build import BaseThere, ImagesBuilt, ImageSet
from infra.roles.images.registry import present, registry_answers
from infra.roles.images.ship import ImagesShipped
from infra.roles.images.tags import (
    SERVICES,
    Base,
    OfficialImages,
    debootstrap_base,
    image_tags,
    official_base,
)

Way = Literal["auto", "host", "ship"]


@dataclass(frozen=True)
class ImageOrigin:
    """The images of a stack and how they get to its host: `ships` from `here`, or built where they run."""

    images: ImageSet
    ships: bool


def plan_images(
    host: Host,
    repository: Path,
    settings: Settings,
    report: Report,
    *,
    services: Sequence[str] = SERVICES,
    own: Mapping[str, str] | None = None,
    official: OfficialImages | None = None,
    choice: Literal["auto", "official", "debootstrap"] = "auto",
) -> ImageSet:
    """Say which images this tree needs. Needs a running engine; changes nothing.

    Args:
        host: the machine of the engine.
        repository: the root of this repository.
        settings: whose project name the images are labelled with.
        report: gets a line when a registry is asked.
        services: those that the stack has.
        own: service -> an image of the lab's own, which is used as it is.
        official: the published images to build on.
        choice: build on them, on our own base, or (`auto`) on what is there already, and else on the published
            ones if a registry answers within seconds. It is not asked when the answer would not matter.
    """
    bases = _bases(host, repository, official)
    base = bases[choice] if choice != "auto" else _choose(host, repository, bases, services, report)
    return _image_set(repository, settings, base, services, own or {})


def resolve_images(
    here: Host,
    host: Host,
    repository: Path,
    settings: Settings,
    report: Report,
    *,
    way: Way,
    services: Sequence[str],
    own: Mapping[str, str],
) -> ImageOrigin:
    """Say which images another machine gets, and how. Changes nothing.

    Args:
        here: this machine.
        host: the other one.
        way: build them there, send them from here, or (`auto`) take what is there, else send what this machine's
            engine has, else build them there.

    Raises:
        CannotKnow: what they are built on is decided by an engine that does not run yet.
        HostError: they are to be sent, and this machine has no engine, or another processor.
    """
    ready = engine_state(host) is EngineState.ANSWERS
    built = [service for service in services if service not in own]
    if way != "host":
        found = _complete(host, repository, built) if ready else None
        if found is not None and way == "auto":
            return ImageOrigin(_image_set(repository, settings, found, services, own), ships=True)
        has_engine = engine_state(here) is EngineState.ANSWERS
        if way == "ship" and not has_engine:
            raise HostError(f"images are to be sent to {host.name} (`images: ship`), and no Docker engine runs here")
        same = has_engine and _processor(here) == _processor(host)
        if way == "ship" and not same:
            raise HostError(
                f"images are to be sent to {host.name} (`images: ship`), and those of this machine are for another "
                f"processor ({_processor(here)}, there it is {_processor(host)}); `images: host` builds them there"
            )
        if same and (way == "ship" or _complete(here, repository, built) is not None):
            images = plan_images(here, repository, settings, report, services=services, own=own)
            return ImageOrigin(images, ships=True)
    if not ready:
        raise CannotKnow("which images are built on the host is decided by what its engine can pull")
    return ImageOrigin(plan_images(host, repository, settings, report, services=services, own=own), ships=False)


def images_role(host: Host, images: ImageSet, report: Report) -> list[Operation]:
    """Return the operations after which the images of `images` are there, built where they run."""
    return [BaseThere(host, images, report), ImagesBuilt(host, images, report)]


def shipped_images_role(here: Host, host: Host, origin: ImageOrigin, report: Report) -> list[Operation]:
    """Return the operations after which another machine has its images."""
    images = origin.images
    own = [images.tags[service] for service in sorted(images.own)]
    if not origin.ships:
        return [*images_role(host, images, report), ImagesShipped(here, host, own, report)]
    missing = engine_state(host) is not EngineState.ANSWERS or images.missing(host)
    built_here = images_role(here, images, report) if missing else []
    return [*built_here, ImagesShipped(here, host, list(images.tags.values()), report)]


def possible_images(
    repository: Path, services: Sequence[str] = SERVICES, machine: str | None = None
) -> list[frozenset[str]]:
    """The tags of this tree for each base it may be built on. Needs no engine."""
    bases = (official_base(OfficialImages()), debootstrap_base(repository, machine))
    return [frozenset(image_tags(repository, base, services).values()) for base in bases]


def _bases(host: Host, repository: Path, official: OfficialImages | None = None) -> dict[str, Base]:
    machine = None if host.is_local else _processor(host)
    return {
        "official": official_base(official or OfficialImages()),
        "debootstrap": debootstrap_base(repository, machine),
    }


def _processor(host: Host) -> str:
    return host.run("uname", "-m").stdout.strip()


def _image_set(
    repository: Path, settings: Settings, base: Base, services: Sequence[str], own: Mapping[str, str]
) -> ImageSet:
    return ImageSet(
        image_tags(repository, base, services) | dict(own), base, repository, settings.project, frozenset(own)
    )


def _complete(host: Host, repository: Path, services: Sequence[str]) -> Base | None:
    """The base for which the engine has every image already."""
    with closing(engine_client(host)) as client:
        for base in _bases(host, repository).values():
            tags = list(image_tags(repository, base, services).values())
            if present(tags, client) == tags:
                return base
    return None


def _choose(host: Host, repository: Path, bases: dict[str, Base], services: Sequence[str], report: Report) -> Base:
    official, own = bases["official"], bases["debootstrap"]
    with closing(engine_client(host)) as client:
        # All of a kind is best: nothing to build. Then what an image can be built on without a question.
        for base in (official, own):
            tags = list(image_tags(repository, base, services).values())
            if present(tags, client) == tags:
                return base
        for base in (official, own):
            references = [base.label_studio, base.sam2]
            if present(references, client) == references:
                return base
    report.progress(f"asking the registry for {official.label_studio}")
    return official if registry_answers(host, [official.label_studio, official.sam2]) else own
