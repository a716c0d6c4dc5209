"""Docker is started after network shares, where the image folder lies on one."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.operation import converge
from hosts.local import LocalHost
from infra.roles.docker.service import SYSTEMD_MARK
from infra.roles.docker.shares import CONTENT, DROP_IN, DockerAfterShares
from tests.fakes import FakeHost
from tests.unit.infra.deploy_bench import quiet

FOLDER = Path("/NAS/home/me/RGB T")
RELOAD = ("systemctl", "daemon-reload")


def server(kind: str, *, systemd: bool = True) -> FakeHost:
    host = FakeHost()
    host.script("test", "-d", SYSTEMD_MARK, exit_code=0 if systemd else 1)
    host.script("findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(FOLDER), stdout=f"{kind}\n")
    host.script(*RELOAD)
    return host


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "autofs\nnfs"])
def test_writes_drop_in_for_a_share(kind: str) -> None:
    host = server(kind)
    operation = DockerAfterShares(host, FOLDER)
    (change,) = operation.plan()
    assert change.summary == "start Docker after network shares are mounted (/NAS/home/me/RGB T is on one)"
    assert "+After=remote-fs.target" in change.diff
    assert (host.files, RELOAD in host.commands) == ({}, False)
    assert converge([operation], quiet()) == 1
    assert (host.files[DROP_IN], host.modes[DROP_IN], host.commands.count(RELOAD)) == (CONTENT, 0o644, 1)
    assert converge([operation], quiet()) == 0


def test_any_of_the_folders_may_be_the_share() -> None:
    host = server("nfs")
    host.script("findmnt", "--noheadings", "--output", "FSTYPE", "--target", "/data", stdout="ext4\n")
    (change,) = DockerAfterShares(host, Path("/data"), None, FOLDER).plan()
    assert f"({FOLDER} is on one)" in change.summary


def test_corrects_an_edited_drop_in() -> None:
    host = server("nfs")
    host.files[DROP_IN] = b"[Unit]\n"
    assert converge([DockerAfterShares(host, FOLDER)], quiet()) == 1
    assert host.files[DROP_IN] == CONTENT


@pytest.mark.parametrize(
    ("host", "folder"),
    [(server("ext4"), FOLDER), (server(""), FOLDER), (server("nfs4", systemd=False), FOLDER), (FakeHost(), None)],
    ids=["own-disk", "unknown", "no-systemd", "demo-images"],
)
def test_leaves_other_hosts_alone(host: FakeHost, folder: Path | None) -> None:
    assert DockerAfterShares(host, folder).plan() == []
    assert host.files == {}


def test_reads_the_real_findmnt() -> None:
    """The program knows these options, and prints one word."""
    shown = LocalHost().run("findmnt", "--noheadings", "--output", "FSTYPE", "--target", "/usr/bin/env")
    assert len(shown.stdout.split()) == 1
