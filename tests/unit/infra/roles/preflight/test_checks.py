from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from hosts.local import LocalHost
from infra.roles.preflight import checks
from infra.roles.preflight.data_folder import FolderCheck, check_folder

BOOKWORM = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
# Two routes as /proc/net/route shows them: the default one, and 172.31.0.0/16 on eth1.
ROUTES = (
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "eth1\t00001FAC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
)


def test_supported_systems_pass_and_others_are_named() -> None:
    assert checks.os_problems(BOOKWORM, "x86_64", False) == []
    assert checks.os_problems("ID=ubuntu\nVERSION_ID='24.04'", "aarch64", False) == []
    (problem,) = checks.os_problems("ID=fedora\nVERSION_ID=41\n", "x86_64", False)
    assert problem.startswith("this is fedora 41; Docker can be installed on debian 12, debian 13, ubuntu 22.04")
    assert checks.os_problems("ID=fedora\nVERSION_ID=41\n", "x86_64", True) == []
    assert checks.os_problems(None, "armv7l", True) == ["the processor is armv7l; x86_64 or aarch64 is needed"]


@pytest.mark.parametrize(
    ("uid", "sudo", "ready", "count"),
    [(0, False, False, 0), (1000, False, True, 0), (1000, True, False, 1), (1000, False, False, 1)],
)
def test_rights(uid: int, sudo: bool, ready: bool, count: int) -> None:
    problems = checks.rights_problems(uid, sudo, ready)
    assert len(problems) == count
    assert all("sudo ./inv up" in problem for problem in problems)


def test_memory() -> None:
    assert checks.memory_problems("MemTotal:       24000000 kB\n") == []
    assert checks.memory_problems("MemTotal:       2097152 kB\n") == ["2.0 GiB of memory; at least 3 GiB are needed"]
    assert len(checks.memory_problems("")) == 1


def test_needs_on_one_disk_are_added_up(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("x", "y/not/there")]
    disks = {path: checks.read_disk(LocalHost(), path) for path in paths}
    assert [disk.path for disk in disks.values()] == [str(tmp_path)] * 2
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    assert disks[paths[0]].free == pytest.approx(free, rel=0.05)
    share = int(disks[paths[0]].free * 0.7)
    assert checks.disk_problems(disks, {"a": (paths[0], share)}) == []
    (problem,) = checks.disk_problems(disks, {"a": (paths[0], share), "b": (paths[1], share)})
    assert f"on the disk of {tmp_path}, " in problem
    assert f"(a in {paths[0]}; b in {paths[1]})" in problem


def listening(listen: str = "127.0.0.1") -> set[int]:
    return checks.listening_ports(Path("/proc/net/tcp").read_text(), Path("/proc/net/tcp6").read_text(), listen)


def test_a_port_that_is_taken_is_named_unless_it_is_ours() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (problem,) = checks.port_problems(listening(), port, ours=False)
        assert problem.startswith(f"port {port} of 127.0.0.1 is taken by another program")
        assert checks.port_problems(listening(), port, ours=True) == []
        assert port in listening("0.0.0.0")
        assert port not in listening("127.0.0.9")
    assert port not in listening()


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")])
def test_a_port_that_is_taken_on_every_address_is_in_our_way(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family) as taken:
        taken.bind((address, 0))
        taken.listen()
        assert taken.getsockname()[1] in listening()


def test_an_old_kernel_and_a_wrong_clock_are_named() -> None:
    assert checks.kernel_problems("6.1.0-28-amd64") == []
    assert checks.kernel_problems("4.15.0-20-generic") == ["the kernel is 4.15.0-20-generic; 4.18 or newer is needed"]
    assert checks.clock_problems(1000.0, 1060.0) == []
    (problem,) = checks.clock_problems(1000.0, 4600.0)
    assert problem.startswith("its clock is 3600 s behind this machine's; set the time there")


def test_a_route_that_overlaps_our_network_is_named() -> None:
    (problem,) = checks.subnet_problems("172.31.250.0/24", ROUTES, ours=False)
    assert problem.startswith("the compose network 172.31.250.0/24 overlaps the route 172.31.0.0/16 of eth1;")
    assert checks.subnet_problems("172.31.250.0/24", ROUTES, ours=True) == []
    assert checks.subnet_problems("10.99.0.0/24", ROUTES, ours=False) == []


class TestFolder:
    PATTERN = ".*png"

    def check(self, path: Path) -> str:
        (problem,) = check_folder(LocalHost(), path, self.PATTERN).problems
        return problem

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "imágenes Ñ"
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "a b.png").touch()
        for path in (folder, folder / "sub"):
            path.chmod(0o755)
        (folder / "sub" / "a b.png").chmod(0o644)
        return folder

    def test_a_good_folder_has_no_problem(self, folder: Path) -> None:
        assert check_folder(LocalHost(), folder, self.PATTERN) == FolderCheck(())

    def test_missing_relative_file_and_root_are_named(self, folder: Path) -> None:
        assert self.check(folder / "none") == f"data folder {folder}/none: no such file or directory"
        assert self.check(Path("images")) == "data folder images: give an absolute path"
        assert self.check(folder / "sub" / "a b.png").endswith("is not a folder")
        assert self.check(Path("/")).startswith("data folder /: the whole machine would be served")

    def test_a_folder_without_images_is_named(self, folder: Path) -> None:
        (folder / "sub" / "a b.png").rename(folder / "sub" / "a b.jpg")
        assert self.check(folder) == f"data folder {folder}: no file matches '.*png' among its first 20000 entries"

    def test_what_servers_put_there_is_no_image(self, folder: Path) -> None:
        """Their folders are often readable for themselves alone."""
        (folder / "sub" / "a b.png").rename(folder / "sub" / "a b.PNG")
        for name in ("lost+found", "@eaDir"):
            (folder / name).mkdir(mode=0o700)
            (folder / name / "a.png").touch(mode=0o600)
        (folder / "sub" / "._a b.png").touch(mode=0o600)
        assert check_folder(LocalHost(), folder, self.PATTERN) == FolderCheck(())
        (folder / "sub" / "a b.PNG").unlink()
        assert self.check(folder).endswith("no file matches '.*png' among its first 20000 entries")

    def test_a_folder_that_only_its_owner_may_read_is_named(self, folder: Path) -> None:
        folder.chmod(0o700)
        assert "the containers do not run as root and could not read it (mode drwx------)" in self.check(folder)

    def test_files_that_only_their_owner_may_read_are_counted(self, folder: Path) -> None:
        (folder / "sub" / "a b.png").chmod(0o600)
        assert "1 of the first 1 images are not readable for the containers, for example sub/a b.png" in self.check(
            folder
        )

    def test_joins_the_folders_group_where_others_have_no_access(self, folder: Path) -> None:
        """The folder's own group is joined where others are shut out."""
        for path in (folder, folder / "sub", folder / "sub" / "a b.png"):
            os.chown(path, -1, 4242)
            path.chmod(0o640 if path.suffix else 0o750)
        assert check_folder(LocalHost(), folder, self.PATTERN) == FolderCheck((), group=4242)
