"""The state "NVIDIA container toolkit installed": what hands GPUs to containers, from NVIDIA's own apt source."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from core.errors import HostError
from core.operation import Change
from core.report import Report
from hosts.base import ANY_EXIT_CODE, Host
from infra.roles.docker.apt import NO_CACHE, Apt
from infra.roles.docker.daemon_json import owe_restart
from infra.roles.docker.platform import read_distribution
from infra.roles.nvidia.facts import COMMAND_NOT_FOUND, version_numbers
from infra.roles.nvidia.key import checked_keyring, fetch_key, fingerprints, is_pinned

PACKAGE = "nvidia-container-toolkit"
# Up to 1.17.7 a crafted image reaches the host (CVE-2025-23266), up to 1.16.1 too (CVE-2024-0132).
OLDEST = "1.17.8"
KEYRING_FILE = "/etc/apt/keyrings/labelrig-nvidia.gpg"
SOURCE_FILE = "/etc/apt/sources.list.d/labelrig-nvidia.sources"
FETCHED = re.compile(r"^'([^']+)'", re.MULTILINE)


@dataclass(frozen=True)
class ToolkitSource:
    """Where the packages come from: a flat repository. `$(ARCH)` is apt's word for the processor.

    The fingerprint is that of "NVIDIA CORPORATION (Open Source Projects) <cudatools@nvidia.com>", made 2017-09-28.
    Several independent projects record it, and a published copy of the key itself has it. A lab's mirror that signs
    with a key of its own sets all three.
    """

    packages: str = "https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH)"
    key: str = "https://nvidia.github.io/libnvidia-container/gpgkey"
    fingerprint: str | None = "C95B321B61E88C1809C4F759DDCAE044F796ECB0"

    def text(self) -> str:
        """The apt source (deb822)."""
        return (
            f"# Written by labelrig: {PACKAGE}, which hands GPUs to containers.\n"
            "Types: deb\n"
            f"URIs: {self.packages}\n"
            "Suites: /\n"
            f"Signed-By: {KEYRING_FILE}\n"
        )


class ToolkitInstalled:
    """The toolkit is there, in a version without known ways out of a container. A newer one is left alone."""

    name = f"NVIDIA container toolkit {OLDEST} or newer installed"

    def __init__(
        self,
        host: Host,
        report: Report,
        source: ToolkitSource | None = None,
        apt: Apt | None = None,
        fetch: Callable[[str], bytes] = fetch_key,
    ) -> None:
        self._host = host
        self._source = source or ToolkitSource()
        self._apt = apt or Apt(host, report)
        self._fetch = fetch

    def plan(self) -> list[Change]:
        """See `core.operation.Operation.plan`.

        Raises:
            HostError: this system has no apt, and no toolkit that will do; or the bundle has none.
        """
        present = self.installed()
        if present is not None and new_enough(present):
            return []
        candidate = self._apt.candidate(PACKAGE)
        offered = candidate is not None and new_enough(candidate)
        if not offered and not self._apt.takes_sources:
            raise HostError(f"{self._host.name}: {lacks_toolkit(candidate)}")
        changes = [] if offered else self._source_changes()
        verb = f"install {PACKAGE}" if present is None else f"upgrade {PACKAGE} {present}"
        target = f" {candidate}" if offered else f" ({OLDEST} or newer)"
        changes.append(
            Change(
                f"{verb}{' to' if present else ''}{target} with apt",
                lambda: self._install(refresh=not offered, first=present is None),
            )
        )
        return changes

    def installed(self) -> str | None:
        """The version that is there; None where there is none.

        Raises:
            HostError: this system has no apt, and no toolkit that will do.
        """
        answer = self._host.run("dpkg-query", "-W", "-f", "${db:Status-Status}|${Version}", PACKAGE, ok=ANY_EXIT_CODE)
        if answer.exit_code == COMMAND_NOT_FOUND:
            return self._installed_without_dpkg()
        status, _, version = answer.stdout.partition("|")
        return version.strip() if answer.ok and status == "installed" else None

    def _installed_without_dpkg(self) -> str:
        answer = self._host.run("nvidia-ctk", "--version", ok=ANY_EXIT_CODE)
        found = re.search(r"\bversion (\d\S*)", answer.stdout)
        if answer.ok and found is not None and new_enough(found[1]):
            return found[1]
        raise HostError(
            f"{self._host.name}: labelrig installs the NVIDIA container toolkit with apt, and "
            f"{read_distribution(self._host).pretty} has none; install {PACKAGE} {OLDEST} or newer by hand "
            "(docs.nvidia.com/datacenter/cloud-native/container-toolkit), then repeat the command"
        )

    def _source_changes(self) -> list[Change]:
        ours = self._host.read(SOURCE_FILE)
        if ours is None and self._is_a_source_already():
            return []  # two entries for one address that name different keys stop apt altogether
        changes = []
        if not self._has_key():
            changes.append(Change(f"write {KEYRING_FILE} (the key from {self._source.key})", self._write_key))
        text = self._source.text()
        if ours != text.encode():
            changes.append(
                Change(
                    f"write {SOURCE_FILE}",
                    lambda: self._host.write(SOURCE_FILE, text.encode(), 0o644, as_root=True),
                    diff=text,
                )
            )
        return changes

    def _is_a_source_already(self) -> bool:
        wanted = self._source.packages.rstrip("/").replace("file:///", "file:/")  # apt's way to write it
        if "$(ARCH)" in wanted:
            wanted = wanted.replace("$(ARCH)", self._host.run("dpkg", "--print-architecture").stdout.strip())
        # What apt would fetch; the lists themselves may never have been, and then apt shows no such source elsewhere.
        answer = self._host.run("apt-get", *NO_CACHE, "update", "--print-uris")
        return any(address.startswith(f"{wanted}/") for address in FETCHED.findall(answer.stdout))

    def _has_key(self) -> bool:
        content = self._host.read(KEYRING_FILE)
        try:
            return content is not None and is_pinned(fingerprints(content), self._source.fingerprint)
        except ValueError:
            return False

    def _write_key(self) -> None:
        keyring = checked_keyring(self._fetch(self._source.key), self._source.fingerprint, self._source.key)
        self._host.write(KEYRING_FILE, keyring, 0o644, as_root=True)

    def _install(self, *, refresh: bool, first: bool) -> None:
        if refresh:
            self._apt.update()
        candidate = self._apt.candidate(PACKAGE)
        if candidate is None or not new_enough(candidate):
            raise HostError(
                f"{self._host.name}: apt offers {f'{PACKAGE} {candidate}' if candidate else f'no {PACKAGE}'}, and "
                f"{OLDEST} or newer is needed (older ones let a crafted image reach the host); can the machine reach "
                f"{self._source.packages}, or does a pin or an older mirror stand in the way?"
            )
        if first:
            # An engine looks for the toolkit when it starts, and never again.
            owe_restart(self._host)
        self._apt.install([PACKAGE])


def lacks_toolkit(candidate: str | None) -> str:
    """What a bundle is missing where a GPU is to be used, in a sentence. `candidate`: the version that it has."""
    has = f"{PACKAGE} {candidate}, and {OLDEST} or newer is needed" if candidate else f"no {PACKAGE}"
    return (
        f"the bundle has {has}, which hands the GPU to containers; make it again with "
        "`./inv bundle.create --nvidia`, or set `gpu: off`"
    )


def new_enough(version: str) -> bool:
    """Whether a version of the toolkit, such as "1.17.8-1", is none of those with known ways out of a container."""
    numbers = version_numbers(version)
    prerelease = re.match(r"[\d.]+[~-]rc", version) is not None
    return numbers > version_numbers(OLDEST) or (numbers == version_numbers(OLDEST) and not prerelease)
