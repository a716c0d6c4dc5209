"""Programs that the tests need on this machine beyond Python's packages."""

from __future__ import annotations

import os
import shutil

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
