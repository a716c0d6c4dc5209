"""A temporary folder with exactly what a build sees: staged files, the machine's settings, and the variables.

It is made here, and for another machine sent there as one archive.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from core.errors import FileAccessError
from hosts.base import ANY_EXIT_CODE, Host
from infra.roles.images.apt_settings import MOUNTED, read_apt_settings
from infra.roles.images.packages import as_text, package_names
from infra.roles.images.pip_settings import PipSettings, pip_conf, read_pip_settings
from infra.roles.images.tags import (
    BACKUP,
    BUILD_FILES,
    CLUSTER,
    DB,
    FOLDERS,
    HAPROXY,
    PROXY,
    REQUIREMENTS,
    Base,
    context_files,
)
from infra.roles.images.wheels import (
    LINKS_PAGE,
    Pin,
    allowed,
    fitting_names,
    links_page,
    matching_wheels,
    read_pins,
    sha256_of,
)
from infra.roles.images.work_folder import work_folder

IN_BUILD = "/run/build"
BUILD_VARIABLES = "build.env"
STAGED = "labelrig-build-"  # then our process number: what a killed run left can be told
FORGOTTEN_SECONDS = 24 * 3600
SEND_TIMEOUT = 600.0
VARIABLE_PREFIX = {
    "label-studio": "LABEL_STUDIO",
    "sam2": "SAM2",
    DB: "DB",
    PROXY: "PROXY",
    BACKUP: "BACKUP",
    CLUSTER: "SAM2_CLUSTER",
    HAPROXY: "HAPROXY",
}
FROM_DEBIAN = (DB, PROXY, BACKUP, HAPROXY)  # built of its packages
BUILD_NAMES = (
    *("BUILD_FOLDER", "PROJECT", "BASE_CHOICE"),
    *(f"{prefix}_{what}" for prefix in VARIABLE_PREFIX.values() for what in ("IMAGE", "BASE", "PACKAGES", "DIGEST")),
)
NOT_WANTED = "not-wanted"  # compose asks for every variable of the file, whatever is built


@contextlib.contextmanager
def staged(
    host: Host, repository: Path, base: Base, tags: Mapping[str, str], services: Sequence[str], project: str
) -> Iterator[str]:
    """Stage the build of `services` and remove everything afterwards.

    Yields:
        A folder on `host` with one sub-folder (a build context) for each service, `pip.conf` and what apt goes by
        (mode 0600: they may hold credentials; the build gets them as secrets), the files of `BUILD_FILES`, and
        `build.env` with their variables.

    Raises:
        FileAccessError: it cannot be written, for instance because the disk is full.
    """
    settings = read_pip_settings(host)
    _remove_left()
    folder = Path(tempfile.mkdtemp(prefix=f"{STAGED}{os.getpid()}-"))
    there = contextlib.ExitStack()
    target = str(folder)
    try:
        for service in services:
            _stage(host, repository, service, folder / service, settings)
        ca_bundle = f"{IN_BUILD}/ca.crt" if settings.ca_bundle is not None else None
        secrets = {"pip.conf": pip_conf(settings, ca_bundle=ca_bundle, wheels=f"{IN_BUILD}/wheels/{LINKS_PAGE}")}
        needs_apt = any(service in FROM_DEBIAN for service in services) or base.choice == "official"
        secrets |= read_apt_settings(host, ca_bundle) if needs_apt else dict.fromkeys(MOUNTED, "")
        for name, text in secrets.items():
            secret = folder / name
            secret.touch(mode=0o600)
            secret.write_text(text)
        for build_file in BUILD_FILES:
            shutil.copyfile(repository / build_file, folder / build_file.name)
        if not host.is_local:
            target = there.enter_context(work_folder(host, "build", project))
        values = [target, project, base.choice]
        for service in VARIABLE_PREFIX:
            names = package_names(repository, FOLDERS[service])
            values += [tags.get(service, NOT_WANTED), base.of(service)]
            values += [as_text(base.offered.of(names)), base.offered.digest(names)]
        lines = [f"{name}='{value}'\n" for name, value in zip(BUILD_NAMES, values, strict=True)]
        (folder / BUILD_VARIABLES).write_text("".join(lines))
        if not host.is_local:
            _send(folder, host, target)
            for service in services:
                _copy_wheels_there(host, repository, service, f"{target}/{service}", settings)
        yield target
    except OSError as error:
        raise FileAccessError(
            f"{host.name}: the build cannot be staged in {folder}: {error.strerror}; "
            "free space there, or name another folder in TMPDIR"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        there.close()


def _remove_left() -> None:
    """Remove what runs on this machine staged that were killed: it may hold credentials."""
    for path in Path(tempfile.gettempdir()).glob(f"{STAGED}*"):
        with contextlib.suppress(OSError):
            seen, (process, dash, _) = path.lstat(), path.name.removeprefix(STAGED).partition("-")
            ended = not Path(f"/proc/{process}").exists() if dash and process.isdigit() else False
            if seen.st_uid == os.getuid() and (ended or time.time() - seen.st_mtime > FORGOTTEN_SECONDS):
                shutil.rmtree(path)


def _send(folder: Path, host: Host, target: str) -> None:
    with tempfile.TemporaryFile() as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(folder, arcname=".", filter=_of_root)
        archive.seek(0)
        host.run("tar", "--numeric-owner", "-xf", "-", "-C", target, stdin=archive, as_root=True, timeout=SEND_TIMEOUT)


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def _copy_wheels_there(host: Host, repository: Path, service: str, context: str, settings: PipSettings) -> None:
    """Give the context the wheels that lie on the other machine's disk and that its pip would find there."""
    if not settings.link_folders:
        return
    listed = host.run("find", *settings.link_folders, "-maxdepth", "1", "-name", "*.whl", "-print0", ok=ANY_EXIT_CODE)
    paths = {path.rpartition("/")[2]: path for path in listed.stdout.split("\0") if path}
    pins = _pins(repository, service)
    fitting = [paths[name] for name in fitting_names(paths, pins)]
    summed = host.run("sha256sum", "--", *fitting, ok=ANY_EXIT_CODE, timeout=SEND_TIMEOUT) if fitting else None
    sums = dict(line.split("  ", 1)[::-1] for line in summed.stdout.splitlines()) if summed is not None else {}
    wanted = [path for path in fitting if path in sums and allowed(path.rpartition("/")[2], sums[path], pins)]
    if wanted:
        host.run("cp", "-L", "--", *wanted, f"{context}/build/wheels/", as_root=True, timeout=SEND_TIMEOUT)
        page = links_page({quote(path.rpartition("/")[2]): sums[path] for path in wanted})
        host.write(f"{context}/build/wheels/{LINKS_PAGE}", page.encode(), as_root=True)


def _stage(host: Host, repository: Path, service: str, context: Path, settings: PipSettings) -> None:
    for name, source in context_files(repository, service).items():
        target = context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    wheels = context / "build" / "wheels"
    wheels.mkdir(parents=True)
    (wheels / LINKS_PAGE).write_text(links_page({}))
    if host.is_local:
        found = matching_wheels(settings.link_folders, _pins(repository, service))
        for wheel in found:
            link_or_copy(wheel, wheels / wheel.name)
        (wheels / LINKS_PAGE).write_text(links_page({quote(wheel.name): sha256_of(wheel) for wheel in found}), "utf-8")
    if settings.ca_bundle is not None:
        (context / "build" / "ca.crt").write_bytes(host.read(settings.ca_bundle) or b"")
    _open_to_all(context)


def _pins(repository: Path, service: str) -> list[Pin]:
    return [
        pin
        for name in REQUIREMENTS[service]
        for pin in read_pins((repository / "requirements" / name).read_text("utf-8"))
    ]


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file another name, or copy it where that cannot be: another file system, or one without links.

    Raises:
        OSError: it cannot be copied either.
    """
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _open_to_all(context: Path) -> None:
    """Give the copies plain modes: in the clone they follow the user's umask, and the container runs as another."""
    for path in (context, *context.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
        elif path.parent.name != "wheels":  # those may be links to the machine's own files
            path.chmod(0o644)
