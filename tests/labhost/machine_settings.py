"""How the machine that runs the tests reaches its mirror and index, as files for a lab host on it."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass

from hosts.local import LocalHost
from infra.roles.images.apt_settings import read_apt_settings
from infra.roles.images.pip_settings import pip_conf, read_pip_settings

SOURCES = "etc/apt/sources.list"
LOGINS = "etc/apt/auth.conf"
OPTIONS = "etc/apt/apt.conf.d/80lab"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
PIP = "etc/pip.conf"
OF_THE_WAY = "Acquire::"  # the other options are a build's own


@dataclass(frozen=True)
class File:
    """A file of a lab host, root's unless it says otherwise."""

    content: bytes
    mode: int = 0o644
    uid: int = 0


@dataclass(frozen=True)
class MachineSettings:
    """Path without its first slash -> file. `apt` is what an image build needs of it; `wheels` are local folders."""

    apt: Mapping[str, File]
    pip: Mapping[str, File]
    wheels: tuple[str, ...]


def read_machine_settings() -> MachineSettings:
    """Read them as the product does for its own builds."""
    host = LocalHost()
    pip = read_pip_settings(host)
    bundle = None if pip.ca_bundle is None else f"/{CERTIFICATES}"
    texts = read_apt_settings(host, bundle)
    options = [line for line in texts["apt.conf"].splitlines() if line.startswith(OF_THE_WAY)]
    apt = {
        SOURCES: File(texts["sources.list"].encode()),
        LOGINS: File(texts["auth.conf"].encode(), 0o600),
        OPTIONS: File("\n".join([*options, ""]).encode()),
    }
    if pip.ca_bundle is not None:
        apt[CERTIFICATES] = File(host.read(pip.ca_bundle) or b"")
    # The first folder is named anyway; the others follow in `find-links`.
    first, *others = pip.link_folders or ("/var/empty",)
    written = pip_conf(pip, ca_bundle=bundle, wheels=" ".join([first, *others]))
    return MachineSettings(apt, {PIP: File(written.encode(), 0o644)}, pip.link_folders)


def as_tar(files: Mapping[str, File]) -> bytes:
    """Pack files for `docker cp -`, with their owners and modes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, file in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.uid, entry.gid = len(file.content), file.mode, file.uid, 0
            entry.mtime = int(time.time())
            archive.addfile(entry, io.BytesIO(file.content))
    return packed.getvalue()
