"""A lab host: a container that behaves like a bare lab server, with sshd and, once installed, its own Docker engine."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import socket
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

from core.errors import WaitTimeout
from core.waiting import wait_for
from tests.labhost.image import CLONE, LABEL
from tests.labhost.machine_settings import File, MachineSettings, as_tar
from tests.machine import free_port

OWNER = f"{LABEL}.owner"
PRIVATE = "/NAS/home/me"  # of a person who is none of those that log in, as homes on a NAS are
DATA = f"{PRIVATE}/RGB_T_SAR"
USERS = ("root", "operator", "clerk", "guest")
OPERATOR_UID = 1000
OWNER_UID = 1500
START_TIMEOUT = 60.0
STOP_SECONDS = 10
EXEC_TIMEOUT = 120.0
# What an engine inside an engine needs, short of `--privileged`: that fails where this machine itself may not
# raise limits (SYS_RESOURCE). Its storage is a volume, because overlay does not stack on overlay.
RIGHTS = (
    *("--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE"),
    *("--security-opt", "seccomp=unconfined"),
    *("--security-opt", "apparmor=unconfined"),
    *("--security-opt", "systempaths=unconfined"),
    *("--device-cgroup-rule", "a *:* rwm"),
    *("--cgroupns", "private"),
    *("--tmpfs", "/run:exec,mode=755"),
)


# A way out for packets of port 22 alone, in a table of their own; for others the host's own network is forbidden, and
# no way leads further. Its route stays: an engine chooses its networks by the routes that it sees.
CUT_OFF = """
set -e
read -r _ _ gateway _ device _ <<END
$(ip -4 route show default)
END
network=$(ip -4 route show dev "$device" scope link | cut -d " " -f 1)
for at in all "$device"; do echo 0 >"/proc/sys/net/ipv4/conf/$at/rp_filter"; done
ip -4 route add "$gateway" dev "$device" table 100
ip -4 rule add pref 100 ipproto 6 sport 22 table 100
ip -4 rule add pref 200 to "$network" prohibit
ip -4 route del default
ip -6 route flush dev "$device" 2>/dev/null || true
"""


class LabHost:
    """One lab host. `restart` is a reboot, `kill` pulls the plug; port and host key stay the same."""

    def __init__(self, image: str, folder: Path) -> None:
        """Nothing is started yet.

        Args:
            image: see `tests.labhost.image.lab_image`.
            folder: an empty folder for the keys.
        """
        number = uuid4().hex[:6]
        self.name = f"labelrig-labhost-{CLONE}-{number}"
        self.hostname = f"lab-{number}"
        self.address = "127.0.0.1"
        self.port = free_port()
        self.key = folder / "id_ed25519"
        self.known_hosts = folder / "known_hosts"
        self.clerk_password = secrets.token_urlsafe(12)
        self._host_key = folder / "host_ed25519"
        self._image = image
        self._volume = f"{self.name}-docker"

    def start(self, settings: MachineSettings, pictures: Mapping[str, Path]) -> None:
        """Make the host, boot it, and wait for its sshd.

        Args:
            settings: how this machine's apt and pip reach their servers: the host gets the same.
            pictures: path below `DATA` -> the image file here.
        """
        self._make_keys()
        labels = ("--label", f"{LABEL}={CLONE}", "--label", f"{OWNER}={this_process()}")
        docker("volume", "create", *labels, self._volume)
        wheels = [part for folder in settings.wheels for part in ("--volume", f"{folder}:{folder}:ro")]
        docker(
            "create", "--name", self.name, "--hostname", self.hostname, *labels, *RIGHTS, *wheels,
            *("--volume", f"{self._volume}:/var/lib/docker"),
            *("--publish", f"{self.address}:{self.port}:22"),
            self._image,
        )  # fmt: skip
        keys = {
            "etc/ssh/ssh_host_ed25519_key": File(self._host_key.read_bytes(), 0o600),
            "etc/ssh/ssh_host_ed25519_key.pub": File(_public(self._host_key).encode()),
            "etc/ssh/lab_authorized_keys": File(_public(self.key).encode()),
        }
        self._copy({**settings.apt, **settings.pip, **keys})
        self.add_pictures(pictures)
        self.boot()
        self.exec("chpasswd", stdin=f"clerk:{self.clerk_password}\n")
        self.exec("install", "-d", "-o", str(OWNER_UID), "-m", "700", PRIVATE)

    def add_pictures(self, pictures: Mapping[str, Path]) -> None:
        """Copy images to it.

        Args:
            pictures: path below `DATA` -> the image file here.
        """
        below = DATA.lstrip("/")
        self._copy({f"{below}/{name}": File(path.read_bytes(), uid=OPERATOR_UID) for name, path in pictures.items()})

    def remove(self) -> None:
        """Take away the container and its storage, however far `start` came."""
        _remove(self.name, self._volume)

    def boot(self) -> None:
        """Switch it on."""
        docker("start", self.name)
        self.wait_for_ssh()

    def restart(self) -> None:
        """Reboot it in an orderly way."""
        docker("stop", "-t", str(STOP_SECONDS), self.name)
        self.boot()

    def kill(self) -> None:
        """Pull the plug; `boot` switches it on again."""
        docker("kill", self.name)

    def cut_off(self) -> None:
        """Let no packet leave it but those of its SSH server, until it is switched off."""
        self.exec("sh", "-c", CUT_OFF)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """For a while it neither answers nor closes a connection, as behind a cut cable."""
        docker("pause", self.name)
        try:
            yield
        finally:
            docker("unpause", self.name)

    def wait_for_ssh(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until sshd greets.

        Raises:
            AssertionError: the host went down or does not greet in time; its log is in the message.
        """
        try:
            wait_for(f"sshd of {self.name}", self._greets, timeout=timeout, pause=0.1)
        except WaitTimeout as error:
            raise AssertionError(f"{error}; its log:\n{self.log()}") from error

    def exec(
        self, *argv: str, stdin: str | bytes | None = None, check: bool = True, timeout: float = EXEC_TIMEOUT
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside as root, past SSH."""
        return docker("exec", "--interactive", self.name, *argv, stdin=stdin, check=check, timeout=timeout)

    def inside_engine(
        self, *argv: str, check: bool = True, timeout: float = EXEC_TIMEOUT
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker ARGV` with the engine inside."""
        return self.exec("docker", *argv, check=check, timeout=timeout)

    def ssh(self, user: str = "root") -> tuple[str, ...]:
        """The command line of the system's ssh up to the remote command."""
        options = (
            f"UserKnownHostsFile={self.known_hosts}",
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            "ConnectTimeout=10",
        )
        flags = [part for option in options for part in ("-o", option)]
        return ("ssh", "-F", "none", *flags, "-i", str(self.key), "-p", str(self.port), f"{user}@{self.address}")

    def ps(self) -> list[str]:
        """The command line of every process inside, those in its containers too, but not of this listing."""
        lines = self.exec("ps", "-eww", "-o", "args=").stdout.splitlines()
        return [line.strip() for line in lines if line.strip() != "ps -eww -o args="]

    def files(self, path: str) -> dict[str, bytes]:
        """Every regular file below a folder, its path from there -> its content; empty where there is none."""
        if self.exec("test", "-e", path, check=False).returncode:
            return {}
        packed = subprocess.run(
            ("docker", "exec", self.name, "tar", "-C", path, "-cf", "-", "."),
            check=True, capture_output=True, timeout=EXEC_TIMEOUT,
        ).stdout  # fmt: skip
        found: dict[str, bytes] = {}
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            for entry in archive:
                content = archive.extractfile(entry) if entry.isfile() else None
                if content is not None:
                    found[entry.name.removeprefix("./")] = content.read()
        return found

    def log(self) -> str:
        """What its boots and its sshd said."""
        said = docker("logs", "--tail", "60", self.name, check=False)
        return said.stdout + said.stderr

    def _copy(self, files: Mapping[str, File]) -> None:
        docker("cp", "-", f"{self.name}:/", stdin=as_tar(files))

    def _make_keys(self) -> None:
        for path, comment in ((self.key, "lab"), (self._host_key, self.hostname)):
            subprocess.run(
                ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)),
                check=True, capture_output=True, timeout=30,
            )  # fmt: skip
        self.known_hosts.write_text(f"[{self.address}]:{self.port} {_public(self._host_key)}")

    def _greets(self) -> bool | None:
        state = docker("inspect", "--format", "{{.State.Running}}", self.name).stdout.strip()
        if state != "true":
            raise AssertionError(f"{self.name} went down; its log:\n{self.log()}")
        # The engine's proxy takes the connection whether or not sshd is there yet: the greeting counts.
        with (
            contextlib.suppress(OSError),
            socket.create_connection((self.address, self.port), timeout=2) as connection,
        ):
            return True if connection.recv(16).startswith(b"SSH-2.0") else None
        return None


def remove_stale() -> None:
    """Remove lab hosts of this clone whose test run is gone: it was killed and could not clean up."""
    rule = f"label={LABEL}={CLONE}"
    shown = '{{.Label "' + OWNER + '"}}'
    for kind, name, remove in (
        (("ps", "--all"), "{{.Names}}", ("rm", "--force", "--volumes")),
        (("volume", "ls"), "{{.Name}}", ("volume", "rm")),
    ):
        listed = docker(*kind, "--filter", rule, "--format", f"{name}|{shown}").stdout.splitlines()
        for line in listed:
            stale, _, owner = line.partition("|")
            if not _is_alive(owner):
                docker(*remove, stale, check=False)


def this_process() -> str:
    """Number and start time: the number alone is given again."""
    return f"{os.getpid()}:{_start_time(os.getpid())}"


def docker(
    *argv: str, stdin: str | bytes | None = None, check: bool = True, timeout: float = EXEC_TIMEOUT
) -> subprocess.CompletedProcess[str]:
    """Run `docker ARGV` with this machine's engine.

    Raises:
        AssertionError: it failed; its output is in the message.
    """
    sent = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(("docker", *argv), input=sent or b"", capture_output=True, timeout=timeout, check=False)
    said = subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    )
    if check and said.returncode:
        raise AssertionError(f"docker {argv} ended with {said.returncode}:\n{said.stdout}{said.stderr}")
    return said


def _remove(name: str, volume: str) -> None:
    docker("rm", "--force", "--volumes", name, check=False)
    docker("volume", "rm", volume, check=False)


def _is_alive(owner: str) -> bool:
    number, _, started = owner.partition(":")
    return number.isdigit() and bool(started) and _start_time(int(number)) == started


def _start_time(process: int) -> str:
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]


def _public(private: Path) -> str:
    return private.with_name(f"{private.name}.pub").read_text()
