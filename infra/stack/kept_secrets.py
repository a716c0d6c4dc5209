"""The secrets that a stack was last started with: where the file with them is lost, they are taken from there."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import requests
from docker.errors import DockerException

from core.report import Report
from infra.config.settings import missing_secrets, settings_secrets
from infra.roles.backup.files import FOLDER, PASSWORD
from infra.roles.docker.client import EngineState, engine_client, engine_state
from infra.roles.stack.render import parse_stack_env
from infra.roles.stack.secrets import BACKUP_PASSWORD, SECRET_KEY
from infra.stack.site import Site
from infra.stack.stages import stack_running

if TYPE_CHECKING:
    from docker.models.containers import Container

ENV_IN_CONTAINER = "/label-studio/data/.env"
# What they are called in that file, and in the environment of containers of earlier versions.
IN_CONTAINER = {"SECRET_KEY": SECRET_KEY, "LABEL_STUDIO_PASSWORD": "LABEL_STUDIO_PASSWORD"}


def kept_secrets(site: Site) -> Mapping[str, str]:
    """The secrets of the stack's rendered files, else of its container, by their name in `.env`. Reads only.

    Nothing where none is missing, or where there was no stack.
    """
    if not missing_secrets(site.settings, cluster=site.part == "head"):
        return {}
    return {**(_rendered(site) or _of_container(site)), **_of_backup(site)}


def notice_of_another_key(site: Site, report: Report) -> None:
    """A changed SECRET_KEY costs people their sessions and tokens: a notice, before it does."""
    key, before = site.settings.secret_key, _rendered(site).get(SECRET_KEY)
    if key is None or before is None or key.get_secret_value() == before:
        return
    report.notice(
        f"{SECRET_KEY} in {PurePosixPath(site.env_file).name} is not the one that the stack was started with: "
        "everybody is signed out, and the tokens that people made for themselves are void"
    )


def _of_backup(site: Site) -> dict[str, str]:
    """The password of the backups, which the script of the backup reads from a file of its own."""
    content = site.host.read(f"{site.state}/{FOLDER}/{PASSWORD}", as_root=not site.host.is_local)
    text = (content or b"").decode("utf-8", "replace").strip()
    return {BACKUP_PASSWORD: text} if text else {}


def _rendered(site: Site) -> dict[str, str]:
    content = site.host.read(site.files.env, as_root=not site.host.is_local)
    values = {} if content is None else parse_stack_env(content)
    return {name: value for name, value in values.items() if name in settings_secrets()}


def _of_container(site: Site) -> dict[str, str]:
    if engine_state(site.host) is not EngineState.ANSWERS:
        return {}
    with closing(engine_client(site.host)) as engine:
        container = stack_running(site, lambda: engine, Report()).container("label-studio")
        variables = [] if container is None else container.attrs["Config"].get("Env") or []
        given = dict(str(one).partition("=")[::2] for one in variables) | _in_volume(container)
    return {ours: given[theirs] for theirs, ours in IN_CONTAINER.items() if given.get(theirs)}


def _in_volume(container: Container | None) -> dict[str, str]:
    """The values of the file that a container of Label Studio reads, whether it runs or not; see `wanted_by`."""
    try:
        if container is None:
            return {}
        pieces, _ = container.get_archive(ENV_IN_CONTAINER)
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
            file = archive.extractfile(archive.getmembers()[0])
            return parse_stack_env(file.read()) if file is not None else {}
    except (DockerException, requests.RequestException, tarfile.TarError):
        return {}  # made by an earlier version: it has no such file
