"""apt that installs from a bundle and from nothing else: the machine's own sources, lists and pins stay as they are."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from core.errors import CommandFailed, HostError
from core.report import Report
from hosts.base import Host
from hosts.feeding import run_fed
from infra.bundle.manifest import PACKAGES
from infra.bundle.reading import Bundle
from infra.roles.docker.apt import Apt
from infra.roles.images.archive import MIB
from infra.roles.images.work_folder import work_folder

SEND_TIMEOUT = 3600.0
SOURCES = "sources.list"
FOLDERS = ("lists/partial", "cache/archives/partial")  # apt makes them only where its own usually lie


class BundleApt(Apt):
    """apt on one host, with the packages of a bundle as its only source while something is installed."""

    takes_sources = False
    update_fix = (
        "apt does not read the packages that the bundle sent; mend what it names (room in /var/tmp, or a setting in "
        "/etc/apt/apt.conf.d)"
    )

    def __init__(self, host: Host, report: Report, bundle: Bundle, project: str) -> None:
        """Keep what is needed; nothing is read or sent yet.

        Args:
            project: whose work it is; see `work_folder`.
        """
        super().__init__(host, report)
        self._bundle = bundle
        self._project = project

    def candidate(self, package: str) -> str | None:
        """The version that the bundle has; None where it has none."""
        return self._bundle.manifest.packages.get(package)

    def install(
        self,
        packages: Sequence[str],
        *,
        refresh: bool = False,
        next_version: str = "",
        allowed: Collection[str] = (),
    ) -> None:
        """Send the packages of the bundle to the host, and install some of them; see `Apt.install`.

        Raises:
            HostError: the bundle has no such package, apt would remove or replace something, or it failed.
        """
        if lacking := [package for package in packages if self.candidate(package) is None]:
            raise HostError(f"{self._host.name}: the bundle has no package {', '.join(lacking)}")
        with work_folder(self._host, "bundle", self._project) as folder:
            self._send(folder)
            self._more_options = options_of(folder)
            self._lists_lock = f"{folder}/lists/lock"
            self._updated = False
            try:
                super().install(packages, refresh=True)
            except CommandFailed as error:
                raise HostError(
                    f"{error}\n  What the bundle has was as new as its mirror when it was made "
                    f"({self._bundle.manifest.made[:10]}): where this host has newer packages, make the bundle again"
                ) from error

    def _send(self, folder: str) -> None:
        total = self._bundle.size(PACKAGES) // MIB

        def tell(done: int) -> None:
            self._report.progress(f"sending packages: {done // MIB} of {total} MiB")

        run_fed(
            self._host, "tar", "--extract", "--no-same-owner", "--directory", folder,
            write=lambda pipe: self._bundle.copy_part(PACKAGES, pipe, tell), timeout=SEND_TIMEOUT, as_root=True,
        )  # fmt: skip
        self._host.write(f"{folder}/{SOURCES}", source_of(folder).encode(), as_root=True)
        self._host.run("mkdir", "-p", *(f"{folder}/{one}" for one in FOLDERS), as_root=True)


def source_of(folder: str) -> str:
    """The apt source of the packages in a folder: they were checked against their archives when the bundle was made."""
    return f"deb [trusted=yes] file:{folder}/{PACKAGES} ./\n"


def options_of(folder: str) -> tuple[str, ...]:
    """What keeps apt to the packages in a folder, and away from the machine's own lists."""
    options = {
        "Dir::Etc::SourceList": f"{folder}/{SOURCES}",
        "Dir::Etc::SourceParts": "-",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State::lists": f"{folder}/lists",
        "Dir::Cache": f"{folder}/cache",
        "Acquire::Languages": "none",
        "APT::Default-Release": "",  # the machine's own is not among these sources, which ends apt
        "APT::Sandbox::User": "root",  # the folder is root's alone
    }
    return tuple(part for name, value in options.items() for part in ("-o", f"{name}={value}"))
