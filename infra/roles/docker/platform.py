"""What the distribution offers: which packages bring the engine and compose, and where they come from."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from hosts.base import Host

OS_RELEASE = "/etc/os-release"
NEXT_RELEASE = "trixie"
NEXT_VERSION = "13"
SOURCE_FILE = "/etc/apt/sources.list.d/labelrig-compose.sources"
PREFERENCES_FILE = "/etc/apt/preferences.d/labelrig-compose"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SUPPORTED = "Debian 12 and 13, Ubuntu 22.04 and 24.04"


@dataclass(frozen=True)
class Distribution:
    """What `/etc/os-release` says: `identifier` "debian", `version` "12", `pretty` for people."""

    identifier: str
    version: str
    pretty: str

    @property
    def system(self) -> str:
        """Both in a word, such as "debian12"."""
        return f"{self.identifier}{self.version}"

    @property
    def is_supported(self) -> bool:
        """Whether we know how to install an engine here."""
        return (self.identifier, self.version) in {
            ("debian", "12"),
            ("debian", "13"),
            ("ubuntu", "22.04"),
            ("ubuntu", "24.04"),
        }

    @property
    def compose_is_too_old(self) -> bool:
        """Whether the distribution's own compose is version 1: Debian 12 takes the next release's."""
        return (self.identifier, self.version) == ("debian", "12")

    def engine_packages(self, *, apparmor: bool, certificates: bool) -> tuple[str, ...]:
        """The packages of an engine with its command line; `iptables` and `docker-init` come as its dependencies.

        Args:
            apparmor: the kernel enforces AppArmor profiles: the engine then starts no container without
                `apparmor_parser`, which its package only recommends.
            certificates: CA certificates are there already; not asked for again, since apt would upgrade them.
        """
        packages = ["docker.io"]
        if (self.identifier, self.version) == ("debian", "13"):
            packages.append("docker-cli")  # a part of docker.io everywhere else
        if apparmor:
            packages.append("apparmor")
        if not certificates:
            packages.append("ca-certificates")
        return tuple(packages)

    @property
    def command_line_package(self) -> str:
        """The package with the `docker` command, where an engine is there without it."""
        return "docker-cli" if (self.identifier, self.version) == ("debian", "13") else "docker.io"

    def compose_packages(self) -> tuple[str, ...]:
        """The packages of `docker compose`. Ubuntu's newer ones build through buildx only."""
        if self.identifier == "ubuntu":
            return ("docker-compose-v2", "docker-buildx")
        return ("docker-compose",)


def read_distribution(host: Host) -> Distribution:
    """Read which distribution this is; an unknown one has empty fields."""
    text = (host.read(OS_RELEASE) or b"").decode("utf-8", "replace")
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    plain = {name: " ".join(shlex.split(value)) for name, value in values.items()}
    return Distribution(plain.get("ID", ""), plain.get("VERSION_ID", ""), plain.get("PRETTY_NAME", "unknown system"))


def compose_source(mirror: str) -> str:
    """The apt source of the next release, from the same mirror as this one's."""
    return (
        "# Written by labelrig: docker-compose (version 2) from the next Debian release, and nothing else of\n"
        f"# it: see {PREFERENCES_FILE}.\n"
        f"# Delete both files before upgrading this machine to Debian {NEXT_VERSION}.\n"
        "Types: deb\n"
        f"URIs: {mirror}\n"
        f"Suites: {NEXT_RELEASE}\n"
        "Components: main\n"
        f"Signed-By: {KEYRING}\n"
    )


def compose_preferences() -> str:
    """The pin that goes with `compose_source`: a negative priority is never installed."""
    return (
        "# Written by labelrig: of the next Debian release nothing is installed but docker-compose.\n"
        f"# Delete this file before upgrading this machine to Debian {NEXT_VERSION}.\n"
        "Package: *\n"
        f"Pin: release n={NEXT_RELEASE}\n"
        "Pin-Priority: -10\n"
        "\n"
        "Package: docker-compose\n"
        f"Pin: release n={NEXT_RELEASE}\n"
        "Pin-Priority: 500\n"
    )
