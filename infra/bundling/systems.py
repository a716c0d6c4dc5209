"""The systems that a bundle can be made for, and where their packages come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from core.errors import SettingsError
from hosts.base import Host
from infra.roles.docker.platform import Distribution
from infra.roles.images.apt_settings import read_apt_settings, read_ubuntu_settings
from infra.roles.images.suites import USUAL_MIRROR

UBUNTU_MIRRORS = {  # Ubuntu's own defaults, by Debian's name of the processor
    "amd64": "http://archive.ubuntu.com/ubuntu",
    "arm64": "http://ports.ubuntu.com/ubuntu-ports",
}


@dataclass(frozen=True)
class TargetSystem:
    """A system: what `/etc/os-release` calls it, its release, and the Python that it brings (or installs)."""

    identifier: str
    version: str
    release: str
    python: str

    @property
    def distribution(self) -> Distribution:
        """The same, for what its packages are called."""
        return Distribution(self.identifier, self.version, f"{self.identifier} {self.version}")

    @property
    def keyring(self) -> str:
        """The keys of its archive on this machine, if they are here."""
        return f"/usr/share/keyrings/{self.identifier}-archive-keyring.gpg"

    @property
    def keyring_package(self) -> str:
        """What brings the keys, on Debian and on Ubuntu."""
        return "debian-archive-keyring" if self.identifier == "debian" else "ubuntu-keyring"

    def apt_files(self, here: Host, ca_bundle: str | None, folder: PurePosixPath, architecture: str) -> dict[str, str]:
        """The settings of an apt that reads its suites, as this machine reaches its own mirror.

        Args:
            ca_bundle: the machine's CA bundle.
            folder: where the files will lie.
            architecture: as Debian calls the processor.
        """
        if self.identifier == "ubuntu":
            otherwise = UBUNTU_MIRRORS.get(architecture, UBUNTU_MIRRORS["arm64"])
            return read_ubuntu_settings(here, ca_bundle, folder=folder, otherwise=otherwise, suite=self.release)
        return read_apt_settings(here, ca_bundle, folder=folder, otherwise=USUAL_MIRROR, suite=self.release)


SYSTEMS = {
    one.distribution.system: one
    for one in (
        TargetSystem("debian", "12", "bookworm", "3.11"),
        TargetSystem("debian", "13", "trixie", "3.13"),
        TargetSystem("ubuntu", "22.04", "jammy", "3.11"),
        TargetSystem("ubuntu", "24.04", "noble", "3.12"),
    )
}


def target_system(name: str) -> TargetSystem:
    """The system of a name such as "debian12".

    Raises:
        SettingsError: there is no such system.
    """
    if name not in SYSTEMS:
        raise SettingsError(f"--for {name}: must be one of {', '.join(SYSTEMS)}")
    return SYSTEMS[name]
