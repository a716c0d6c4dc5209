"""A software bill of materials of an image, in the format CycloneDX 1.6."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from packaging.utils import canonicalize_name

from core.repository import own_version
from infra.doctor.image_contents import DebianPackage, ImageContents, PythonPackage
from infra.roles.images.tags import REQUIREMENTS
from infra.roles.images.wheels import read_pins

Json = dict[str, Any]
FORMAT = {"bomFormat": "CycloneDX", "specVersion": "1.6"}
SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"


@dataclass(frozen=True)
class Image:
    """The image that is described. `id`: its digest, `sha256:` and 64 hex digits; `base`: what it was built on."""

    service: str
    tag: str
    id: str
    created: str
    base: str


def bill_of_materials(
    image: Image,
    contents: ImageContents,
    debian_hashes: Mapping[str, str],
    lock_hashes: Mapping[tuple[str, str], Sequence[str]],
    made: datetime,
) -> Json:
    """The document.

    Args:
        debian_hashes: package -> SHA-256 of its file, where the suites still have it.
        lock_hashes: name and version of a Python package -> the SHA-256 of the files that the locks allow.
        made: when the document is made, with a time zone.
    """
    components = [_debian(one, contents.release, debian_hashes) for one in contents.debian]
    components += [_python(one, lock_hashes) for one in contents.python]
    name, _, version = image.tag.rpartition(":")
    digest = image.id.removeprefix("sha256:")
    return {
        "$schema": SCHEMA,
        **FORMAT,
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {
            "timestamp": made.isoformat(timespec="seconds"),
            "tools": {"components": [{"type": "application", "name": "labelrig", "version": own_version()}]},
            "component": {
                "type": "container",
                "bom-ref": image.id,
                "name": name,
                "version": version,
                "purl": f"pkg:oci/{name.rpartition('/')[2]}@{quote(image.id, safe='')}?tag={quote(version, safe='')}",
                "hashes": [{"alg": "SHA-256", "content": digest}],
                "properties": [
                    {"name": "labelrig:service", "value": image.service},
                    {"name": "labelrig:base", "value": image.base},
                    {"name": "labelrig:created", "value": image.created},
                ],
            },
        },
        "components": components,
    }


def lock_hashes(repository: Path, service: str) -> dict[tuple[str, str], list[str]]:
    """The hashes that the locks of an image allow, by canonical name and version."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in REQUIREMENTS.get(service, ()):
        for pin in read_pins((repository / "requirements" / name).read_text("utf-8")):
            versions = [clause.version for clause in pin.requirement.specifier if clause.operator == "=="]
            if versions:
                found[canonicalize_name(pin.requirement.name), versions[0]] = sorted(pin.hashes)
    return found


def _debian(package: DebianPackage, release: Mapping[str, str], hashes: Mapping[str, str]) -> Json:
    distribution = release.get("ID", "debian")
    where = f"arch={package.architecture}&distro={distribution}-{release.get('VERSION_ID', '')}"
    purl = f"pkg:deb/{distribution}/{quote(package.name, safe='')}@{quote(package.version, safe='~')}?{where}"
    component: Json = {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "properties": [{"name": "labelrig:source-package", "value": package.source}],
    }
    if package.licenses:
        component["licenses"] = [{"license": {"name": name}} for name in package.licenses]
    if digest := hashes.get(package.name):
        component["hashes"] = [{"alg": "SHA-256", "content": digest}]
    return component


def _python(package: PythonPackage, hashes: Mapping[tuple[str, str], Sequence[str]]) -> Json:
    name = canonicalize_name(package.name)
    purl = f"pkg:pypi/{name}@{quote(package.version, safe='~')}"
    component: Json = {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
    }
    if package.expression:
        component["licenses"] = [{"expression": package.expression}]
    elif package.licenses:
        component["licenses"] = [{"license": {"name": one}} for one in package.licenses]
    # A wheel of another build of the same version: `2.13.0+cpu` is in the lock as `2.13.0`.
    allowed = hashes.get((name, package.version)) or hashes.get((name, package.version.partition("+")[0]), ())
    if len(allowed) == 1:
        component["hashes"] = [{"alg": "SHA-256", "content": allowed[0]}]
    elif allowed:  # which of a version's files was installed, nothing in an image says
        component["properties"] = [{"name": "labelrig:allowed-sha256", "value": one} for one in allowed]
    return component
