"""The role "images": the images of this tree, built only when something in them changed, or sent from here."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.errors import CannotKnow, HostError
from core.operation import Operation
from core.report import Report
from hosts.base import Host
from infra.config.settings import Settings
from infra.roles.docker.client import EngineState, engine_client, engine_state
from infra.roles.images.build import BaseThere, ImagesBuilt, ImageSet
from infra.roles.images.packages import Offered, package_names, recipe_of
from infra.roles.images.registry import builds_of_recipe, present, registry_answers
from infra.roles.images.ship import ImagesShipped
from infra.roles.images.suites import DAY, Suites
from infra.roles.images.tags import (
    FOLDERS,
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
    max_age: float = DAY,
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
        max_age: seconds for which what the Debian suites offered counts.
    """
    offered = read_offered(host, repository, None, report, max_age=max_age)
    bases = _bases(host, repository, offered, official)
    if choice != "auto":
        return _image_set(repository, settings, bases[choice], services, own or {})
    built = [service for service in services if service not in (own or {})]
    there = _images_of(host, repository, bases, built, keep=_keeps(settings, offered))
    name = _complete(there, built) or _buildable(host, repository, bases, built, there, report)
    return _image_set(repository, settings, bases[name], services, own or {}, there[name])


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
    offered = read_offered(here, repository, _processor(host), report)
    bases = _bases(host, repository, offered)
    keep = _keeps(settings, offered)
    ready = engine_state(host) is EngineState.ANSWERS
    there = _images_of(host, repository, bases, built, keep=keep) if ready else {}
    ours = _images_of(here, repository, bases, built, keep=keep) if sends else {}
    at_hand = {name: ours.get(name, {}) | there.get(name, {}) for name in bases}
    chosen = _complete(there, built) or _complete(at_hand, built)
    if chosen is None:
        if not ready:
            raise CannotKnow("which images are built on the host is decided by what its engine can pull")
        chosen = _buildable(host, repository, bases, built, at_hand, report)
    sent = frozenset(ours.get(chosen, {})) - frozenset(there.get(chosen, {}))
    return ImageOrigin(_image_set(repository, settings, bases[chosen], services, own, at_hand[chosen]), sent)


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


def read_offered(here: Host, repository: Path, machine: str | None, report: Report, *, max_age: float = DAY) -> Offered:
    """The versions of our images' Debian packages that the suites have, for one kind of processor.

    Args:
        here: this machine, which reads them for all hosts, so that the same tree has the same names on all of them.
        machine: the processor, as `uname -m` prints it; by default this machine's.
        max_age: seconds for which what was read before counts.
    """
    suites = Suites(here, machine or platform.machine())
    return suites.offered(package_names(repository, *FOLDERS.values()), report, max_age=max_age)


def possible_images(
    here: Host,
    repository: Path,
    settings: Settings,
    report: Report,
    services: Sequence[str] = SERVICES,
    machine: str | None = None,
) -> list[frozenset[str]]:
    """The tags of this tree for each base it may be built on. Needs no engine.

    Where images are kept whatever the Debian suites offer, the tags without the digest of their packages.
    """
    offered = read_offered(here, repository, machine, report)
    bases = (official_base(OfficialImages(), offered), debootstrap_base(repository, machine, offered))
    tags = [image_tags(repository, base, services).values() for base in bases]
    return [frozenset(map(recipe_of, some) if _keeps(settings, offered) else some) for some in tags]


def names_there(client: Any) -> frozenset[str]:
    """The tags that an engine has, each also without the digest of its packages."""
    tags = {tag for image in client.images.list() for tag in image.tags}
    return frozenset(tags | {recipe_of(tag) for tag in tags if recipe_of(tag)})


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
        return tags & names_there(client)


def _bases(host: Host, repository: Path, offered: Offered, official: OfficialImages | None = None) -> dict[str, Base]:
    machine = None if host.is_local else _processor(host)
    return {
        "official": official_base(official or OfficialImages(), offered),
        OWN_BASE: debootstrap_base(repository, machine, offered),
    }


def _keeps(settings: Settings, offered: Offered) -> bool:
    """Whether an image is used that was built with other versions of its Debian packages."""
    return settings.image_updates == "keep" or not offered.known


def _processor(host: Host) -> str:
    return host.run("uname", "-m").stdout.strip()


def _image_set(
    repository: Path,
    settings: Settings,
    base: Base,
    services: Sequence[str],
    own: Mapping[str, str],
    there: Mapping[str, str] | None = None,
) -> ImageSet:
    tags = image_tags(repository, base, services) | dict(there or {}) | dict(own)
    return ImageSet(tags, base, repository, settings.project, frozenset(own))


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
    host: Host, repository: Path, bases: Mapping[str, Base], services: Sequence[str], *, keep: bool
) -> dict[str, dict[str, str]]:
    """For each base the services whose image, built on it, an engine has, and the image's tag.

    Args:
        keep: one of the same files with other versions of Debian packages will do.
    """
    found: dict[str, dict[str, str]] = {}
    with closing(engine_client(host)) as client:
        for name, base in bases.items():
            tags = image_tags(repository, base, services)
            there = set(present(list(tags.values()), client))
            found[name] = {service: tag for service, tag in tags.items() if tag in there}
            if keep and len(found[name]) < len(tags):
                found[name] = builds_of_recipe(tags, client) | found[name]
    return found


def _complete(found: Mapping[str, Mapping[str, str]], services: Sequence[str]) -> str | None:
    """The base for which no image is missing."""
    return next((name for name, there in found.items() if set(services) <= set(there)), None)


def _buildable(
    host: Host,
    repository: Path,
    bases: Mapping[str, Base],
    services: Sequence[str],
    found: Mapping[str, Mapping[str, str]],
    report: Report,
) -> str:
    """The base to build the missing images on: that of most images at hand, where it can be had.

    Images of the same files with other packages come next: a fix that is out is no reason for another base. Then what
    an image can be built on without a question, before what a registry must be asked for.
    """
    needed = {
        name: list(dict.fromkeys(need for one in services if one not in found[name] for need in base.needed_by(one)))
        for name, base in bases.items()
    }
    with closing(engine_client(host)) as client:
        at_once = {name for name, references in needed.items() if present(references, client) == references}
        before = {
            name: len(builds_of_recipe(image_tags(repository, base, services), client)) for name, base in bases.items()
        }
    for name in sorted(bases, key=lambda name: (-len(found[name]), -before[name], name not in at_once)):
        if name in at_once or name == OWN_BASE:
            return name
        report.progress(f"asking the registry for {', '.join(needed[name])}")
        if registry_answers(host, needed[name]):
            return name
    return OWN_BASE
