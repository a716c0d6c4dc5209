"""The role "images": the two images of this tree, built only when something in them changed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Literal

from infra.hosts.base import Host
from infra.operation import Operation
from infra.operations.engine_client import engine_client
from infra.operations.image_build import BaseThere, ImagesBuilt, ImageSet
from infra.operations.image_recipe import (
    Base,
    OfficialImages,
    debootstrap_base,
    image_tags,
    official_base,
)
from infra.operations.image_registry import present, registry_answers
from infra.report import Report
from infra.settings import Settings


def plan_images(
    host: Host,
    repository: Path,
    settings: Settings,
    report: Report,
    *,
    official: OfficialImages | None = None,
    choice: Literal["auto", "official", "debootstrap"] = "auto",
) -> ImageSet:
    """Say which images this tree needs. Needs a running engine; changes nothing.

    Args:
        host: the machine of the engine.
        repository: the root of this repository.
        settings: whose project name the images are labelled with.
        report: told when a registry is asked.
        official: the published images to build on.
        choice: build on them, on our own base, or (`auto`) on what is there already, and else on the published
            ones if a registry answers within seconds. It is not asked when the answer would not matter.
    """
    bases = {
        "official": official_base(official or OfficialImages()),
        "debootstrap": debootstrap_base(repository),
    }
    base = bases[choice] if choice != "auto" else _choose(repository, bases, report)
    tags = image_tags(repository, base)
    return ImageSet(tags["label-studio"], tags["sam2"], base, repository, settings.project)


def images_role(host: Host, images: ImageSet, report: Report) -> list[Operation]:
    """Return the operations after which the images of `images` are there."""
    return [BaseThere(host, images, report), ImagesBuilt(host, images, report)]


def _choose(repository: Path, bases: dict[str, Base], report: Report) -> Base:
    official, own = bases["official"], bases["debootstrap"]
    with closing(engine_client()) as client:
        # All of a kind is best: nothing to build. Then what an image can be built on without a question.
        for base in (official, own):
            tags = list(image_tags(repository, base).values())
            if present(tags, client) == tags:
                return base
        for base in (official, own):
            references = [base.label_studio, base.sam2]
            if present(references, client) == references:
                return base
    report.progress(f"asking the registry for {official.label_studio}")
    return official if registry_answers([official.label_studio, official.sam2]) else own


def possible_images(repository: Path) -> list[frozenset[str]]:
    """The tags of this tree for each base it may be built on. Needs no engine."""
    bases = (official_base(OfficialImages()), debootstrap_base(repository))
    return [frozenset(image_tags(repository, base).values()) for base in bases]
