"""The lab host itself: a bare server with people who log in, that reboots, and of which nothing is left."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from core.waiting import wait_for
from tests.labhost.fixtures import MakeLabHost
from tests.labhost.host import DATA, OWNER, LabHost, docker, remove_stale, this_process
from tests.labhost.image import CLONE, LABEL
from tests.labhost.machine_settings import MachineSettings
from tests.labhost.way_in import OWN_NETWORK, way_in

pytestmark = [pytest.mark.docker, pytest.mark.slow]

NO_SETTINGS = MachineSettings({}, {}, ())
RULE = ("--filter", f"label={LABEL}={CLONE}")


def ssh(
    host: LabHost, user: str, *command: str, options: tuple[str, ...] = (), stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    program, *rest = host.ssh(user)
    return subprocess.run(
        (program, *options, *rest, *command), input=stdin, capture_output=True, text=True, timeout=30, check=False
    )


def containers_and_volumes() -> str:
    return docker("ps", "--all", *RULE, "--format", "{{.Names}}").stdout + docker("volume", "ls", *RULE, "-q").stdout


def test_people_log_in_with_a_key_and_have_their_rights(lab_host: LabHost) -> None:
    """People log in with a key and have the rights of their kind."""
    password = f"{lab_host.clerk_password}\n"
    assert ssh(lab_host, "root", "id -u").stdout == "0\n"
    assert ssh(lab_host, "operator", "id -un; sudo -n id -u").stdout == "operator\n0\n"
    assert ssh(lab_host, "clerk", "sudo -n id -u").returncode == 1
    assert ssh(lab_host, "clerk", "sudo -S -p '' id -u", stdin=password).stdout == "0\n"
    assert ssh(lab_host, "guest", "sudo -S -p '' id -u", stdin=password).returncode == 1


def test_nobody_gets_in_without_the_key(lab_host: LabHost) -> None:
    refused = ssh(lab_host, "clerk", "true", options=("-v", "-o", "PubkeyAuthentication=no"))
    assert refused.returncode == 255
    assert "Authentications that can continue: publickey\n" in refused.stderr


def test_a_way_in_leads_to_its_own_loopback(lab_host: LabHost) -> None:
    """For more connections than its sshd would carry in a tunnel; the test itself stays on its own network."""
    before = OWN_NETWORK.readlink()
    with way_in(lab_host, 22) as url, ExitStack() as connections:
        port = httpx.URL(url).port
        opened = [
            connections.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(9)
        ]
        assert {one.recv(8) for one in opened} == {b"SSH-2.0-"}
    assert OWN_NETWORK.readlink() == before


def test_its_host_key_is_the_one_in_known_hosts_and_no_other(lab_host: LabHost, tmp_path: Path) -> None:
    (line,) = lab_host.known_hosts.read_text().splitlines()
    scanned = subprocess.run(
        ("ssh-keyscan", "-p", str(lab_host.port), "127.0.0.1"), capture_output=True, text=True, timeout=30, check=True
    )
    assert scanned.stdout.splitlines() == [line.rpartition(" ")[0]]
    assert line.startswith(f"[127.0.0.1]:{lab_host.port} ssh-ed25519 ")
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"), check=True, timeout=30)
    kind, other, _ = (tmp_path / "other.pub").read_text().split(" ", 2)
    wrong = tmp_path / "wrong"
    wrong.write_text(f"[127.0.0.1]:{lab_host.port} {kind} {other}\n")
    assert ssh(lab_host, "root", "true", options=("-o", f"UserKnownHostsFile={wrong}")).returncode == 255


def test_it_is_bare(lab_host: LabHost) -> None:
    programs = ("docker", "dockerd", "containerd", "python3", "pip", "iptables", "curl")
    there = [name for name in programs if not lab_host.exec("sh", "-c", f"command -v {name}", check=False).returncode]
    assert there == []
    assert lab_host.files("/srv") == {}
    assert lab_host.files("/var/lib/docker") == {}
    assert [line.split()[0] for line in lab_host.ps()] == ["/bin/sh", "sshd:", "sleep"]


def test_it_can_install_from_the_mirror(lab_host: LabHost) -> None:
    lab_host.exec("apt-get", "-q", "update")
    assert "Inst docker.io " in lab_host.exec("apt-get", "-qq", "--simulate", "install", "docker.io").stdout


def test_it_has_pictures_that_everybody_may_read(lab_host: LabHost, lab_pictures: dict[str, Path]) -> None:
    assert lab_host.files(DATA) == {name: path.read_bytes() for name, path in lab_pictures.items()}
    assert any("Ñ" in name and " " in name and "ú" in name for name in lab_pictures)
    listed = ssh(lab_host, "guest", f"find {DATA} -name '*.png' -readable | wc -l")
    assert listed.stdout == f"{len(lab_pictures)}\n"


def test_a_reboot_and_a_power_cut_keep_port_key_and_disk(make_lab_host: MakeLabHost) -> None:
    """A reboot and a power cut keep its port its key and its disk."""
    host = make_lab_host()

    def power_cut() -> None:
        host.kill()
        host.boot()

    for switch_off_and_on in (host.restart, power_cut):
        host.exec("touch", "/root/kept", "/var/lib/docker/kept", "/run/gone")
        began = time.monotonic()
        switch_off_and_on()
        assert time.monotonic() - began < 10
        seen = ssh(host, "root", "cd / && ls root/kept var/lib/docker/kept run/gone 2>/dev/null")
        assert seen.stdout.split() == ["root/kept", "var/lib/docker/kept"]
    assert "boot: down" in host.log()


def test_orphans_are_reaped(lab_host: LabHost) -> None:
    lab_host.exec("sh", "-c", "(sleep 0.2; exit 3) & exit 0")
    wait_for("the orphan to end", lambda: True if "sleep 0.2" not in lab_host.ps() else None, timeout=10, pause=0.1)
    assert [line for line in lab_host.ps() if "<defunct>" in line] == []


def test_a_frozen_host_is_silent_and_goes_on_afterwards(lab_host: LabHost) -> None:
    with (
        lab_host.frozen(),
        socket.create_connection((lab_host.address, lab_host.port), timeout=0.5) as connection,
        pytest.raises(TimeoutError),
    ):
        connection.recv(1)
    assert ssh(lab_host, "root", "echo back").stdout == "back\n"


def test_several_run_at_once_and_a_removed_one_leaves_nothing(make_lab_host: MakeLabHost) -> None:
    """Several stand side by side and nothing stays of one that is removed."""
    first, second = make_lab_host(), make_lab_host()
    assert first.port != second.port
    assert first.key.read_bytes() != second.key.read_bytes()
    assert ssh(first, "root", "hostname").stdout != ssh(second, "root", "hostname").stdout
    first.remove()
    assert first.name not in containers_and_volumes()
    assert second.name in containers_and_volumes()


def test_a_start_that_fails_leaves_nothing(lab_host: LabHost, tmp_path: Path) -> None:
    host = LabHost("labelrig-no-such-image:1", tmp_path)
    with pytest.raises(AssertionError, match="labelrig-no-such-image"):
        host.start(NO_SETTINGS, {})
    assert host.name in containers_and_volumes()
    host.remove()
    assert host.name not in containers_and_volumes()


def test_a_host_that_cannot_boot_says_why(lab_host_image: str, tmp_path: Path) -> None:
    host = LabHost(lab_host_image, tmp_path)
    try:
        host.start(NO_SETTINGS, {})
        host.exec("rm", "/usr/sbin/sshd")
        host.kill()
        docker("start", host.name)
        with pytest.raises(AssertionError, match=r"(?s)waited 1 s for sshd of .*/usr/sbin/sshd: not found"):
            host.wait_for_ssh(timeout=1)
    finally:
        host.remove()


def test_what_a_killed_run_left_is_removed_and_nothing_else(lab_host: LabHost, lab_host_image: str) -> None:
    names = {f"labelrig-labhost-{CLONE}-{what}": owner for what, owner in (("dead", "1:0"), ("live", this_process()))}
    dead, live = names
    try:
        for name, owner in names.items():
            labels = ("--label", f"{LABEL}={CLONE}", "--label", f"{OWNER}={owner}")
            docker("volume", "create", *labels, f"{name}-docker")
            docker("create", "--name", name, *labels, "--volume", f"{name}-docker:/x", lab_host_image)
        remove_stale()
        left = containers_and_volumes()
        assert dead not in left
        assert {live, f"{live}-docker", lab_host.name} <= set(left.split())
    finally:
        for name in names:
            docker("rm", "--force", name, check=False)
            docker("volume", "rm", f"{name}-docker", check=False)
