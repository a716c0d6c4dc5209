"""apt without questions: refresh the lists, look at the plan, install; one clear error when it cannot."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from core.errors import CommandFailed, HostError, WaitTimeout
from core.report import Report
from core.text import TAIL_LINES
from core.waiting import wait_for
from hosts.base import ANY_EXIT_CODE, Host

UPDATE_TIMEOUT = 300.0
INSTALL_TIMEOUT = 1200.0
LOCK_SECONDS = 120
LISTS_LOCK = "/var/lib/apt/lists/lock"
# /proc/locks names the file of a lock by device and inode, proc(5).
LISTS_ARE_HELD = 'inode=$(stat -c %i -- "$1") && grep -q ":$inode " /proc/locks'
DEBIAN_KEYRING = "debian-archive-keyring"
ENVIRONMENT = ("env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "NEEDRESTART_MODE=l")
OPTIONS = (
    "-y",
    "-o",
    f"DPkg::Lock::Timeout={LOCK_SECONDS}",
    "-o",
    "Acquire::Retries=2",
    "-o",
    "Dpkg::Use-Pty=0",
    "-o",
    "Dpkg::Options::=--force-confold",
    "--no-install-recommends",
)
# So that looking writes nothing, not even apt's own cache: root's apt would, in a plan too.
NO_CACHE = ("-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=")
PLANNED = re.compile(r"^(Inst|Remv) (\S+)(?: \[[^\]]*\])?(?: \((\S+) ([^)\[]*))?")


@dataclass(frozen=True)
class PlannedPackage:
    """One line of apt's plan: `action` is Inst or Remv, `origin` such as "Debian:13.1/stable"."""

    action: str
    name: str
    version: str
    origin: str


@dataclass(frozen=True)
class AptSource:
    """One package index that apt uses: `uri` ends with a slash."""

    uri: str
    codename: str
    component: str
    label: str


def read_sources(host: Host) -> list[AptSource]:
    """Ask apt which package indexes it uses, whatever the files look like that say so.

    A server whose lists were never fetched (a cloud image) names its sources all the same; only what their releases
    would say of themselves, codename and label, is then taken from the suite and the keyring.
    """
    fields = "$(REPO_URI)|$(CODENAME)|$(COMPONENT)|$(LABEL)"
    answer = host.run("apt-get", *NO_CACHE, "indextargets", "--format", fields, "Created-By: Packages")
    found = [AptSource(*parts) for line in answer.stdout.splitlines() if len(parts := line.strip().split("|")) == 4]
    if found:
        return found
    fields = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)"
    unread = ("--no-release-info", "--format", fields, "Created-By: Packages")
    answer = host.run("apt-get", *NO_CACHE, "indextargets", *unread)
    lines = [parts for line in answer.stdout.splitlines() if len(parts := line.strip().split("|")) == 4]
    return [AptSource(uri, suite, component, _label(uri, key)) for uri, suite, component, key in lines]


def _label(uri: str, keyring: str) -> str:
    """The archive that a source without release information most likely is: by its key, else by its path."""
    if keyring and not keyring.startswith("$("):
        return "Debian" if DEBIAN_KEYRING in keyring else ""
    return "Debian" if uri.rstrip("/").endswith("/debian") else ""


def parse_plan(simulated: str) -> list[PlannedPackage]:
    """Read the output of `apt-get --simulate install`."""
    return [
        PlannedPackage(match[1], match[2], match[3] or "", (match[4] or "").strip())
        for match in map(PLANNED.match, simulated.splitlines())
        if match
    ]


def unwelcome(plan: Sequence[PlannedPackage], next_version: str, allowed: Collection[str]) -> list[str]:
    """Say what in apt's plan is more than was asked for: removals, and packages of the next release."""
    return [
        f"remove {package.name}"
        if package.action == "Remv"
        else f"install {package.name} {package.version} of the next release"
        for package in plan
        if package.action == "Remv"
        or (bool(next_version) and package.origin.startswith(f"Debian:{next_version}") and package.name not in allowed)
    ]


class Apt:
    """apt on one host. Root's rights are taken for changes only.

    Attributes:
        takes_sources: packages come from the sources of the machine, to which others may be added.
        update_fix: what a person does where the lists cannot be refreshed.
    """

    takes_sources = True
    update_fix = "mend what apt names in its sources (/etc/apt/sources.list, /etc/apt/sources.list.d)"

    def __init__(self, host: Host, report: Report) -> None:
        self._host = host
        self._report = report
        self._updated = False
        self._more_options: tuple[str, ...] = ()
        self._lists_lock = LISTS_LOCK

    def candidate(self, package: str) -> str | None:
        """The version that apt would install from the lists it has; None where there is none."""
        answer = self._host.run("env", "LC_ALL=C.UTF-8", "apt-cache", *NO_CACHE, "policy", package)
        found = re.search(r"^\s+Candidate: (\S+)$", answer.stdout, re.MULTILINE)
        return found[1] if found is not None and found[1] != "(none)" else None

    def update(self) -> None:
        """Refresh the package lists. A source that cannot be reached is apt's warning, not an error of ours.

        Raises:
            HostError: another program holds apt's lists for too long, or a source is broken.
        """
        last: list[CommandFailed] = []
        unheld = 0

        def attempt() -> bool | None:
            nonlocal unheld
            try:
                self._apt("update", timeout=UPDATE_TIMEOUT)
            except CommandFailed as error:
                last[:] = [error]
                unheld = 0 if self._lists_are_held() else unheld + 1
                # Whoever held them may have ended just before the look, so that one time proves nothing.
                if unheld > 1:
                    raise HostError(
                        f"the package lists cannot be refreshed: {self.update_fix}, then repeat the command. {error}"
                    ) from error
                return None
            return True

        try:
            # The lock on the lists, unlike dpkg's, is not waited for by apt itself.
            wait_for("apt", attempt, timeout=LOCK_SECONDS / 2, pause=5, show=self._report.progress)
        except WaitTimeout as error:
            raise HostError(
                f"another program holds apt's package lists for {LOCK_SECONDS / 2:.0f} s: let it finish, then repeat "
                f"the command. {last[0]}"
            ) from error
        self._updated = True

    def install(
        self,
        packages: Sequence[str],
        *,
        refresh: bool = False,
        next_version: str = "",
        allowed: Collection[str] = (),
    ) -> None:
        """Install packages, after a look at what apt would do.

        Args:
            packages: names; no recommended packages come with them.
            refresh: fetch the package lists first; otherwise only when something is not in them.
            next_version: the Debian version of which only `allowed` may come; empty: no such rule.
            allowed: see `next_version`.

        Raises:
            HostError: apt knows no such package, or would remove or replace something.
            CommandFailed: apt failed; its last lines are in the message.
        """
        if not self._updated and (refresh or None in map(self.candidate, packages)):
            self.update()
        unknown = [package for package in packages if self.candidate(package) is None]
        if unknown:
            raise HostError(
                f"{self._host.name}: apt knows no package {', '.join(unknown)}, also after `apt-get update`: "
                "is the distribution's mirror in its sources, and can it be reached?"
            )
        plan = self._apt("install", "--simulate", *packages, timeout=UPDATE_TIMEOUT)
        if problems := unwelcome(parse_plan(plan), next_version, allowed):
            raise HostError(
                f"{self._host.name}: to install {', '.join(packages)} apt would also "
                f"{', '.join(problems[:TAIL_LINES])}; nothing was installed. "
                "Solve this with apt by hand, then repeat the command"
            )
        try:
            self._apt("install", *packages, timeout=INSTALL_TIMEOUT)
        except CommandFailed:
            if self._updated:
                raise
            self.update()  # old lists name files that the mirror no longer has
            self._apt("install", *packages, timeout=INSTALL_TIMEOUT)

    def _lists_are_held(self) -> bool:
        return self._host.run("sh", "-c", LISTS_ARE_HELD, "sh", self._lists_lock, ok=ANY_EXIT_CODE).ok

    def _apt(self, command: str, *args: str, timeout: float) -> str:
        return self._host.run(
            *ENVIRONMENT,
            "apt-get",
            *OPTIONS,
            *self._more_options,
            command,
            *args,
            timeout=timeout,
            on_line=self._report.progress,
            as_root=True,
        ).stdout
