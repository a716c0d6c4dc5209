"""What labelrig left on a machine and nothing needs any more: found, with sizes, and removed one by one.

Only what carries labelrig's mark is looked at: images with its name or label, containers of one-shot runs of the stack
itself, its releases, its work folders; of its volumes nothing but what an upgrade kept and a verified backup holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import requests
from docker.errors import DockerException

from core.errors import HostError
from core.repository import REPOSITORY
from core.text import size_text
from hosts.base import Host
from infra.deploy.prune import BASE, needed_images, unneeded_images
from infra.fleet.session import Session
from infra.lifecycle.drill_remains import DrillRemains
from infra.lifecycle.old_data import OldData
from infra.lifecycle.upgrade_changes import old_data_of
from infra.lifecycle.upgraded import Upgraded, not_needed, read_upgraded, write_upgraded
from infra.releases.manifest import prunable
from infra.roles.docker.client import EngineState, engine_client, engine_state
from infra.roles.images.packages import recipe_of
from infra.roles.images.remove import LABEL, removable_images
from infra.roles.images.tags import FOLDERS, OfficialImages, debootstrap_base, image_tags, official_base
from infra.roles.images.work_folder import left_folders, remove_folder
from infra.roles.preflight.role import LABEL_PROJECT
from infra.stack.site import Site

if TYPE_CHECKING:
    from docker import DockerClient

Kind = Literal["release", "image", "container", "work folder", "data of before an upgrade", "drill"]
OUR_TAG = re.compile(r"labelrig/[a-z0-9-]+:[A-Za-z0-9_.-]+")
ENDED = ("created", "exited", "dead")
DU_TIMEOUT = 300.0


@dataclass(frozen=True)
class Leftover:
    """One thing that can go.

    Attributes:
        kind: what it is.
        name: by which a person knows it.
        bytes: what it takes by itself; of images that share layers less comes free. None where that is unknown.
        remove: removes it; raises a LabelrigError.
    """

    kind: Kind
    name: str
    bytes: int | None
    remove: Callable[[], None]

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by from one look to the next."""
        return self.kind, self.name

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"kind": self.kind, "name": self.name, "bytes": self.bytes}

    def row(self) -> tuple[str, str]:
        """For a table."""
        return f"{self.kind}  {self.name}", "?" if self.bytes is None else size_text(self.bytes)


def find_leftovers(one: Session) -> list[Leftover]:
    """Everything of one stack and its machine that can go, in the order in which it is removed. Changes nothing.

    Raises:
        LabelrigError: the machine or its engine cannot be asked.
    """
    releases = list(_releases(one)) if not one.host.is_local else []
    in_engine: list[Leftover] = []
    if engine_state(one.host) is EngineState.ANSWERS:
        in_engine = [*_drill(one), *_containers(one), *_images(one, [left.name for left in releases])]
    else:
        one.report.notice(f"{one.host.name}: no Docker engine answers, so images are not looked at")
    return [*releases, *in_engine, *_work_folders(one), *_old_data(one)]


def build_cache(one: Session) -> int | None:
    """The bytes of the engine's build cache, which others use too; None where that is unknown."""
    try:
        with closing(engine_client(one.host)) as engine:
            parts = engine.df().get("BuildCache") or []
    except (HostError, DockerException, requests.RequestException):
        return None
    return sum(int(part.get("Size") or 0) for part in parts if not part.get("InUse"))


def _releases(one: Session) -> Iterator[Leftover]:
    found = one.releases.read()
    for release in prunable(found.releases, found.current_id, one.host_settings.keep_releases):
        path = f"{one.base}/releases/{release}"
        yield Leftover("release", str(release), _size(one.host, path), partial(one.releases.remove, [release]))


def _work_folders(one: Session) -> Iterator[Leftover]:
    for folder in left_folders(one.host, _project(one)):
        yield Leftover("work folder", folder, _size(one.host, folder), partial(remove_folder, one.host, folder))


def _drill(one: Session) -> Iterator[Leftover]:
    """What a drill left that was cut off: all data of the stack, once more."""
    remains = DrillRemains(one.site_to_diagnose())
    if remains.are_there():
        one.report.notice(f"{one.host.name}: a drill was cut off, or goes on; where it goes on, let it end first")
        yield Leftover("drill", remains.project, None, remains.remove)


def _old_data(one: Session) -> Iterator[Leftover]:
    """What an upgrade kept, once a backup that was made since was verified."""
    site = one.site_to_diagnose()
    for upgraded in not_needed(site):
        old = old_data_of(site, upgraded.stamp, upgraded.postgres, one.report)
        yield Leftover("data of before an upgrade", old.place, None, partial(_forget, site, upgraded, old))


def _forget(site: Site, upgraded: Upgraded, old: OldData) -> None:
    old.forget()
    write_upgraded(site, [row for row in read_upgraded(site) if row != upgraded])


def _project(one: Session) -> str:
    return one.site_to_diagnose().settings.project


def _size(host: Host, path: str) -> int | None:
    done = host.run("du", "-sxk", path, ok=(0, 1), timeout=DU_TIMEOUT, as_root=not host.is_local)
    words = done.stdout.split()
    return int(words[0]) << 10 if words and words[0].isdecimal() else None


def _remove_in_engine(host: Host, what: str, body: Callable[[DockerClient], object]) -> None:
    try:
        with closing(engine_client(host)) as engine:
            body(engine)
    except (DockerException, requests.RequestException) as error:
        raise HostError(f"{host.name}: {what} cannot be removed: {error}") from error


def _containers(one: Session) -> Iterator[Leftover]:
    """Containers of one-shot runs that were killed: compose removes them when they end in an orderly way."""
    labels = [f"{LABEL_PROJECT}={_project(one)}", "com.docker.compose.oneoff=True"]
    filters: dict[str, Any] = {"label": labels, "status": list(ENDED)}
    with closing(engine_client(one.host)) as engine:
        found = [str(it.name) for it in engine.containers.list(all=True, filters=filters, ignore_removed=True)]
    for name in found:
        yield Leftover("container", name, None, partial(_remove_in_engine, one.host, name, _container_gone(name)))


def _container_gone(name: str) -> Callable[[DockerClient], object]:
    return lambda engine: engine.containers.get(name).remove()


def _images(one: Session, releases: Sequence[str]) -> Iterator[Leftover]:
    """Images of ours that no release, no container and, on this machine, no build of this clone needs."""
    with closing(engine_client(one.host)) as engine:
        try:
            names = _of_this_machine(one) if one.host.is_local else _of_a_host(one, engine, releases)
            known = {tag: image for image in engine.images.list() for tag in (*image.tags, image.id)}
            used = {container["ImageID"] for container in engine.api.containers(all=True)}
            dangling = engine.images.list(filters={"dangling": True, "label": LABEL})
        except (DockerException, requests.RequestException) as error:
            raise HostError(f"{one.host.name}: the docker engine does not list its images: {error}") from error
    untagged = [image for image in dangling if image.id not in used and image.id not in names]
    known |= {str(image.id): image for image in untagged}
    for name in [*names, *(str(image.id) for image in untagged)]:
        size = known[name].attrs.get("Size") if name in known else None
        yield Leftover("image", name, size, partial(_remove_in_engine, one.host, name, _image_gone(name)))


def _image_gone(name: str) -> Callable[[DockerClient], object]:
    return lambda engine: engine.images.remove(name)


def _of_a_host(one: Session, engine: DockerClient, releases: Sequence[str]) -> list[str]:
    gone = [f"{one.base}/releases/{release}" for release in releases]
    needed = needed_images(one.host, one.host_settings.root, gone)
    return [tag for tag, _ in unneeded_images(engine, needed)] + _old_bases(engine)


def _old_bases(engine: DockerClient) -> list[str]:
    """Base images but the newest: no build takes another one. Those that images are built on only lose their name."""
    bases = [(str(image.attrs["Created"]), tag) for image in engine.images.list() for tag in image.tags]
    return [tag for _, tag in sorted((made, tag) for made, tag in bases if tag.startswith(BASE))[:-1]]


def _of_this_machine(one: Session) -> list[str]:
    """What this project built, but what its stack names, and the newest build of each image of this clone's files.

    Images are sent to servers from here: what this clone would build again stays.
    """
    found = removable_images(one.host, _project(one))
    kept, newest = _named(one), set[str]()
    current = _recipes()
    for name in found:  # the newest first
        recipe = recipe_of(name)
        if recipe in current and recipe not in newest:
            newest.add(recipe)
            kept.add(name)
    return [name for name in found if name not in kept]


def _recipes() -> set[str]:
    """The images that this clone builds, by name without the versions of their packages; on either base."""
    bases = (debootstrap_base(REPOSITORY), official_base(OfficialImages()))
    tags = [tag for base in bases for tag in (*image_tags(REPOSITORY, base, tuple(FOLDERS)).values(), base.sam2)]
    return {recipe_of(tag) for tag in tags}


def _named(one: Session) -> set[str]:
    """The images that the files of the stack name."""
    done = one.host.run("find", one.site_to_diagnose().state, "-maxdepth", "2", "-name", "*.env", "-print0", ok=(0, 1))
    texts = [one.host.read(path) or b"" for path in filter(None, done.stdout.split("\0"))]
    return {tag for text in texts for tag in OUR_TAG.findall(text.decode("utf-8", "replace"))}
