"""Our own base image, for machines that reach a Debian mirror and no registry: made with debootstrap.

debootstrap knows one suite: the release. Its updates and security fixes are installed right after, by the apt inside.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from core.errors import CommandFailed, CommandTimedOut, HostError
from core.report import Report
from core.text import indented
from hosts.base import ANY_EXIT_CODE, Host
from infra.roles.docker.apt import Apt, read_sources
from infra.roles.docker.compose import run_docker
from infra.roles.images.apt_settings import MOUNTED, SECRETS, read_apt_settings
from infra.roles.images.mirror import find_mirror, read_proxies, wgetrc, with_login
from infra.roles.images.packages import PACKAGES_LABEL, SUITE, Offered, as_text, package_names
from infra.roles.images.pip_settings import read_pip_settings
from infra.roles.images.work_folder import work_folder

PACKAGES = ("python3", "python3-venv", "ca-certificates")
RECIPE = "infra/roles/images/dockerfiles/base/finish.sh"
UPGRADE = "infra/roles/images/dockerfiles/apt-install.sh"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
IN_BUILD = PurePosixPath("/run/build")
REPOSITORY = "labelrig/base"
KEYRING_PACKAGE = "debian-archive-keyring"
DEBOOTSTRAP_TIMEOUT = 1200.0
IMPORT_TIMEOUT = 600.0
UPGRADE_TIMEOUT = 1200.0


def base_tag(repository: Path, architecture: str, offered: Offered) -> str:
    """The tag of the base image that this tree makes: it changes with its recipe and with its packages' versions."""
    digest = hashlib.sha256()
    digest.update("\0".join((SUITE, architecture, *PACKAGES)).encode())
    for recipe in (RECIPE, UPGRADE):
        digest.update((repository / recipe).read_bytes())
    return f"{REPOSITORY}:{SUITE}-{digest.hexdigest()[:12]}-{offered.digest(package_names(repository))}"


class BaseBuilder:
    """Makes the base image on one host. Root's rights are needed for the devices and owners of a root folder."""

    def __init__(
        self, host: Host, report: Report, repository: Path, project: str, offered: Offered | None = None
    ) -> None:
        self._host = host
        self._report = report
        self._repository = repository
        self._project = project
        self._offered = offered or Offered()

    def build(self, tag: str) -> None:
        """Make the image and give it its tag.

        Raises:
            HostError: debootstrap cannot be had, or did not succeed; its last lines are in the message.
        """
        self._install_debootstrap()
        with work_folder(self._host, "base", self._project) as work:
            self._bootstrap(work)
            self._upgrade(f"{work}/root")
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
                PATH,
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

    def _upgrade(self, root: str) -> None:
        """Install what the suites have beyond the release, with the files where a build has them."""
        mirror = find_mirror(read_sources(self._host)).url or ""
        # A mirror in a folder of the machine cannot be seen from inside, and the usual one may be out of reach.
        soft = ("--if-reachable",) if urlsplit(mirror).scheme == "file" else ()
        ca_bundle = read_pip_settings(self._host).ca_bundle
        inside = f"{IN_BUILD}/ca.crt" if ca_bundle is not None else None
        files = {str(SECRETS / MOUNTED[name]): text for name, text in read_apt_settings(self._host, inside).items()}
        if not files[str(SECRETS / MOUNTED["sources.list"])].strip():
            raise HostError(
                f"{self._host.name}: the base image was not made: apt's sources name no Debian mirror from which its "
                "security fixes could come; add one below /etc/apt"
            )
        if ca_bundle is not None and inside is not None:
            files[inside] = (self._host.read(ca_bundle) or b"").decode("utf-8", "replace")
        try:
            for path, text in files.items():
                self._host.write(f"{root}{path}", text.encode(), 0o600, as_root=True)
            script = (self._repository / UPGRADE).read_bytes()
            self._host.run(
                "env", "-i", PATH, "chroot", root, "sh", "-s", "--", *soft,
                stdin=script, as_root=True, timeout=UPGRADE_TIMEOUT, on_line=self._report.progress,
            )  # fmt: skip
        except (CommandFailed, CommandTimedOut) as error:
            raise HostError(f"the base image did not get its updates and security fixes: {error}") from error
        finally:
            self._host.run("rm", "-rf", f"{root}{SECRETS}", f"{root}{IN_BUILD}", as_root=True)

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
            f'LABEL {PACKAGES_LABEL}="{as_text(self._offered.of(package_names(self._repository)))}"',
            "--change",
            f"ENV {PATH} LANG=C.UTF-8",
            archive,
            tag,
            timeout=IMPORT_TIMEOUT,
            on_line=self._report.progress,
        )
