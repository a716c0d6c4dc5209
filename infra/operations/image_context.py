"""A temporary folder with exactly what a build sees: staged files, this machine's settings, and the variables."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from infra.errors import FileAccessError
from infra.hosts.base import Host
from infra.operations.image_machine import PipSettings, pip_conf, read_pip_settings
from infra.operations.image_recipe import REQUIREMENTS, Base, context_files
from infra.operations.image_wheels import matching_wheels, read_pins

IN_BUILD = "/run/build"
BUILD_VARIABLES = "build.env"
VARIABLE_PREFIX = {"label-studio": "LABEL_STUDIO", "sam2": "SAM2"}


@contextlib.contextmanager
def staged(
    host: Host, repository: Path, base: Base, tags: Mapping[str, str], services: Sequence[str], project: str
) -> Iterator[Path]:
    """Stage the build of `services` and remove everything afterwards.

    Yields:
        A folder with one sub-folder (a build context) for each service, `pip.conf` (mode 0600: it may hold
        credentials; the build gets it as a secret), and `build.env` with the variables of `build.yaml`.

    Raises:
        FileAccessError: it cannot be written, for instance because the disk is full.
    """
    settings = read_pip_settings(host)
    folder = Path(tempfile.mkdtemp(prefix="labelrig-build-"))
    try:
        for service in services:
            _stage(repository, service, folder / service, settings)
        secret = folder / "pip.conf"
        secret.touch(mode=0o600)
        has_bundle = settings.ca_bundle is not None
        secret.write_text(
            pip_conf(
                settings,
                ca_bundle=f"{IN_BUILD}/ca.crt" if has_bundle else None,
                wheels=f"{IN_BUILD}/wheels",
            )
        )
        variables = {"BUILD_FOLDER": str(folder), "PROJECT": project, "BASE_CHOICE": base.choice}
        for service, prefix in VARIABLE_PREFIX.items():
            variables |= {f"{prefix}_IMAGE": tags[service], f"{prefix}_BASE": base.of(service)}
        (folder / BUILD_VARIABLES).write_text("".join(f"{name}='{value}'\n" for name, value in variables.items()))
        yield folder
    except OSError as error:
        raise FileAccessError(
            f"{host.name}: the build cannot be staged in {folder}: {error.strerror}; "
            "free space there, or name another folder in TMPDIR"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stage(repository: Path, service: str, context: Path, settings: PipSettings) -> None:
    for name, source in context_files(repository, service).items():
        target = context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    wheels = context / "build" / "wheels"
    wheels.mkdir(parents=True)
    pins = [
        pin
        for name in REQUIREMENTS[service]
        for pin in read_pins((repository / "requirements" / name).read_text("utf-8"))
    ]
    for wheel in matching_wheels(settings.link_folders, pins):
        _link_or_copy(wheel, wheels / wheel.name)
    if settings.ca_bundle is not None:
        shutil.copyfile(settings.ca_bundle, context / "build" / "ca.crt")
    _open_to_all(context)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _open_to_all(context: Path) -> None:
    """Give the copies plain modes: in the clone they follow the user's umask, and the container runs as another."""
    for path in (context, *context.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
        elif path.parent.name != "wheels":  # those may be links to the machine's own files
            path.chmod(0o644)
