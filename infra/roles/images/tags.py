"""What goes into each image, and the tag that follows from it: the same tree always has the same tags."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from core.errors import SettingsError
from core.repository import own_version
from infra.roles.images.debootstrap import base_tag
from infra.roles.images.packages import Offered, package_names, recipe_of

BaseChoice = Literal["official", "debootstrap"]
LABEL_STUDIO = "label-studio"
SAM2 = "sam2"
CLUSTER = "sam2-cluster"  # the same with Ray, in its place on the hosts that serve together
DB = "db"
PROXY = "proxy"
HAPROXY = "haproxy"  # in front of the backend on the head of hosts that serve together
BACKUP = "backup"
SERVICES = (LABEL_STUDIO, SAM2, PROXY)  # of every stack; a database server and backups are wanted by some
POSTGRES_MAJOR = "15"  # Debian bookworm's; another one cannot read its data folder
CADDY = "2.6"  # Debian bookworm's
RESTIC = "0.14"  # Debian bookworm's
HAPROXY_VERSION = "2.6"  # Debian bookworm's
IMAGES = Path("infra/roles/images/dockerfiles")
BUILD_FILE = IMAGES / "build.yaml"
CLUSTER_BUILD_FILE = IMAGES / "build-cluster.yaml"
HAPROXY_BUILD_FILE = IMAGES / "build-haproxy.yaml"
BUILD_FILES = (BUILD_FILE, CLUSTER_BUILD_FILE, HAPROXY_BUILD_FILE)
BACKEND = ("backend", "labeling", "masks")  # our packages in the SAM2 image
BACKUP_PROGRAM = Path("infra/roles/backup/inside")  # what the backup image runs
COMPANION = Path("companion")  # our script in Label Studio's pages
FOLDERS = {
    LABEL_STUDIO: "label-studio",
    SAM2: "sam2",
    DB: "postgres",
    PROXY: "proxy",
    BACKUP: "backup",
    CLUSTER: "sam2-cluster",
    HAPROXY: "haproxy",
}
TOGETHER = (CLUSTER, HAPROXY)  # only hosts that serve together have them
SAM2_SCRIPTS = ("apt-install.sh", "pip-install.sh", "torch-install.sh", "make-user.sh", "harden.sh")
SAM2_LOCKS = ("torch.lock", "torch-cuda.lock", "backend.lock", "sam2-build.lock", "sam2.lock")
SCRIPTS = {
    LABEL_STUDIO: ("apt-install.sh", "pip-install.sh", "make-user.sh", "harden.sh"),
    SAM2: SAM2_SCRIPTS,
    CLUSTER: SAM2_SCRIPTS,
    DB: ("apt-install.sh", "make-user.sh", "harden.sh"),
    PROXY: ("apt-install.sh", "make-user.sh", "harden.sh"),
    BACKUP: ("apt-install.sh", "harden.sh"),
    HAPROXY: ("apt-install.sh", "make-user.sh", "harden.sh"),
}
REQUIREMENTS = {
    LABEL_STUDIO: ("label-studio.lock", "gunicorn.lock"),
    SAM2: SAM2_LOCKS,
    CLUSTER: (*SAM2_LOCKS, "cluster.lock"),
    DB: (),
    PROXY: (),
    BACKUP: (),
    HAPROXY: (),
}
JUNK = re.compile(r"^\.|~$|\.py[co]$|^__pycache__$")


@dataclass(frozen=True)
class OfficialImages:
    """The published images to build on. Tests name those of a registry of their own."""

    # As one other project recorded it. Where the registry does not have it for the processor, the package is installed.
    label_studio: str = (
        "heartexlabs/label-studio:1.23.2@sha256:afcc516a22775a39d0d66f4c2ddc95d01be3e3d3862b21fcf4f9de34b4ad4e12"
    )
    # Python 3.11.16, as many independent projects recorded it.
    python: str = "python:3.11-slim-bookworm@sha256:528257d48c1da0dcecc2e725d1ae34498d60c965f1241e39cd6a85a8859bdf84"


@dataclass(frozen=True)
class Base:
    """What the images are built on: image references, which of the two ways they come, and the packages to be had."""

    choice: BaseChoice
    label_studio: str
    sam2: str
    offered: Offered = field(default_factory=Offered)

    def of(self, service: str) -> str:
        """The image that a service's image is built on."""
        return self.label_studio if service == LABEL_STUDIO else self.sam2

    def needed_by(self, service: str) -> tuple[str, ...]:
        """The images that must be there to build a service's image; Label Studio's server is fetched in another one."""
        return (self.label_studio, self.sam2) if service == LABEL_STUDIO else (self.sam2,)

    def recipe(self, service: str) -> str:
        """The same without the versions of Debian packages, which are in an image's name already."""
        return recipe_of(self.of(service)) if self.choice == "debootstrap" else self.of(service)


def official_base(images: OfficialImages, offered: Offered | None = None) -> Base:
    """Build on published images."""
    return Base("official", images.label_studio, images.python, offered or Offered())


def debootstrap_base(repository: Path, machine: str | None = None, offered: Offered | None = None) -> Base:
    """Build on our own base image, made from the Debian mirror.

    Args:
        machine: the processor, as `uname -m` prints it, of the machine whose engine it is for; by default this one's.
        offered: the versions of packages that the suites have.
    """
    known = offered or Offered()
    tag = base_tag(repository, machine or platform.machine(), known)
    return Base("debootstrap", tag, tag, known)


def context_files(repository: Path, service: str) -> dict[str, Path]:
    """The files that a service's image is built from: path in the build context -> path in the repository.

    Raises:
        SettingsError: one is missing, so the tree is not complete.
    """
    folder = repository / IMAGES / FOLDERS[service]
    files = {"Dockerfile": folder / "Dockerfile"}
    files |= {f"build/{name}": repository / IMAGES / name for name in SCRIPTS[service]}
    files |= {f"requirements/{name}": repository / "requirements" / name for name in REQUIREMENTS[service]}
    if service in (SAM2, CLUSTER):
        sources = (path for name in BACKEND for path in _tree(repository / name))
        files |= {path.relative_to(repository).as_posix(): path for path in sources}
    if service == LABEL_STUDIO:  # apart from `build`: a change of the script must not install everything again
        modules = {path for path in _tree(repository / COMPANION) if path.suffix == ".js"}
        modules.add(repository / COMPANION / "main.js")  # named as missing where all are
        files |= {path.relative_to(repository).as_posix(): path for path in modules}
        files |= {f"pages/{name}": folder / name for name in ("add_companion.py", "clicked_task.py")}
        files |= {"database/fresh_database.py": folder / "fresh_database.py"}
        files |= {path.relative_to(folder).as_posix(): path for path in _tree(folder / "server")}
    if service in (DB, PROXY, HAPROXY):
        files |= {path.relative_to(folder).as_posix(): path for path in _tree(folder)}
    if service == BACKUP:
        files |= {path.relative_to(repository).as_posix(): path for path in _tree(repository / BACKUP_PROGRAM)}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        raise SettingsError(
            f"the image {service} cannot be built, the repository lacks {', '.join(missing)}; restore it with git"
        )
    return files


def image_tags(repository: Path, base: Base, services: Sequence[str] = SERVICES) -> dict[str, str]:
    """The tag of the image of each of `services` when built on `base`.

    It ends with the digest of the versions of its Debian packages: see `infra.roles.images.packages.recipe_of`.
    """
    versions = {
        LABEL_STUDIO: pinned_version(repository / "requirements" / "label-studio.in", "label-studio"),
        SAM2: own_version(repository),
        CLUSTER: own_version(repository),
        DB: POSTGRES_MAJOR,
        PROXY: CADDY,
        BACKUP: RESTIC,
        HAPROXY: HAPROXY_VERSION,
    }
    return {
        service: f"labelrig/{FOLDERS[service]}:{versions[service]}-"
        + _digest(context_files(repository, service), [repository / one for one in build_files(service)], base, service)
        + f"-{base.offered.digest(package_names(repository, FOLDERS[service]))}"
        for service in services
    }


def build_files(service: str) -> tuple[Path, ...]:
    """The files of compose that say how the image of a service is built."""
    own = {CLUSTER: (CLUSTER_BUILD_FILE,), HAPROXY: (HAPROXY_BUILD_FILE,)}
    return (BUILD_FILE, *own.get(service, ()))


def pinned_version(path: Path, name: str) -> str:
    """Read `NAME==VERSION` from a requirements file.

    Raises:
        SettingsError: it is not there, or not pinned.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}; restore it with git") from error
    for line in lines:
        text = line.partition("#")[0].strip()
        if text and (requirement := Requirement(text)).name == name:
            (clause,) = requirement.specifier
            if clause.operator == "==":
                return clause.version
    raise SettingsError(f"{path} does not pin {name}==VERSION; restore it with git")


def _digest(files: Mapping[str, Path], build: Sequence[Path], base: Base, service: str) -> str:
    digest = hashlib.sha256(f"{base.choice}\0{base.recipe(service)}\0".encode())
    for path in build:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for name, path in sorted(files.items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _tree(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if JUNK.search(path.name):
            continue
        if path.is_dir():
            yield from _tree(path)
        else:
            yield path
