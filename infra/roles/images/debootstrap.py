"""Our own base image, for machines that reach a Debian mirror and no registry: made with debootstrap."""

from __future__ import annotations

import hashlib
from pathlib import Path

from core.errors import CommandFailed, CommandTimedOut, HostError
from core.report import Report
from core.text import indented
from hosts.base import ANY_EXIT_CODE, Host
from infra.roles.docker.apt import Apt, read_sources
from infra.roles.docker.compose import run_docker
from infra.roles.images.mirror import find_mirror, read_proxies, wgetrc, with_login
from infra.roles.images.pip_settings import read_pip_settings
from infra.roles.images.work_folder import work_folder

SUITE = "bookworm"
PACKAGES = ("python3", "python3-venv", "ca-certificates")
RECIPE = "infra/roles/images/dockerfiles/base/finish.sh"
REPOSITORY = "labelrig/base"
KEYRING_PACKAGE = "debian-archive-keyring"
DEBOOTSTRAP_TIMEOUT = 1200.0
IMPORT_TIMEOUT = 600.0


def base_tag(repository: Path, architecture: str) -> str:
    """The tag of the base image that this tree makes: it changes with its packages and its recipe."""
    digest = hashlib.sha256()
    digest.update("\0".join((SUITE, architecture, *PACKAGES)).encode())
    digest.update((repository / RECIPE).read_bytes())
    return f"{REPOSITORY}:{SUITE}-{digest.hexdigest()[:12]}"


class BaseBuilder:
    """Makes the base image on one host. Root's rights are needed for the devices and owners of a root folder."""

    def __init__(self, host: Host, report: Report, repository: Path, project: str) -> None:
        self._host = host
        self._report = report
        self._repository = repository
        self._project = project

    def build(self, tag: str) -> None:
        """Make the image and give it its tag.

        Raises:
            HostError: debootstrap cannot be had, or did not succeed; its last lines are in the message.
        """
        self._install_debootstrap()
        with work_folder(self._host, "base", self._project) as work:
            self._bootstrap(work)
            self._import(work, tag)

    def _install_debootstrap(self) -> None:
        there = self._host.run("sh", "-c", "PATH=$PATH:/usr/sbin:/sbin command -v debootstrap", ok=ANY_EXIT_CODE)
        keyring = self._host.run("test", "-d", "/usr/share/doc/" + KEYRING_PACKAGE, ok=(0, 1))
        missing = [
            package for package, found in (("debootstrap", there.ok), (KEYRING_PACKAGE, keyring.ok)) if not found
        ]
        if missing:
            Apt(self._host, self._report).install(missing)

    def _bootstrap(self, work: str) -> None:
        mirror = with_login(self._host, find_mirror(read_sources(self._host)))
        proxies = read_proxies(self._host, mirror)
        ca_bundle = read_pip_settings(self._host).ca_bundle
        settings = f"{work}/wgetrc"
        self._host.write(settings, wgetrc(mirror, proxies, ca_bundle).encode(), 0o600, as_root=True)
        address = [mirror.url] if mirror.url is not None else []
        try:
            self._host.run(
                "env",
                f"WGETRC={settings}",
                "LC_ALL=C",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "debootstrap",
                "--variant=minbase",
                "--force-check-gpg",
                f"--include={','.join(PACKAGES)}",
                SUITE,
                f"{work}/root",
                *address,
                as_root=True,
                timeout=DEBOOTSTRAP_TIMEOUT,
                on_line=lambda line: self._report.progress(f"debootstrap: {line}"),
            )
        except (CommandFailed, CommandTimedOut) as error:
            log = self._host.run(
                "tail", "-n", "10", f"{work}/root/debootstrap/debootstrap.log", ok=ANY_EXIT_CODE, as_root=True
            )
            raise HostError(
                f"the base image could not be made: {error}\n  the end of debootstrap's log:\n{indented(log.stdout)}"
            ) from error

    def _import(self, work: str, tag: str) -> None:
        recipe = (self._repository / RECIPE).read_bytes()
        self._host.run("sh", "-s", "--", f"{work}/root", stdin=recipe, as_root=True, timeout=IMPORT_TIMEOUT)
        self._report.progress("packing the base image")
        archive = f"{work}/base.tar"
        self._host.run(
            "tar", "--numeric-owner", "--sort=name", "-C", f"{work}/root", "-cf", archive, ".",
            as_root=True, timeout=IMPORT_TIMEOUT,
        )  # fmt: skip
        self._host.run("chmod", "755", work, as_root=True)
        run_docker(
            self._host,
            "docker",
            "import",
            "--change",
            f"LABEL org.labelrig.project={self._project} org.labelrig.base=debootstrap",
            "--change",
            "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8",
            archive,
            tag,
            timeout=IMPORT_TIMEOUT,
            on_line=self._report.progress,
        )
