"""A real OpenSSH server on a port of 127.0.0.1, with keys and a configuration of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hosts.ssh_connect import SshTarget
from tests.machine import free_port

SECONDS = 10


def generate_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make a key pair; returns the private one."""
    subprocess.run(
        ("ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", f"test {path.name}", "-f", str(path)), check=True
    )
    return path


class Sshd:
    """Runs while the context lasts. Lets in whoever has `key`; `options` are lines of sshd_config."""

    def __init__(self, folder: Path, options: Sequence[str] = (), host_key_kinds: Sequence[str] = ("ed25519",)) -> None:
        program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        assert program is not None, "these tests need sshd: `./inv test` as root installs it, or apt-get openssh-server"
        self._program = program
        self.folder = folder
        self.port = free_port()
        self.key = generate_key(folder / "client_key")
        self.authorized_keys = folder / "authorized_keys"
        self.authorized_keys.write_bytes((folder / "client_key.pub").read_bytes())
        self.authorized_keys.chmod(0o644)
        self.host_keys = [generate_key(folder / f"host_{kind}", kind) for kind in host_key_kinds]
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text("".join(map(self.known_line, self.host_keys)))
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Sshd:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def known_line(self, key: Path) -> str:
        """The line of a known_hosts file for one of the host keys."""
        kind, blob = key.with_name(key.name + ".pub").read_text().split()[:2]
        return f"[127.0.0.1]:{self.port} {kind} {blob}\n"

    def start(self) -> None:
        """Start it and wait until it listens."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists on its folder for separated privileges
        config = self.folder / "sshd_config"
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            *(f"HostKey {key}" for key in self.host_keys),
            f"AuthorizedKeysFile {self.authorized_keys}",
            "StrictModes no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "UsePAM no",
            f"PidFile {self.folder}/pid",
            "MaxStartups 100",
            "SetEnv SHLVL=2",  # so bash leaves the ~/.bashrc of whoever runs the tests alone
        ]
        # The first line that sets something counts.
        config.write_text("\n".join([*self._options, *lines]) + "\n")
        command = (self._program, "-D", "-e", "-f", str(config))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, self.log()
            time.sleep(0.02)
        raise AssertionError(f"sshd does not listen: {self.log()}")

    def stop(self) -> None:
        """End it with all its sessions."""
        if self._process is not None:
            self.kill_sessions()
            self._process.terminate()
            self._process.wait(SECONDS)
            self._process = None

    def kill_sessions(self) -> None:
        """End all that runs below the server, as a crash would: without a word to the other side."""
        assert self._process is not None
        for pid in list(_descendants(self._process.pid)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def log(self) -> str:
        """What the server has said."""
        return (self.folder / "log").read_text()

    def target(self, **changes: Any) -> SshTarget:
        """How to get there."""
        usual = SshTarget(
            name="lab",
            address="127.0.0.1",
            user=getpass.getuser(),
            port=self.port,
            key=self.key,
            known_hosts=self.known_hosts,
        )
        return replace(usual, **changes)


def _descendants(pid: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The name in brackets may hold anything; the parent is the second field after it.
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            yield child
            waiting.append(child)
