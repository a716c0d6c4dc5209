"""Getting onto a machine: host keys, logins, jump hosts, and everything that can be in the way."""

from __future__ import annotations

import base64
import getpass
import os
import re
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from core.errors import ConnectFailed, HostKeyRefused, LoginRefused, SettingsError
from hosts.known_hosts import fingerprint
from hosts.ssh import SshHost
from hosts.ssh_connect import SshTarget
from tests.contract.conftest import PASSWORD, RUN_ID, User
from tests.machine import free_port
from tests.sshd import Sshd, generate_key

Connected = Callable[..., SshHost]
PASSPHRASE = "open sesame"


def fingerprint_of(key: Path) -> str:
    return subprocess.run(("ssh-keygen", "-lf", str(key)), check=True, capture_output=True, text=True).stdout.split()[1]


@pytest.fixture
def ssh_home(sshd: Sshd) -> Path:
    folder = Path(os.environ["HOME"]) / ".ssh"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def other_key(tmp_path: Path) -> Path:
    return generate_key(tmp_path / "other_host_key")


@pytest.fixture
def agent(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Path], None]]:
    """A running SSH agent; the value puts a key into it."""
    path = tmp_path_factory.mktemp("agent") / "socket"
    process = subprocess.Popen(("ssh-agent", "-D", "-a", str(path)), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    yield lambda key: subprocess.run(("ssh-add", "-q", str(key)), check=True) and None  # type: ignore[misc]
    process.terminate()
    process.wait(10)


class TestHostKeys:
    def test_an_unknown_key_is_refused_with_its_fingerprint(self, sshd: Sshd, connected: Connected) -> None:
        nowhere = sshd.folder / "nobody"
        with pytest.raises(HostKeyRefused) as caught:
            connected(sshd, known_hosts=nowhere).run("true")
        assert str(caught.value) == (
            f"lab: the SSH key of [127.0.0.1]:{sshd.port} is not known here: ssh-ed25519 "
            f"{fingerprint_of(sshd.host_keys[0])}; compare it with what `ssh-keygen -lf` says there for "
            "/etc/ssh/ssh_host_*_key.pub (or ask whoever runs the machine), then repeat the command once with "
            "--accept-new-host-key"
        )
        assert not nowhere.exists()

    def test_an_accepted_key_is_recorded_told_and_known_from_then_on(self, sshd: Sshd, connected: Connected) -> None:
        notices: list[str] = []
        connected(sshd, notices.append, known_hosts=None, accept_new_host_key=True).run("true")
        file = Path(os.environ["HOME"]) / ".ssh" / "known_hosts"
        assert file.read_text() == sshd.known_hosts.read_text()
        assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
        assert notices == [
            f"lab: new SSH key of [127.0.0.1]:{sshd.port} recorded in {file}: ssh-ed25519 "
            f"{fingerprint_of(sshd.host_keys[0])}"
        ]
        connected(sshd, known_hosts=None).run("true")

    def test_recording_keeps_the_other_lines(self, sshd: Sshd, connected: Connected, tmp_path: Path) -> None:
        file = tmp_path / "known"
        file.write_text("# ours\nother.lab ssh-ed25519 AAAA")
        connected(sshd, known_hosts=file, accept_new_host_key=True).run("true")
        assert file.read_text() == "# ours\nother.lab ssh-ed25519 AAAA\n" + sshd.known_hosts.read_text()

    def test_a_hashed_entry_is_recognised(self, sshd: Sshd, connected: Connected, tmp_path: Path) -> None:
        file = tmp_path / "known"
        file.write_text(sshd.known_hosts.read_text())
        subprocess.run(("ssh-keygen", "-q", "-H", "-f", str(file)), check=True, capture_output=True)
        assert "127.0.0.1" not in file.read_text()
        assert connected(sshd, known_hosts=file).run("true").ok

    @pytest.mark.parametrize("accept", [False, True])
    def test_a_changed_key_is_refused_even_if_new_ones_are_accepted(
        self, sshd: Sshd, connected: Connected, tmp_path: Path, other_key: Path, accept: bool
    ) -> None:
        """A changed key is refused also when new ones are accepted."""
        file = tmp_path / "known"
        file.write_text("# first line\n" + sshd.known_line(other_key))
        before = file.read_text()
        with pytest.raises(HostKeyRefused) as caught:
            connected(sshd, known_hosts=file, accept_new_host_key=accept).run("true")
        assert str(caught.value) == (
            f"lab: the SSH key of [127.0.0.1]:{sshd.port} is not the one we know: it presents ssh-ed25519 "
            f"{fingerprint_of(sshd.host_keys[0])}, and {file}, line 2, holds ssh-ed25519 {fingerprint_of(other_key)}; "
            "nothing was sent. If the machine was installed anew, check the fingerprint with whoever runs it, then "
            f"type `ssh-keygen -R '[127.0.0.1]:{sshd.port}' -f {file}` and repeat the command with "
            "--accept-new-host-key; otherwise this may be a man-in-the-middle attack"
        )
        assert file.read_text() == before

    def test_another_kind_of_key_than_the_known_one_is_a_changed_key(
        self, sshd: Sshd, connected: Connected, tmp_path: Path
    ) -> None:
        file = tmp_path / "known"
        file.write_text(sshd.known_line(generate_key(tmp_path / "rsa", "rsa")))
        with pytest.raises(HostKeyRefused, match=r"is not the one we know: it presents ssh-ed25519 .* holds ssh-rsa "):
            connected(sshd, known_hosts=file, accept_new_host_key=True).run("true")

    @pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
    def test_of_several_keys_the_known_one_is_asked_for(self, tmp_path: Path, connected: Connected, kind: str) -> None:
        with Sshd(tmp_path, host_key_kinds=("rsa", "ecdsa", "ed25519")) as server:
            server.known_hosts.write_text(server.known_line(tmp_path / f"host_{kind}"))
            assert connected(server).run("true").ok

    def test_a_revoked_key_is_refused(self, sshd: Sshd, connected: Connected, tmp_path: Path) -> None:
        file = tmp_path / "known"
        file.write_text(sshd.known_hosts.read_text() + "@revoked * " + sshd.known_hosts.read_text().split(" ", 1)[1])
        with pytest.raises(HostKeyRefused, match=rf"is marked as revoked in {re.escape(str(file))}, line 2; nothing"):
            connected(sshd, known_hosts=file, accept_new_host_key=True).run("true")


class TestLogin:
    def test_a_stranger_is_refused(self, sshd: Sshd, connected: Connected, other_key: Path) -> None:
        with pytest.raises(LoginRefused) as caught:
            connected(sshd, key=other_key).run("true")
        assert str(caught.value) == (
            f"lab: 127.0.0.1 port {sshd.port} does not let {getpass.getuser()} in; tried: the key {other_key}; "
            "the server takes: publickey. Is the user right? Put your key there with `ssh-copy-id`, name it with "
            "`ssh_key:` in the inventory, or put LABELRIG_SSH_PASSWORD into .env"
        )

    def test_without_key_and_agent_nothing_was_tried(self, sshd: Sshd, connected: Connected) -> None:
        with pytest.raises(LoginRefused, match=r"tried: nothing, as there is no key here and no password"):
            connected(sshd, key=None).run("true")

    def test_a_missing_key_file_is_said(self, sshd: Sshd, connected: Connected, tmp_path: Path) -> None:
        with pytest.raises(LoginRefused, match=rf"the SSH key {tmp_path}/none cannot be read: No such file"):
            connected(sshd, key=tmp_path / "none").run("true")

    def test_what_is_no_key_is_said(self, sshd: Sshd, connected: Connected, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("hello")
        with pytest.raises(LoginRefused, match=rf"the SSH key {tmp_path}/text is no private key that can be used; "):
            connected(sshd, key=tmp_path / "text").run("true")

    @pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
    def test_a_key_with_a_passphrase_needs_it(self, own_sshd: Sshd, connected: Connected, kind: str) -> None:
        key = generate_key(own_sshd.folder / "locked", kind, PASSPHRASE)
        own_sshd.authorized_keys.write_bytes(key.with_name("locked.pub").read_bytes())
        with pytest.raises(LoginRefused, match=rf"; the key {key} has a passphrase, which was not given \(ssh-add"):
            connected(own_sshd, key=key).run("true")
        with pytest.raises(LoginRefused, match=r"is no private key that can be used, or its passphrase is wrong") as no:
            connected(own_sshd, key=key, key_passphrase=SecretStr("open barley")).run("true")
        assert "barley" not in str(no.value)
        assert connected(own_sshd, key=key, key_passphrase=SecretStr(PASSPHRASE)).run("true").ok
        # One that needs none is not spoiled by one.
        own_sshd.authorized_keys.write_bytes(own_sshd.key.with_name("client_key.pub").read_bytes())
        assert connected(own_sshd, key_passphrase=SecretStr(PASSPHRASE)).run("true").ok

    def test_the_agent_s_keys_are_tried(self, sshd: Sshd, connected: Connected, agent: Callable[[Path], None]) -> None:
        agent(sshd.key)
        assert connected(sshd, key=None).run("true").ok

    @pytest.mark.parametrize("named", ["mine.pub", "mine"])
    def test_a_public_key_names_the_agent_s(
        self,
        sshd: Sshd,
        connected: Connected,
        agent: Callable[[Path], None],
        ssh_home: Path,
        named: str,
    ) -> None:
        """`IdentitiesOnly yes` leaves out what else the agent holds."""
        agent(sshd.key)
        config = f"Host *\n  IdentitiesOnly yes\n  IdentityFile {ssh_home}/{named}\n"
        (ssh_home / "config").write_text(config)
        with pytest.raises(LoginRefused, match="tried: nothing"):
            connected(sshd, key=None).run("true")
        (ssh_home / "mine.pub").write_bytes(sshd.key.with_name(f"{sshd.key.name}.pub").read_bytes())
        assert connected(sshd, key=None).run("true").ok
        (ssh_home / "mine.pub").write_bytes(generate_key(ssh_home / "other").with_name("other.pub").read_bytes())
        with pytest.raises(LoginRefused, match="tried: nothing"):
            connected(sshd, key=None).run("true")

    def test_a_locked_key_may_be_open_in_the_agent(
        self, sshd: Sshd, connected: Connected, agent: Callable[[Path], None], tmp_path: Path
    ) -> None:
        agent(sshd.key)
        locked = tmp_path / "locked"
        locked.write_bytes(sshd.key.read_bytes())
        locked.chmod(0o600)
        subprocess.run(("ssh-keygen", "-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", str(locked)), check=True)
        assert connected(sshd, key=locked).run("true").ok

    def test_the_usual_keys_of_the_user_are_tried(self, sshd: Sshd, connected: Connected, ssh_home: Path) -> None:
        (ssh_home / "id_ed25519").write_bytes(sshd.key.read_bytes())
        assert connected(sshd, key=None).run("true").ok

    @pytest.mark.skipif(os.geteuid() != 0, reason="makes users: needs root")
    def test_a_password_is_for_the_machine_only_and_shows_nowhere(
        self, connected: Connected, user: User, open_folder: Path
    ) -> None:
        with Sshd(open_folder, ["PasswordAuthentication yes"]) as server:
            right, wrong = SecretStr(PASSWORD), SecretStr("wrong-9d1c")
            assert connected(server, key=None, user=user.name, ssh_password=right).run("true").ok
            with pytest.raises(LoginRefused, match=r"tried: a password; the server takes: password, publickey") as no:
                connected(server, key=None, user=user.name, ssh_password=wrong).run("true")
            assert "wrong-9d1c" not in str(no.value)
            jump = f"{user.name}@127.0.0.1:{server.port}"
            with pytest.raises(LoginRefused, match=r"^lab \(jump host 127\.0\.0\.1\): .* tried: nothing"):
                connected(server, key=None, user=user.name, jump=jump, ssh_password=right).run("true")
            assert PASSWORD not in repr(server.target(ssh_password=right, key_passphrase=right, sudo_password=right))

    def test_too_many_attempts_are_said(
        self, tmp_path: Path, connected: Connected, agent: Callable[[Path], None]
    ) -> None:
        for number in range(3):
            agent(generate_key(tmp_path / f"key{number}"))
        with Sshd(tmp_path, ["MaxAuthTries 2"]) as server, pytest.raises(LoginRefused, match=r"take so many\?|closed"):
            connected(server, key=None).run("true")


class TestJumpHost:
    @pytest.fixture
    def gate(self, own_sshd: Sshd, sshd: Sshd) -> Sshd:
        """A jump host that lets the same key in, besides its own."""
        keys = [server.key.with_name("client_key.pub").read_text() for server in (sshd, own_sshd)]
        own_sshd.authorized_keys.write_text("".join(keys))
        return own_sshd

    def test_a_host_is_reached_through_it(self, sshd: Sshd, gate: Sshd, connected: Connected, tmp_path: Path) -> None:
        both = tmp_path / "known"
        both.write_text(sshd.known_hosts.read_text() + gate.known_hosts.read_text())
        jump = f"{getpass.getuser()}@127.0.0.1:{gate.port}"
        host = connected(sshd, jump=jump, known_hosts=both)
        assert host.run("echo", "through").stdout == "through\n"
        gate.kill_sessions()
        assert host.run("echo", "again").stdout == "again\n"

    def test_its_key_is_enforced_too(self, sshd: Sshd, gate: Sshd, connected: Connected) -> None:
        expected = rf"^lab \(jump host 127\.0\.0\.1\): the SSH key of \[127\.0\.0\.1\]:{gate.port} is not known here"
        with pytest.raises(HostKeyRefused, match=expected):
            connected(sshd, jump=f"127.0.0.1:{gate.port}").run("true")

    def test_one_that_cannot_reach_the_machine_is_said(self, gate: Sshd, connected: Connected) -> None:
        closed = free_port()
        with pytest.raises(ConnectFailed, match=rf"^lab: the jump host cannot reach 127\.0\.0\.1 port {closed} \("):
            connected(gate, jump=f"127.0.0.1:{gate.port}", port=closed).run("true")

    def test_nonsense_is_refused(self, sshd: Sshd, connected: Connected) -> None:
        with pytest.raises(SettingsError, match=r"jump host 'gate:ssh' is not of the form user@host:port"):
            connected(sshd, jump="gate:ssh").run("true")


class TestNetwork:
    """What can be in the way; each is one sentence, and none takes longer than the time limit."""

    def target(self, **changes: object) -> SshTarget:
        return SshTarget(**{"name": "lab", "address": "127.0.0.1", "connect_timeout": 1.0, **changes})  # type: ignore[arg-type]

    def refusal(self, target: SshTarget) -> str:
        began = time.monotonic()
        with pytest.raises(ConnectFailed) as caught:
            SshHost(target, run_id=RUN_ID).run("true")
        assert time.monotonic() - began < 5
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_a_name_that_is_not_known(self) -> None:
        text = self.refusal(self.target(address="gpu01.invalid", connect_timeout=4.0))
        assert re.match(r"lab: the name gpu01\.invalid (is not known \(|was not resolved within 4 s; )", text)
        assert text.endswith("check the spelling and this machine's DNS, or give an address")

    def test_a_resolver_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        over = time.monotonic() + 3
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: time.sleep(over - time.monotonic()) or [])
        text = self.refusal(self.target(address="gpu01.lab"))
        assert text.startswith("lab: the name gpu01.lab was not resolved within 1 s; check")

    def test_a_port_where_nobody_listens(self) -> None:
        port = free_port()
        assert self.refusal(self.target(port=port)) == (
            f"lab: nothing listens on 127.0.0.1 port {port}; does the SSH server run there, and is the port right?"
        )

    def test_a_port_that_never_speaks(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            text = self.refusal(self.target(port=port))
        assert text.startswith(
            f"lab: 127.0.0.1 port {port} takes connections but does not answer as an SSH server within 1 s ("
        )

    def test_a_port_that_speaks_something_else(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            server.settimeout(5)

            def answer() -> None:
                connection, _ = server.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 200)
                    connection.recv(1)

            thread = threading.Thread(target=answer)
            thread.start()
            text = self.refusal(self.target(port=port))
            thread.join()
        assert "does not answer as an SSH server" in text

    def test_a_machine_that_does_not_answer(self) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            port = full.getsockname()[1]
            waiting = [socket.socket() for _ in range(4)]
            try:
                for one in waiting:
                    one.setblocking(False)
                    one.connect_ex(("127.0.0.1", port))
                time.sleep(0.1)
                assert self.refusal(self.target(port=port)) == (
                    f"lab: no answer from 127.0.0.1 port {port} within 1 s; is the machine on, and is a VPN or a "
                    "firewall in the way?"
                )
            finally:
                for one in waiting:
                    one.close()

    def test_a_way_that_is_not_there(self) -> None:
        text = self.refusal(self.target(address="255.255.255.255"))
        assert text.startswith("lab: 255.255.255.255 port 22 cannot be reached (")


def test_fingerprints_are_those_of_ssh_keygen(sshd: Sshd) -> None:
    blob = base64.b64decode(sshd.known_line(sshd.host_keys[0]).split()[2])
    assert fingerprint(blob) == fingerprint_of(sshd.host_keys[0])
