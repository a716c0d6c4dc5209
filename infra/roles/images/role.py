"""The role "images": the images of this tree, built only when something in them changed, or sent from here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
from infra.roles.images.work_folder import WorkFoldersGone

Way = Literal["auto", "host", "ship"]
OWN_BASE = "debootstrap"  # made by ourselves, so it can always be had


@dataclass(frozen=True)
class ImageOrigin:
    """The images of a stack, and how those that the host lacks get there: of the services `sent`, else built there."""

    images: ImageSet
    sent: frozenset[str]


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
        choice: build on them, on our own base, or (`auto`) on what most of the images that are there already are built
            on, and else on the published ones if a registry answers within seconds. It is not asked when the answer
            would not matter.
    """
    bases = _bases(host, repository, official)
    if choice == "auto":
        built = [service for service in services if service not in (own or {})]
        there = _images_of(host, repository, bases, built)
        base = bases[_complete(there, built) or _buildable(host, bases, built, there, report)]
    else:
        base = bases[choice]
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
        way: build them there, send them from here, or (`auto`) for each image: take it where it is there, else send
            it where this machine's engine has it, else build it there.

    Raises:
        CannotKnow: what they are built on is decided by an engine that does not run yet.
        HostError: they are to be sent, and this machine has no engine, or another processor.
    """
    built = [service for service in services if service not in own]
    sends = way != "host" and _may_send(here, host, required=way == "ship")
    if way == "ship":
        images = plan_images(here, repository, settings, report, services=services, own=own)
        return ImageOrigin(images, frozenset(built))
    bases = _bases(host, repository)
    ready = engine_state(host) is EngineState.ANSWERS
    there = _images_of(host, repository, bases, built) if ready else {}
    ours = _images_of(here, repository, bases, built) if sends else {}
    at_hand = {name: there.get(name, frozenset()) | ours.get(name, frozenset()) for name in bases}
    chosen = _complete(there, built) or _complete(at_hand, built)
    if chosen is None:
        if not ready:
            raise CannotKnow("which images are built on the host is decided by what its engine can pull")
        chosen = _buildable(host, bases, built, at_hand, report)
    sent = ours.get(chosen, frozenset()) - there.get(chosen, frozenset())
    return ImageOrigin(_image_set(repository, settings, bases[chosen], services, own), sent)


def images_role(host: Host, images: ImageSet, report: Report) -> list[Operation]:
    """Return the operations after which the images of `images` are there, built where they run."""
    return [WorkFoldersGone(host, images.project, report), *_built(host, images, report)]


def shipped_images_role(here: Host, host: Host, origin: ImageOrigin, report: Report) -> list[Operation]:
    """Return the operations after which another machine has its images."""
    images = origin.images
    lacking = images.missing(host) if engine_state(host) is EngineState.ANSWERS else list(images.tags)
    built_here = images.only([service for service in lacking if service in origin.sent])
    built_there = images.only([service for service in images.tags if service not in origin.sent | images.own])
    travel = [tag for service, tag in images.tags.items() if service in origin.sent | images.own]
    return [
        WorkFoldersGone(host, images.project, report),
        *(_built(here, built_here, report) if built_here.tags else []),
        *(_built(host, built_there, report) if built_there.tags else []),
        ImagesShipped(here, host, travel, report),
    ]


def _built(host: Host, images: ImageSet, report: Report) -> list[Operation]:
    return [BaseThere(host, images, report), ImagesBuilt(host, images, report)]


def possible_images(
    repository: Path, services: Sequence[str] = SERVICES, machine: str | None = None
) -> list[frozenset[str]]:
    """The tags of this tree for each base it may be built on. Needs no engine."""
    bases = (official_base(OfficialImages()), debootstrap_base(repository, machine))
    return [frozenset(image_tags(repository, base, services).values()) for base in bases]


def sendable_images(here: Host, machine: str, way: Way, possible: Collection[frozenset[str]]) -> frozenset[str]:
    """Those of the possible images that `way` would send from this machine rather than build on the host.

    Args:
        machine: the host's processor, as `uname -m` prints it.
    """
    tags = frozenset[str]().union(*possible)
    if way != "auto":
        return tags if way == "ship" else frozenset()
    if engine_state(here) is not EngineState.ANSWERS or _processor(here) != machine:
        return frozenset()
    with closing(engine_client(here)) as client:
        return frozenset(present(sorted(tags), client))


def _bases(host: Host, repository: Path, official: OfficialImages | None = None) -> dict[str, Base]:
    machine = None if host.is_local else _processor(host)
    return {
        "official": official_base(official or OfficialImages()),
        OWN_BASE: debootstrap_base(repository, machine),
    }


def _processor(host: Host) -> str:
    return host.run("uname", "-m").stdout.strip()


def _image_set(
    repository: Path, settings: Settings, base: Base, services: Sequence[str], own: Mapping[str, str]
) -> ImageSet:
    return ImageSet(
        image_tags(repository, base, services) | dict(own), base, repository, settings.project, frozenset(own)
    )


def _may_send(here: Host, host: Host, *, required: bool) -> bool:
    """Whether images of this machine's engine run on the other one.

    Raises:
        HostError: they do not, and must be sent.
    """
    if engine_state(here) is not EngineState.ANSWERS:
        if required:
            raise HostError(f"images are to be sent to {host.name} (`images: ship`), and no Docker engine runs here")
        return False
    ours, theirs = _processor(here), _processor(host)
    if required and ours != theirs:
        raise HostError(
            f"images are to be sent to {host.name} (`images: ship`), and those of this machine are for another "
            f"processor ({ours}, there it is {theirs}); `images: host` builds them there"
        )
    return ours == theirs


def _images_of(
    host: Host, repository: Path, bases: Mapping[str, Base], services: Sequence[str]
) -> dict[str, frozenset[str]]:
    """For each base the services whose image, built on it, an engine has."""
    found: dict[str, frozenset[str]] = {}
    with closing(engine_client(host)) as client:
        for name, base in bases.items():
            tags = image_tags(repository, base, services)
            there = set(present(list(tags.values()), client))
            found[name] = frozenset(service for service, tag in tags.items() if tag in there)
    return found


def _complete(found: Mapping[str, frozenset[str]], services: Sequence[str]) -> str | None:
    """The base for which no image is missing."""
    return next((name for name, there in found.items() if there.issuperset(services)), None)


def _buildable(
    host: Host, bases: Mapping[str, Base], services: Sequence[str], found: Mapping[str, frozenset[str]], report: Report
) -> str:
    """The base to build the missing images on: that of most images at hand, where it can be had.

    What an image can be built on without a question comes before what a registry must be asked for.
    """
    needed = {
        name: list(dict.fromkeys(need for one in services if one not in found[name] for need in base.needed_by(one)))
        for name, base in bases.items()
    }
    with closing(engine_client(host)) as client:
        at_once = {name for name, references in needed.items() if present(references, client) == references}
    for name in sorted(bases, key=lambda name: (-len(found[name]), name not in at_once)):
        if name in at_once or name == OWN_BASE:
            return name
        report.progress(f"asking the registry for {', '.join(needed[name])}")
        if registry_answers(host, needed[name]):
            return name
    return OWN_BASE
