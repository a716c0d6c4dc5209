"""What OpenSSH's configuration and certificates say of a machine: we do what `ssh` would."""

from __future__ import annotations

import base64
import getpass
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from paramiko.pkey import PublicBlob  # type: ignore[import-untyped]

from core.errors import ConnectFailed, FileAccessError, HostError, HostKeyRefused, SettingsError
from hosts.certificates import certificate_of
from hosts.ssh import SshHost
from hosts.ssh_config import read_config
from hosts.ssh_connect import SshTarget
from tests.contract.conftest import RUN_ID
from tests.contract.test_ssh_connect import fingerprint_of
from tests.contract.test_ssh_connect import ssh_home as ssh_home
from tests.machine import free_port
from tests.sshd import Sshd, generate_key

Connected = Callable[..., SshHost]
# Joins its standard streams to a port, as `nc` and `ssh -W` do.
NC = (
    """perl -MIO::Socket::IP -e '$s = IO::Socket::IP->new(PeerHost => shift, PeerPort => shift) or die "no way\\n"; """
    """if (fork) { syswrite STDOUT, $b while sysread $s, $b, 65536 } """
    """else { syswrite $s, $b while sysread STDIN, $b, 65536; shutdown $s, 1 }'"""
)


class TestSshConfig:
    def test_address_user_port_and_key_come_from_it(self, sshd: Sshd, ssh_home: Path) -> None:
        (ssh_home / "config").write_text(
            f"Host gpu01\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {getpass.getuser()}\n"
            f"  IdentityFile {sshd.key}\n"
        )
        host = SshHost(SshTarget("gpu01", "gpu01", known_hosts=sshd.known_hosts), run_id=RUN_ID)
        assert host.run("echo", "here").stdout == "here\n"
        host.close()

    def test_a_broken_one_is_said(self, sshd: Sshd, connected: Connected, ssh_home: Path) -> None:
        (ssh_home / "config").write_text("Host gpu01\n  ???\n")
        with pytest.raises(SettingsError, match=r"the SSH configuration cannot be read: .*/config line 2: .*\?\?\?"):
            connected(sshd).run("true")

    def test_a_jump_host_comes_from_it(self, sshd: Sshd, own_sshd: Sshd, ssh_home: Path) -> None:
        (ssh_home / "config").write_text(f"Host inner\n  HostName 127.0.0.1\n  ProxyJump 127.0.0.1:{own_sshd.port}\n")
        own_sshd.known_hosts.write_text(own_sshd.known_hosts.read_text() + sshd.known_hosts.read_text())
        own_sshd.authorized_keys.write_bytes(sshd.key.with_name("client_key.pub").read_bytes())
        target = SshTarget("inner", "inner", port=sshd.port, key=sshd.key, known_hosts=own_sshd.known_hosts)
        host = SshHost(target, run_id=RUN_ID)
        assert host.run("true").ok
        assert "Accepted publickey" in own_sshd.log()
        host.close()

    def test_what_it_includes_counts(self, sshd: Sshd, ssh_home: Path) -> None:
        (ssh_home / "config").write_text(
            f"Include {ssh_home}/lab\nMatch originalhost gpu01 host 127.0.0.1\n  User nobody\n"
        )
        (ssh_home / "lab").write_text(
            f"Host gpu01\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.key}\n"
        )
        found = read_config("gpu01", "gpu01", None, None)
        assert (found.address, found.port, found.user, found.identities) == (
            "127.0.0.1",
            sshd.port,
            "nobody",
            [sshd.key],
        )
        assert read_config("gpu01", "gpu01", "me", 7).port == 7

    def test_what_it_says_in_the_end_counts(self, ssh_home: Path) -> None:
        """`Match final`: OpenSSH reads its files a second time."""
        (ssh_home / "config").write_text(
            "Host gpu01\n  HostName 127.0.0.1\nMatch final host 127.0.0.1\n  User lab\n  Port 2200\n"
        )
        found = read_config("gpu01", "gpu01", None, None)
        assert (found.address, found.user, found.port) == ("127.0.0.1", "lab", 2200)

    def test_variables_in_names_of_keys_count(self, ssh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """`ssh -G` leaves them in these two, and OpenSSH takes them from its environment."""
        monkeypatch.setenv("LAB_KEYS", "/keys/%h")
        (ssh_home / "config").write_text(
            "Host *\n  IdentityFile ${LAB_KEYS}/%h\n  CertificateFile ${LAB_KEYS}/cert.pub\n"
        )
        found = read_config("gpu01", "gpu01", None, None)
        assert found.identities == [Path("/keys/%h/gpu01")]
        assert found.certificates == [Path("/keys/%h/cert.pub")]
        monkeypatch.delenv("LAB_KEYS")
        with pytest.raises(
            SettingsError, match=r"^gpu01: ssh_config: identityfile .*: there is no value for \$\{LAB_K"
        ):
            read_config("gpu01", "gpu01", None, None)

    def test_known_hosts_files_come_from_it(self, sshd: Sshd, connected: Connected, ssh_home: Path) -> None:
        (ssh_home / "config").write_text(f"Host *\n  UserKnownHostsFile {ssh_home}/lab ~/.ssh/other\n")
        (ssh_home / "other").write_text(sshd.known_hosts.read_text())
        assert connected(sshd, known_hosts=None).run("true").ok
        (ssh_home / "other").unlink()
        with pytest.raises(HostKeyRefused, match="is not known here"):
            connected(sshd, known_hosts=None).run("true")
        notices: list[str] = []
        connected(sshd, notices.append, known_hosts=None, accept_new_host_key=True).run("true")
        assert (ssh_home / "lab").read_text() == sshd.known_hosts.read_text()
        assert f"recorded in {ssh_home}/lab: " in notices[0]

    @pytest.mark.parametrize("file", ["none", "/dev/null"])
    def test_a_key_is_not_recorded_nowhere(self, sshd: Sshd, connected: Connected, ssh_home: Path, file: str) -> None:
        (ssh_home / "config").write_text(f"Host *\n  UserKnownHostsFile {file}\n")
        with pytest.raises(
            FileAccessError, match="the SSH configuration names no UserKnownHostsFile; name a file with"
        ):
            connected(sshd, known_hosts=None, accept_new_host_key=True).run("true")

    @pytest.mark.parametrize("hop", ["me@[::1]:22", "ssh://me@gate:22", "gate", "a@b@gate", "[fe80::1%eth0]"])
    def test_jump_hosts_of_every_form(self, hop: str) -> None:
        """Each form is understood: none of them is there, or lets us in."""
        target = SshTarget("lab", "lab", jump=hop, connect_timeout=0.1)
        with pytest.raises(HostError, match=r"^lab \(jump host (::1|gate|fe80::1%eth0)\): "):
            SshHost(target, run_id=RUN_ID).run("true")

    def test_a_jump_host_has_its_own_way(self, sshd: Sshd, own_sshd: Sshd, ssh_home: Path) -> None:
        """The first jump host is reached as the configuration says; one for all hosts is not its own jump host."""
        (ssh_home / "config").write_text(
            f"Host gate\n  ProxyCommand {NC} 127.0.0.1 {own_sshd.port}\n  HostKeyAlias [127.0.0.1]:{own_sshd.port}\n"
            "Host *\n  ProxyJump gate\n"
        )
        own_sshd.known_hosts.write_text(own_sshd.known_hosts.read_text() + sshd.known_hosts.read_text())
        own_sshd.authorized_keys.write_bytes(sshd.key.with_name("client_key.pub").read_bytes())
        host = SshHost(sshd.target(name="inner", known_hosts=own_sshd.known_hosts), run_id=RUN_ID)
        assert host.run("true").ok
        assert "Accepted publickey" in own_sshd.log()
        host.close()


class TestProxyCommand:
    @pytest.fixture
    def behind(self, sshd: Sshd, ssh_home: Path, connected: Connected) -> SshHost:
        """A name that only the command can resolve; `ssh_port` of the inventory is its %p."""
        (ssh_home / "config").write_text(
            f"Host *.lab\n  ProxyCommand {NC} 127.0.0.1 %p\n  HostKeyAlias [127.0.0.1]:{sshd.port}\n"
        )
        return connected(sshd, address="gpu01.lab")

    def test_leads_to_the_server(self, behind: SshHost) -> None:
        content = os.urandom(3 << 20)
        assert behind.run("wc", "-c", stdin=content).stdout.strip() == str(len(content))
        assert len(behind.run("head", "-c", "3000000", "/dev/zero").stdout) == 3_000_000

    def test_leaves_no_program_behind(self, behind: SshHost) -> None:
        def ours() -> list[str]:
            listed = subprocess.run(("ps", "--ppid", str(os.getpid()), "-o", "args="), capture_output=True, text=True)
            return [line for line in listed.stdout.splitlines() if "IO::Socket::IP" in line]

        behind.run("true")
        assert len(ours()) == 1
        behind.close()
        assert ours() == []

    def test_one_that_fails_is_said(self, sshd: Sshd, connected: Connected, ssh_home: Path) -> None:
        (ssh_home / "config").write_text(f"Host *\n  ProxyCommand {NC} 127.0.0.1 {free_port()}\n")
        with pytest.raises(ConnectFailed) as caught:
            connected(sshd, connect_timeout=5.0).run("true")
        assert str(caught.value) == (
            "lab: the ProxyCommand of the SSH configuration leads to no SSH server within 5 s (it ended with exit code "
            "111; no way); try `ssh 127.0.0.1` by hand"
        )

    def test_a_token_without_a_value_is_said(self, sshd: Sshd, connected: Connected, ssh_home: Path) -> None:
        (ssh_home / "config").write_text("Host *\n  ProxyCommand nc %h %q\n")
        with pytest.raises(SettingsError, match=r"^lab: ssh_config: ProxyCommand nc %h %q: there is no value for %q$"):
            connected(sshd).run("true")


class TestCertificates:
    """A server whose key an authority has signed; known_hosts holds the authority alone."""

    @pytest.fixture
    def authority(self, tmp_path: Path) -> Path:
        return generate_key(tmp_path / "authority")

    @pytest.fixture
    def known(self, authority: Path, tmp_path: Path) -> Path:
        file = tmp_path / "known"
        file.write_text(f"@cert-authority 127.0.0.* {authority.with_name('authority.pub').read_text()}")
        return file

    def serve(self, folder: Path, authority: Path, *flags: str, kind: str = "ed25519") -> Sshd:
        folder.mkdir()
        server = Sshd(folder, [f"HostCertificate {folder}/host_{kind}-cert.pub"], [kind])
        sign(authority, folder / f"host_{kind}", "-h", *flags)
        return server

    @pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
    def test_are_trusted(self, tmp_path: Path, authority: Path, known: Path, connected: Connected, kind: str) -> None:
        with self.serve(tmp_path / "server", authority, "-n", "gpu01,127.0.0.1", kind=kind) as server:
            assert connected(server, known_hosts=known).run("true").ok
        assert known.read_text().count("\n") == 1

    def test_of_an_rsa_authority_are_trusted(self, tmp_path: Path, known: Path, connected: Connected) -> None:
        authority = generate_key(tmp_path / "rsa", "rsa")
        known.write_text(f"@cert-authority * {authority.with_name('rsa.pub').read_text()}")
        with self.serve(tmp_path / "server", authority, "-n", "127.0.0.1") as server:
            assert connected(server, known_hosts=known).run("true").ok
        with (
            self.serve(tmp_path / "old", authority, "-n", "127.0.0.1", "-t", "ssh-rsa") as server,
            pytest.raises(HostKeyRefused, match="its authority signed it with SHA-1"),
        ):
            connected(server, known_hosts=known).run("true")

    @pytest.mark.parametrize(
        ("flags", "problem"),
        [
            (("-n", "gpu02,*.lab"), r"it is for gpu02, \*\.lab, not for 127\.0\.0\.1"),
            (("-n", "127.0.0.1", "-V", "20200101:20210101"), r"it was valid until 20(20-12-31|21-01-01) \d\d:00 UTC"),
            (("-n", "127.0.0.1", "-V", "20900101:20910101"), r"it is not valid before 20"),
        ],
    )
    @pytest.mark.parametrize("accept", [False, True])
    def test_that_do_not_count_are_refused(
        self,
        tmp_path: Path,
        authority: Path,
        known: Path,
        connected: Connected,
        flags: tuple[str, ...],
        problem: str,
        accept: bool,
    ) -> None:
        with self.serve(tmp_path / "server", authority, *flags) as server:
            with pytest.raises(
                HostKeyRefused, match=rf"its certificate does not count: {problem}.*; ask whoever signs"
            ):
                connected(server, known_hosts=known, accept_new_host_key=accept).run("true")
            # As with OpenSSH, a key that is known for itself needs no certificate.
            known.write_text(known.read_text() + server.known_hosts.read_text())
            assert connected(server, known_hosts=known).run("true").ok

    def test_of_another_authority_are_refused(
        self, tmp_path: Path, authority: Path, known: Path, connected: Connected
    ) -> None:
        other = generate_key(tmp_path / "other")
        with (
            self.serve(tmp_path / "server", other, "-n", "127.0.0.1") as server,
            pytest.raises(HostKeyRefused) as caught,
        ):
            connected(server, known_hosts=known, accept_new_host_key=True).run("true")
        assert f"no known_hosts file trusts its authority {fingerprint_of(other)} for 127.0.0.1; " in str(caught.value)

    def test_of_a_revoked_authority_are_refused(
        self, tmp_path: Path, authority: Path, known: Path, connected: Connected
    ) -> None:
        known.write_text(known.read_text() + known.read_text().replace("@cert-authority", "@revoked"))
        with (
            self.serve(tmp_path / "server", authority, "-n", "127.0.0.1") as server,
            pytest.raises(HostKeyRefused, match=r"the authority's key .* is marked as revoked in .*, line 2"),
        ):
            connected(server, known_hosts=known).run("true")

    @pytest.mark.parametrize("krl", [False, True])
    @pytest.mark.parametrize("whose", ["authority", "server/host_ed25519"])
    def test_that_are_revoked_in_a_file_are_refused(
        self, tmp_path: Path, authority: Path, known: Path, connected: Connected, ssh_home: Path, whose: str, krl: bool
    ) -> None:
        """`RevokedHostKeys`: a list of keys, or a key revocation list."""
        with self.serve(tmp_path / "server", authority, "-n", "127.0.0.1") as server:
            revoked = tmp_path / f"{whose}.pub"
            if krl:
                subprocess.run(("ssh-keygen", "-q", "-k", "-f", f"{tmp_path}/krl", str(revoked)), check=True)
                revoked = tmp_path / "krl"
            config = ssh_home / "config"
            config.write_text(f"Host *\n  RevokedHostKeys {revoked}\n")
            with pytest.raises(HostKeyRefused, match=r"does not pass the RevokedHostKeys file .*: .*REVOKED; nothing"):
                connected(server, known_hosts=known).run("true")
            config.write_text(f"Host *\n  RevokedHostKeys {server.key}.pub\n")
            assert connected(server, known_hosts=known).run("true").ok
            config.write_text(f"Host *\n  RevokedHostKeys {tmp_path}/none\n")
            with pytest.raises(HostKeyRefused, match=r"does not pass the RevokedHostKeys file .*: .*No such file"):
                connected(server, known_hosts=known).run("true")

    def test_that_were_tampered_with_do_not_count(self, tmp_path: Path, authority: Path) -> None:
        """It names the authority, and another key signed it. sshd itself would not show such a one."""
        other, host = generate_key(tmp_path / "other"), generate_key(tmp_path / "host")
        sign(other, host, "-h", "-n", "127.0.0.1")
        file = tmp_path / "host-cert.pub"
        forge(file, other, authority)
        found = certificate_of(SimpleNamespace(public_blob=PublicBlob.from_file(str(file))))
        assert found is not None
        assert found.problem == "its signature is not its authority's"

    def test_of_users_are_shown(self, tmp_path: Path, authority: Path, connected: Connected, ssh_home: Path) -> None:
        """Beside the key, or where `CertificateFile` says; one that the server does not take is no harm."""
        with Sshd(tmp_path, [f"TrustedUserCAKeys {tmp_path}/authority.pub"]) as server:
            key = generate_key(tmp_path / "mine")
            sign(authority, key, "-n", getpass.getuser())
            assert connected(server, key=key).run("true").ok
            elsewhere = key.with_name("mine-cert.pub").rename(ssh_home / "given.pub")
            (ssh_home / "config").write_text(f"Host *\n  CertificateFile {elsewhere}\n")
            assert connected(server, key=key).run("true").ok
            sign(generate_key(tmp_path / "other"), server.key, "-n", "nobody")
            assert connected(server).run("true").ok


def sign(authority: Path, key: Path, *flags: str) -> None:
    """Make KEY-cert.pub."""
    command = ("ssh-keygen", "-q", "-s", str(authority), "-I", "test", *flags, f"{key}.pub")
    subprocess.run(command, check=True, capture_output=True)


def forge(certificate: Path, signer: Path, claimed: Path) -> None:
    """Put the public key of `claimed` in the place of the signer's."""
    kind, text, *_ = certificate.read_text().split()
    keys = [base64.b64decode(key.with_name(f"{key.name}.pub").read_text().split()[1]) for key in (signer, claimed)]
    content = base64.b64decode(text)
    assert content.count(keys[0]) == 1
    forged = content.replace(keys[0], keys[1])
    certificate.write_text(f"{kind} {base64.b64encode(forged).decode()} forged\n")
