"""What stands in the way gets one clear sentence and its exit code, and nothing is half-made: on a bare host."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.deploy.command import Ended, Lab
from tests.labhost.fixtures import MakeLabHost
from tests.labhost.host import DATA, LabHost

Trouble = Callable[[LabHost], Iterator[Mapping[str, object] | None]]


@dataclass(frozen=True)
class Case:
    """One thing that is wrong.

    Attributes:
        says: parts of the one sentence.
        code: the exit code.
        settings: of the inventory, for the host.
        secrets: of `.env`.
        trouble: makes the host wrong while the context lasts; what it yields is added to the settings.
    """

    name: str
    says: tuple[str, ...]
    code: int
    settings: Mapping[str, object] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    trouble: Trouble | None = None
    arguments: tuple[str, ...] = ()


def wrong_host_key(host: LabHost) -> Iterator[Mapping[str, object]]:
    """The known key is another host's."""
    path = host.known_hosts.with_name("changed_known_hosts")
    other = "AAAAC3NzaC1lZDI1NTE5AAAAIJ9mW7kPyrTdFIY0hVvJZxwZ0LrmA6Yq8mJcQy2Yl1dE"
    path.write_text(f"[{host.address}]:{host.port} ssh-ed25519 {other}\n")
    yield {"known_hosts": str(path)}


def no_known_key(host: LabHost) -> Iterator[Mapping[str, object]]:
    """Nothing is known of the host's key."""
    path = host.known_hosts.with_name("empty_known_hosts")
    path.write_text("")
    yield {"known_hosts": str(path)}


def nobody_listens(host: LabHost) -> Iterator[Mapping[str, object]]:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield {"ssh_port": taken.getsockname()[1]}


def silent(host: LabHost) -> Iterator[Mapping[str, object]]:
    """A server that accepts and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield {"ssh_port": listener.getsockname()[1], "connect_timeout": 2}


def wrong_key(host: LabHost) -> Iterator[Mapping[str, object]]:
    """A private key that the host does not know."""
    import subprocess

    path = host.key.with_name("stranger")
    if not path.exists():
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)), check=True, timeout=30)
    yield {"ssh_key": str(path)}


def dead_dns(host: LabHost) -> Iterator[None]:
    """The name server does not answer."""
    before = host.exec("cat", "/etc/resolv.conf").stdout
    host.exec("sh", "-c", "cat > /etc/resolv.conf", stdin="nameserver 127.0.0.253\noptions timeout:1 attempts:1\n")
    yield None
    host.exec("sh", "-c", "cat > /etc/resolv.conf", stdin=before)


def full_disk(host: LabHost) -> Iterator[Mapping[str, object]]:
    """The folder for our files lies on a small disk that is full."""
    host.exec(
        "sh", "-c", "mkdir -p /small && mount -t tmpfs -o size=1m tmpfs /small && head -c 900k /dev/zero > /small/x"
    )
    yield {"root": "/small/labelrig"}
    host.exec("umount", "/small")


def full_engine_disk(host: LabHost) -> Iterator[None]:
    """The engine's folder lies on a small disk."""
    host.exec("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", "/var/lib/docker")
    yield None
    host.exec("umount", "/var/lib/docker")


def closed_folder(host: LabHost) -> Iterator[Mapping[str, object]]:
    """A data folder that only its owner may enter."""
    host.exec("sh", "-c", f"cp -r {DATA} /NAS/closed && chown -R operator /NAS/closed && chmod 700 /NAS/closed")
    yield {"data": "/NAS/closed"}
    host.exec("rm", "-rf", "/NAS/closed")


def closed_images(host: LabHost) -> Iterator[Mapping[str, object]]:
    """A data folder with images that only their owner may read."""
    host.exec("sh", "-c", f"cp -r {DATA} /NAS/shut && chown -R operator /NAS/shut && chmod 600 /NAS/shut/*.png")
    yield {"data": "/NAS/shut"}
    host.exec("rm", "-rf", "/NAS/shut")


def taken_port(host: LabHost) -> Iterator[Mapping[str, object]]:
    """sshd of the host itself listens on the port that Label Studio is to have, on every address."""
    yield {"port": 22}


def other_system(host: LabHost) -> Iterator[None]:
    """A distribution on which labelrig cannot install Docker."""
    before = host.exec("cat", "/usr/lib/os-release").stdout
    host.exec("sh", "-c", "cat > /usr/lib/os-release", stdin='ID=gentoo\nVERSION_ID="2.15"\nPRETTY_NAME="Gentoo"\n')
    yield None
    host.exec("sh", "-c", "cat > /usr/lib/os-release", stdin=before)


CASES = (
    Case("host key changed", ("is not the one", "ssh-keygen -R"), 6, trouble=wrong_host_key),
    Case("no sudo", ("guest", "sudo"), 3, {"user": "guest"}),
    Case("dead DNS", ("cannot be resolved",), 3, trouble=dead_dns),
    Case("disk of the engine full", ("GiB free on the disk of /var/lib/docker",), 3, trouble=full_engine_disk),
    Case("images closed", ("images are not readable for the containers",), 3, trouble=closed_images),
    Case("system unknown", ("this is gentoo 2.15",), 3, trouble=other_system),
    Case("engine not ours to install", ("manage_docker: false",), 1, {"manage_docker": False}),
    Case("several at once", ("preflight found 3 problems",), 3, {"data": "/NAS/none", "port": 22, "gpu": "require"}),
    Case("inventory wrong", ("prot: is not a setting; did you mean port?",), 2, {"prot": 8080}),
)
# Each is tested without a host too: contract/test_ssh_connect.py, test_ssh_sudo.py, unit/infra/roles/preflight, config.
MORE_CASES = (
    Case("host key unknown", ("--accept-new-host-key",), 6, trouble=no_known_key),
    Case("host name unknown", ("no-such-host.invalid",), 6, {"address": "no-such-host.invalid"}),
    Case("nobody listens", ("nothing listens on 127.0.0.1 port",), 6, trouble=nobody_listens),
    Case("silent server", ("2 s",), 6, trouble=silent),
    Case("login refused", ("does not let operator in",), 6, trouble=wrong_key),
    Case("key file missing", ("/no/such/key",), 6, {"ssh_key": "/no/such/key"}),
    Case("sudo password missing", ("LABELRIG_SUDO_PASSWORD",), 3, {"user": "clerk"}),
    Case("sudo password wrong", ("sudo", "password"), 3, {"user": "clerk"}, {"LABELRIG_SUDO_PASSWORD": "not-this"}),
    Case("disk of our folder full", ("GiB free on the disk of /small",), 3, trouble=full_disk),
    Case("data folder missing", ("data folder /NAS/none: no such file or directory",), 3, {"data": "/NAS/none"}),
    Case("data folder closed", ("could not read it (mode drwx------)",), 3, trouble=closed_folder),
    Case("no image in the folder", ("no file matches",), 3, {"data": "/etc/ssh"}),
    Case("port taken", ("port 22 of 127.0.0.1 is taken",), 3, trouble=taken_port),
    Case("subnet taken", ("overlaps the route",), 3, {"subnet": "172.17.0.0/16"}),
    Case("GPU required", ("there is no NVIDIA GPU", "`gpu: require`"), 3, {"gpu": "require"}),
    Case("no such host in the inventory", ("is not in the inventory",), 2, arguments=("--host", "lab2")),
)


@pytest.fixture(scope="module")
def bare(
    lab_host_image: str, lab_settings: object, lab_pictures: object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LabHost]:
    """A lab host of this module's own, which must be as bare at the end as it was."""
    host = LabHost(lab_host_image, tmp_path_factory.mktemp("bare"))
    with ExitStack() as removals:
        removals.callback(host.remove)
        host.start(lab_settings, lab_pictures)  # type: ignore[arg-type]
        host.wait_for_ssh()
        yield host


def refused(lab: Lab, case: Case, host: LabHost) -> Ended:
    with ExitStack() as undo:
        more = undo.enter_context(contextmanager(case.trouble)(host)) if case.trouble is not None else None
        inventory = lab.inventory("case.yaml", **{**case.settings, **(more or {})})
        named = case.arguments or ("--host", "lab1")
        return lab.inv("deploy", *named, "--yes", inventory=inventory)


@pytest.mark.parametrize(
    "case",
    [
        *(pytest.param(case, id=case.name) for case in CASES),
        *(pytest.param(case, id=case.name, marks=pytest.mark.slow) for case in MORE_CASES),
    ],
)
def test_one_clear_error_and_nothing_made(case: Case, bare: LabHost, tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"lab1": bare}, case.secrets)
    done = refused(lab, case, bare)
    assert done.code == case.code, done.said
    assert [part for part in case.says if part not in done.said] == [], done.said
    assert "Traceback" not in done.said
    assert (
        bare.exec("sh", "-c", "ls -d /srv/labelrig /small/labelrig /etc/docker 2>/dev/null", check=False).stdout == ""
    )
    assert bare.exec("sh", "-c", "command -v docker", check=False).returncode != 0


@pytest.mark.slow
def test_a_persons_lock_is_respected(bare: LabHost, tmp_path: Path, make_lab_host: MakeLabHost) -> None:
    """On a host of its own: taking a lock makes our folder."""
    host = make_lab_host()
    host.wait_for_ssh()
    lab = Lab(tmp_path, {"lab1": host})
    taken = lab.inv("lock.take", "--host", "lab1", "--message", "moving the racks")
    assert taken.code == 0, taken.said
    done = lab.inv("deploy", "--host", "lab1", "--yes", "--lock-wait", "5s")
    assert done.code == 4, done.said
    assert "moving the racks" in done.err
    assert host.exec("sh", "-c", "command -v docker", check=False).returncode != 0
    assert lab.inv("lock.release", "--host", "lab1").code == 0
    assert lab.inv("lock.status", "--host", "lab1").out == "lab1: free\n"
