"""The link of the images' Debian packages: how old they are, and which fixes they lack."""

from __future__ import annotations

import io
import re
import tarfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from core.repository import REPOSITORY
from infra.doctor.diagnosis import Finding, ok, warning
from infra.doctor.inspection import Inspection
from infra.roles.images.packages import SUITE, few, package_names
from infra.roles.images.suites import Behind
from infra.roles.images.tags import FOLDERS

if TYPE_CHECKING:
    from docker.models.containers import Container

OLD_DAYS = 60
STATUS = "/var/lib/dpkg/status"
OS_RELEASE = "/usr/lib/os-release"
CODENAME = re.compile(r"^VERSION_CODENAME=[\"']?(\w+)", re.MULTILINE)


def check_updates(look: Inspection) -> Finding:
    """No package in a container is older than what the Debian suites offer, as far as this machine can see them."""
    names = {service: one.name for service in look.site.services if (one := look.container(service)) is not None}
    if not names:
        return ok("no container to look into")
    suites = look.suites(look.host.run("uname", "-m").stdout.strip())
    packages = package_names(REPOSITORY, *FOLDERS.values())
    offered = suites.offered(packages, look.report)
    with look.reading_files() as engine:
        containers = {service: engine.containers.get(name) for service, name in names.items()}
        days = max(_age_days(engine, one) for one in containers.values())
        inside = {service: _files(one) for service, one in containers.items()}
    age = f"images of {days:.0f} days ago" if days >= 1 else "images of today"
    if not offered.known:
        seen = f"{age}; what the Debian suites offer is not known: {offered.problem}"
        fix = f"let this machine reach a Debian mirror, then {look.again} builds them again"
        return warning(seen, fix) if days > OLD_DAYS else ok(seen)
    behind: dict[str, Behind] = {}
    unknown = []
    for service, (release, status) in inside.items():
        if release != SUITE or not status:
            unknown.append(f"{service} is {release or 'no Debian'}, of which nothing is known")
            continue
        behind |= {one.name: one for one in suites.behind(status)}
    notes = [*unknown, *([f"not read anew: {offered.problem}"] if offered.problem else [])]
    if not offered.security:
        notes.append("this machine's apt names no security archive of Debian, so its fixes are not known")
    if behind:
        return warning("; ".join([age, _sentence(list(behind.values())), *notes]), _fix(look, set(behind) - packages))
    if not offered.security:
        return warning("; ".join([age, *notes]), "name the security archive in apt's sources, below /etc/apt")
    return ok("; ".join([age, "no package has a newer version", *notes]))


def _sentence(behind: list[Behind]) -> str:
    security = sum(one.security for one in behind)
    ordered = sorted(behind, key=lambda one: (not one.security, one.name))
    noun = "package has a newer version" if len(behind) == 1 else "packages have newer versions"
    return f"{len(behind)} {noun}, {security} with security fixes: {few([str(one) for one in ordered])}"


def _fix(look: Inspection, others: set[str]) -> str:
    """Args: others: packages that no image of ours has, so that no name changes with them."""
    if look.site.settings.image_updates == "keep":
        return f"`image_updates` is `keep`: with `auto`, {look.again} builds the images again"
    if others:
        return f"remove the image with `docker image rm --force`, then {look.again} builds it again"
    return f"{look.again} builds the images again"


def _age_days(engine: Any, container: Container) -> float:
    from docker.errors import ImageNotFound

    try:
        created = str(engine.images.get(container.attrs["Image"]).attrs["Created"])
    except ImageNotFound:  # removed while it runs
        created = str(container.attrs["Created"])
    made = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", created).replace("Z", "+00:00"))
    return max(0.0, (datetime.now(UTC) - made).total_seconds() / 86400)


def _files(container: Container) -> tuple[str, bytes]:
    """The release that a container is made of, and its list of packages; empty where there is none."""
    found = CODENAME.search(_file(container, OS_RELEASE).decode("utf-8", "replace"))
    return found[1] if found else "", _file(container, STATUS)


def _file(container: Container, path: str) -> bytes:
    from docker.errors import NotFound

    try:
        parts, _ = container.get_archive(path)
    except NotFound:
        return b""
    with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as archive:
        content = archive.extractfile(archive.getmembers()[0])
        return content.read() if content is not None else b""
