"""Programs that the tests need on this machine beyond Python's packages."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from core.errors import HostError
from core.report import Report
from hosts.base import Host
from infra.roles.docker.apt import Apt

SBIN = "/usr/sbin:/usr/local/sbin:/sbin"
# Program -> the Debian package that brings it.
PROGRAMS = {
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "sudo": "sudo",
    "tcsh": "tcsh",
    "chromium": "chromium",
}
SERVICES = ("ssh.service", "ssh.socket")
SYSTEMCTL_TIMEOUT = 30.0
# The same of programs that need no more than their file. They are unpacked beside the environment, not installed: that
# needs no root's rights, and no service of their package begins.
UNPACKED = {"restic": "restic", "rclone": "rclone", "prometheus": "prometheus", "promtool": "prometheus"}
FETCH_TIMEOUT = 600.0


def missing_packages() -> list[str]:
    """The Debian packages whose programs are not on this machine."""
    path = f"{os.environ.get('PATH', os.defpath)}:{SBIN}"
    return sorted({package for program, package in PROGRAMS.items() if shutil.which(program, path=path) is None})


def install_test_needs(host: Host, report: Report) -> None:
    """Install what is missing. Without root's rights nothing is done: the tests that need it say so themselves.

    The tests start an SSH server of their own; the system's must not begin to listen because of tests.
    """
    missing = missing_packages()
    if not missing or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    report.changing(f"install {', '.join(missing)} for the tests")
    masked = "openssh-server" in missing and shutil.which("systemctl") is not None
    if masked:
        host.run("systemctl", "mask", *SERVICES, timeout=SYSTEMCTL_TIMEOUT)
    try:
        Apt(host, report).install(missing)
    finally:
        if masked:
            host.run("systemctl", "unmask", *SERVICES, timeout=SYSTEMCTL_TIMEOUT)


def programs_folder() -> Path:
    """Where the programs of `UNPACKED` are that are not installed on this machine."""
    return Path(sys.prefix) / "debian"


def unpacked_path() -> str:
    """The places in which programs of `UNPACKED` are looked for, as PATH has them."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), str(programs_folder() / "usr" / "bin")])


def unpack_test_needs(host: Host, report: Report) -> None:
    """Fetch the packages of what is missing of `UNPACKED`, and unpack them. Where one cannot be had, tests say so."""
    there = unpacked_path()
    missing = sorted({package for program, package in UNPACKED.items() if shutil.which(program, path=there) is None})
    if not missing or shutil.which("apt-get") is None:
        return
    report.changing(f"unpack {', '.join(missing)} for the tests")
    for package in missing:
        with TemporaryDirectory() as folder:
            try:
                host.run("env", f"--chdir={folder}", "apt-get", "download", package, timeout=FETCH_TIMEOUT)
                (archive,) = Path(folder).glob("*.deb")
                host.run("dpkg-deb", "--extract", str(archive), str(programs_folder()), timeout=FETCH_TIMEOUT)
            except HostError as error:
                report.notice(f"the tests that need {package} are skipped: {error}")
