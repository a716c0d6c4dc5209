"""The state "Docker starts after network shares": else containers of a rebooted server serve an empty image folder.

Docker binds what lies at a path when a container starts. Where the NAS is mounted later, the container keeps the empty
mount point, and every image of the project is missing until it is restarted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.diff import masked_diff
from core.operation import Change, Operation
from hosts.base import Host
from hosts.looking import looks_as_root
from infra.roles.docker.service import has_systemd

DROP_IN = "/etc/systemd/system/docker.service.d/labelrig-shares.conf"
CONTENT = b"""# Written by labelrig: image folders on network shares are mounted before Docker starts containers.
[Unit]
Wants=remote-fs.target
After=remote-fs.target
"""
NETWORK = ("nfs", "cifs", "smb", "ceph", "lustre", "beegfs", "gpfs", "9p", "fuse.sshfs", "fuse.glusterfs", "autofs")


class DockerAfterShares(Operation):
    """A drop-in of Docker's systemd unit, written where a folder that containers get is on a network share."""

    name = "docker started after network shares"

    def __init__(self, host: Host, *folders: Path | None) -> None:
        """Keep what is needed; nothing is read yet.

        Args:
            folders: on the host, as the image folder; None for one that is on its own disk.
        """
        self._host = host
        self._folders = [folder for folder in folders if folder is not None]

    def plan(self) -> Sequence[Change]:
        if not self._folders or not has_systemd(self._host):
            return []
        shares = [folder for folder in self._folders if self._is_share(folder)]
        if not shares:
            return []
        present = self._host.read(DROP_IN, as_root=True)
        if present == CONTENT:
            return []
        summary = f"start Docker after network shares are mounted ({shares[0]} is on one)"
        return [Change(summary, self._write, masked_diff(DROP_IN, present or b"", CONTENT))]

    def _is_share(self, folder: Path) -> bool:
        # Exit code 1: nothing is found for the path; 127: the program is missing.
        options = ("--noheadings", "--output", "FSTYPE", "--target", str(folder))
        shown = self._host.run("findmnt", *options, ok=(0, 1, 127), as_root=looks_as_root(self._host))
        return any(line.strip().startswith(NETWORK) for line in shown.stdout.splitlines())

    def _write(self) -> None:
        self._host.write(DROP_IN, CONTENT, as_root=True)
        self._host.run("systemctl", "daemon-reload", as_root=True)
