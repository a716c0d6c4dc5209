"""`./inv sbom`: the bills of materials of a stack's images, on hosts, or without one on this machine."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import requests
from docker.errors import DockerException, ImageNotFound

from core.errors import HostError, SettingsError
from core.repository import REPOSITORY
from hosts.base import Host
from hosts.local import LocalHost
from infra.config.dotenv import parse_env_bytes
from infra.doctor.image_contents import ImageContents, read_contents
from infra.doctor.sbom import Image, Json, bill_of_materials, lock_hashes
from infra.fleet.choice import Choice, Outcome
from infra.fleet.on_hosts import run_work
from infra.fleet.run import RunOptions
from infra.fleet.session import Session
from infra.roles.docker.client import engine_client
from infra.roles.images.packages import package_names
from infra.roles.images.suites import Suites
from infra.roles.images.tags import FOLDERS
from infra.roles.stack.render import images_of

SUFFIX = ".cdx.json"


def run_sbom(choice: Choice, options: RunOptions, folder: Path | None) -> Outcome:
    """Describe each image of each stack.

    Args:
        folder: gets a file for each image, below a folder for each host where hosts were named.

    Raises:
        SettingsError: the folder cannot be written.
    """

    def describe(one: Session) -> str:
        documents = documents_of(one)
        one.report.facts["sbom"] = documents
        lines = [_line(service, document) for service, document in documents.items()]
        if folder is not None:
            where = folder / one.host.name if choice.names_hosts else folder
            lines += [f"written: {path}" for path in _write(where, documents)]
        return "\n".join(lines)

    return run_work(choice, options, describe)


def documents_of(one: Session) -> dict[str, Json]:
    """Service -> bill of materials.

    Raises:
        HostError: an image cannot be read.
        SettingsError: there is no stack.
    """
    site = one.site
    env = site.host.read(site.files.env, as_root=not site.host.is_local)
    if env is None:
        raise SettingsError(f"{site.host.name}: there is no stack {site.settings.project}, so there are no images")
    suites = Suites(LocalHost(), site.host.run("uname", "-m").stdout.strip())
    suites.offered(package_names(REPOSITORY, *FOLDERS.values()), one.report)
    documents: dict[str, Json] = {}
    for service, tag in images_of(parse_env_bytes(env, site.files.env)).items():
        if service not in site.services:
            continue
        one.report.progress(f"reading {tag}")
        image, contents = image_of(site.host, service, tag), read_contents(site.host, tag)
        documents[service] = bill_of_materials(
            image, contents, _hashes(suites, contents), lock_hashes(REPOSITORY, service), datetime.now(UTC)
        )
    return documents


def image_of(host: Host, service: str, tag: str) -> Image:
    """What the engine says of an image.

    Raises:
        HostError: it does not have it, or does not answer.
    """
    with closing(engine_client(host)) as client:
        try:
            found = client.images.get(tag)
        except ImageNotFound:
            raise HostError(f"{host.name}: the engine has no image {tag}; `./inv doctor` says what to do") from None
        except (DockerException, requests.RequestException) as error:
            raise HostError(f"the docker engine of {host.name} does not say what {tag} is: {error}") from error
    return Image(
        service,
        tag,
        str(found.id),
        str(found.attrs["Created"]),
        str(found.labels.get("org.opencontainers.image.base.name", "")),
    )


def _hashes(suites: Suites, contents: ImageContents) -> dict[str, str]:
    return suites.hashes({one.name: one.version for one in contents.debian})


def _line(service: str, document: Json) -> str:
    found = [str(one["purl"]) for one in document["components"]]
    kinds = [sum(purl.startswith(f"pkg:{kind}/") for purl in found) for kind in ("deb", "pypi")]
    image = document["metadata"]["component"]
    packages = f"{kinds[0]} Debian and {kinds[1]} Python packages"
    return f"{service}: {image['name']}:{image['version']} {image['bom-ref']}: {packages}"


def _write(folder: Path, documents: dict[str, Json]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for service, document in documents.items():
            path = folder / f"{service}{SUFFIX}"
            path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
            paths.append(path)
    except OSError as error:
        raise SettingsError(f"--out {folder}: cannot be written: {error.strerror}") from None
    return paths
