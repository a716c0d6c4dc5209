"""The Debian packages of a bundle: found by an apt of our own that knows of no installed package, so all are found.

apt checks the archives' signatures and each package's hash. The packages and an index of them are then an apt source.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from core.errors import FileAccessError, HostError
from core.report import Report
from hosts.base import Host
from infra.bundle.manifest import PACKAGES
from infra.bundle.sums import sha256
from infra.bundling.systems import TargetSystem
from infra.roles.docker.platform import NEXT_RELEASE, compose_preferences
from infra.roles.images.apt_settings import MOUNTED
from infra.roles.images.bundle_apt import FOLDERS, SOURCES, options_of, source_of
from infra.roles.images.context import link_or_copy
from infra.roles.images.pip_settings import read_pip_settings
from infra.roles.images.suites import ARCHITECTURES, apart, write_apt
from infra.roles.nvidia.key import checked_keyring, fetch_key
from infra.roles.nvidia.toolkit import PACKAGE as TOOLKIT
from infra.roles.nvidia.toolkit import ToolkitSource

UPDATE_TIMEOUT = 600.0
READ_TIMEOUT = 120.0
DOWNLOAD_TIMEOUT = 3600.0
INDEX = "Packages"
OPTIONS = ("-y", "-o", "Dpkg::Use-Pty=0", "-o", "Acquire::Retries=2")
PINNED = "compose"
# 'http://mirror/pool/x.deb' x_1.0_amd64.deb 1234 MD5Sum:..., where the archive has one
ADDRESS = re.compile(r"^'[^']+' (\S+\.deb) (\d+)\b", re.MULTILINE)
SHA256 = re.compile(r"^SHA256: ([0-9a-f]{64})$", re.MULTILINE)
FILE_NAME = re.compile(r"^Filename: .*$", re.MULTILINE)


@dataclass(frozen=True)
class Package:
    """One package file: `file` as our apt names it, `size` in bytes."""

    name: str
    version: str
    file: str
    size: int

    @property
    def name_in_bundle(self) -> str:
        """As archives name it: without an epoch, whose colon needs quoting."""
        return f"{self.name}_{self.version.partition(':')[2] or self.version}_{self.file.rpartition('_')[2]}"


class PackageSet:
    """The packages that a system needs for an engine with compose, with all that they depend on."""

    def __init__(
        self,
        here: Host,
        system: TargetSystem,
        machine: str,
        folder: Path,
        apt_folder: Path,
        report: Report,
        toolkit: ToolkitSource | None = None,
    ) -> None:
        """Nothing is read or written yet.

        Args:
            here: this machine, whose apt and whose way to a mirror are used.
            machine: the processor, as `uname -m` prints it.
            folder: gets the part `packages/` of the bundle.
            apt_folder: for our apt, with the logins of the mirror and the proxy.
            toolkit: where NVIDIA's container toolkit comes from; None: it is left out.
        """
        self._here = here
        self._system = system
        self._architecture = ARCHITECTURES.get(machine, machine)
        self._apt_folder = apt_folder
        self._folder = folder / PACKAGES
        self._report = report
        self._toolkit = toolkit
        distribution = system.distribution
        self._wanted = (
            *distribution.engine_packages(apparmor=True, certificates=False),
            *distribution.compose_packages(),
            *((TOOLKIT,) if toolkit is not None else ()),
        )

    def find(self) -> list[Package]:
        """Read the suites, and ask apt what is needed.

        Raises:
            HostError: the archive's keys are not here, the mirror does not answer, or apt cannot find a package.
            FileAccessError: the folder of our apt cannot be written.
        """
        keyring = self._system.keyring
        if self._here.read(keyring) is None:
            raise HostError(
                f"the keys of {self._system.distribution.pretty}'s archive are not on this machine ({keyring}): "
                f"install {self._system.keyring_package}, then repeat the command"
            )
        nothing = self._apt_folder / "nothing"
        try:
            self._write_settings(keyring)
            (nothing / "partial").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileAccessError(
                f"{self._apt_folder} cannot be written: {error.strerror}; XDG_CACHE_HOME names another folder"
            ) from error
        self._run("apt-get", *OPTIONS, "update", timeout=UPDATE_TIMEOUT)
        # What lies in its archives already, apt would leave out.
        options = (*OPTIONS, "-o", f"Dir::Cache::archives={nothing}")
        printed = self._run("apt-get", *options, "install", "--print-uris", *self._wanted, timeout=READ_TIMEOUT)
        found = [_package(name, int(size)) for name, size in ADDRESS.findall(printed)]
        if not found:
            raise HostError(
                f"apt names no file for {', '.join(self._wanted)}; is {self._apt_folder} damaged? Remove it"
            )
        return found

    def fetch(self, packages: Sequence[Package]) -> None:
        """Download the packages, each that is not here yet, and write their index.

        Raises:
            HostError: a download failed; what has come so far is kept.
            FileAccessError: the packages cannot be written into the folder.
        """
        missing = [one for one in packages if not self._there(one)]
        if missing:
            self._run("apt-get", *OPTIONS, "install", "--download-only", *self._wanted, timeout=DOWNLOAD_TIMEOUT)
        index = self._index(packages)
        shutil.rmtree(self._folder, ignore_errors=True)
        try:
            self._folder.mkdir(parents=True)
            for one in packages:
                link_or_copy(self._archives / one.file, self._folder / one.name_in_bundle)
            (self._folder / INDEX).write_text(index, encoding="utf-8")
        except OSError as error:
            raise FileAccessError(
                f"{self._folder} cannot be written: {error.strerror}; free space there, then repeat the command"
            ) from error
        self._try_out()

    @property
    def _archives(self) -> Path:
        return self._apt_folder / "cache" / "archives"

    def _there(self, package: Package) -> bool:
        path = self._archives / package.file
        return path.is_file() and path.stat().st_size == package.size

    def _index(self, packages: Sequence[Package]) -> str:
        """The entries of the suites, each with its file in our folder."""
        words = [f"{one.name}={one.version}" for one in packages]
        shown = self._run("apt-cache", "show", *words, timeout=READ_TIMEOUT)
        files = {(one.name, one.version): one for one in packages}
        entries: dict[str, str] = {}
        for stanza in filter(str.strip, shown.split("\n\n")):
            fields = dict(re.findall(r"^(Package|Version): (\S+)$", stanza, re.MULTILINE))
            one = files.get((fields.get("Package", ""), fields.get("Version", "")))
            digest = SHA256.search(stanza)
            if one is not None and digest is not None and one.file not in entries and self._hash(one) == digest[1]:
                entries[one.file] = FILE_NAME.sub(f"Filename: ./{one.name_in_bundle}", stanza.strip())
        if lacking := [one.file for one in packages if one.file not in entries]:
            for file in lacking:
                (self._archives / file).unlink(missing_ok=True)
            raise HostError(
                f"{', '.join(lacking[:5])}: what was downloaded is not what the suites have; repeat the command, which "
                "downloads it anew"
            )
        return "\n\n".join([*entries.values(), ""])

    def _hash(self, package: Package) -> str:
        with (self._archives / package.file).open("rb") as content:
            return sha256(content)

    def _try_out(self) -> None:
        """Let apt install from the folder alone, in a simulation: what is missing is known now, not on the host."""
        folder = self._apt_folder / "alone"
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier run
        for name in FOLDERS:
            (folder / name).mkdir(parents=True)
        (folder / PACKAGES).symlink_to(self._folder.absolute())  # a source's address has no blanks; a stick's name may
        (folder / SOURCES).write_text(source_of(str(folder)))
        alone = options_of(str(folder))
        self._run("apt-get", *OPTIONS, *alone, "update", timeout=READ_TIMEOUT)
        self._run("apt-get", *OPTIONS, *alone, "--simulate", "install", *self._wanted, timeout=READ_TIMEOUT)

    def _write_settings(self, keyring: str) -> None:
        folder = self._apt_folder
        bundle = read_pip_settings(self._here).ca_bundle
        files = self._system.apt_files(self._here, bundle, PurePosixPath(folder), self._architecture)
        if not files["sources.list"].strip():
            raise HostError("this machine has no apt, which finds the packages of a bundle; use a Debian or an Ubuntu")
        files["apt.conf"] += apart(folder, keyring, self._architecture)
        pins: Mapping[str, str] = {}
        if self._system.distribution.compose_is_too_old:
            mirror = files["sources.list"].split()[1]
            files["sources.list"] += f"deb {mirror} {NEXT_RELEASE} main\n"
            pins = {PINNED: compose_preferences()}
        if self._toolkit is not None:
            files["sources.list"] += self._toolkit_line(self._toolkit)
        write_apt(folder, files)
        for name, text in pins.items():
            (folder / "etc" / "preferences.d" / name).write_text(text)

    def _toolkit_line(self, source: ToolkitSource) -> str:
        key = self._apt_folder / "nvidia.gpg"
        self._apt_folder.mkdir(parents=True, exist_ok=True)
        key.write_bytes(checked_keyring(fetch_key(source.key), source.fingerprint, source.key))
        return f"deb [signed-by={key}] {source.packages.replace('$(ARCH)', self._architecture)} /\n"

    def _run(self, *argv: str, timeout: float) -> str:
        settings = f"APT_CONFIG={self._apt_folder / MOUNTED['apt.conf']}"
        return self._here.run(
            "env", settings, "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", *argv,
            timeout=timeout, on_line=self._report.progress,
        ).stdout  # fmt: skip


def _package(file: str, size: int) -> Package:
    """Read the name of a package's file, as apt makes it: NAME_VERSION_ARCHITECTURE.deb, an epoch's colon quoted."""
    name, version, _ = file.rsplit("_", 2)
    return Package(name, unquote(version), file, size)
